"""Many lives, one after another or in several processes; and lives without one rule."""

import logging
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from multiprocessing import get_context

from node.protocol.rules import ALL_RULES, Rules
from tests.sim.plan import Plan
from tests.sim.scenario import Outcome, live

LINES_SHOWN = 40
AHEAD = 4
"""Seeds for each process that are handed out before earlier ones are back."""
RULES = tuple(one.name for one in fields(Rules))


@dataclass(frozen=True, slots=True)
class Run:
    """How one life went.

    Attributes:
        line: digest, virtual time and counts; the same whenever the seed is run.
        broken: "" where every promise was kept; else the kind of error and its message.
        report: the end of the transcript and the traceback, or the whole transcript if asked for.
    """

    seed: int
    line: str
    counts: dict[str, int]
    virtual_s: float
    broken: str = ""
    report: str = ""


def run(seed: int, plan: Plan, *, transcript: bool = False) -> Run:
    """Live one seed."""
    with _silence():
        life, outcome = live(seed, plan)
    lines = life.transcript if transcript else []
    if isinstance(outcome, Outcome):
        counts = ", ".join(f"{name} {count}" for name, count in outcome.counts.items())
        line = f"seed={seed} digest={outcome.digest} {plan.words()} {outcome.virtual_s:.0f} s"
        return Run(
            seed, f"{line}: {counts}", outcome.counts, outcome.virtual_s, report="\n".join(lines)
        )
    shown = [*(lines or life.transcript[-LINES_SHOWN:]), *traceback.format_exception(outcome)]
    kind = type(outcome).__name__
    return Run(
        seed, f"seed={seed}", life.counts, life.loop.time(), f"{kind}: {outcome}", "\n".join(shown)
    )


@contextmanager
def _silence() -> Iterator[None]:
    """What nodes log of faults that were meant; other tests of this process read their logs."""
    logger = logging.getLogger("zring")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def run_all(plans: Iterator[tuple[int, Plan]], *, jobs: int, transcript: bool) -> Iterator[Run]:
    """Live these, in the order of the seeds, with several processes where asked for."""
    if jobs == 1:
        for seed, plan in plans:
            yield run(seed, plan, transcript=transcript)
        return
    with ExitStack() as stack:
        pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
        stack.callback(pool.shutdown, cancel_futures=True)
        under_way: list[Future[Run]] = []
        for seed, plan in plans:
            under_way.append(pool.submit(run, seed, plan, transcript=transcript))
            while len(under_way) >= jobs * AHEAD:
                wait(under_way[:1], return_when=FIRST_COMPLETED)
                yield under_way.pop(0).result()
        for future in under_way:
            yield future.result()


def without(rule: str) -> Rules:
    """All rules but one.

    Raises:
        ValueError: there is no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"no rule {rule!r}; there are {', '.join(RULES)}")
    return replace(ALL_RULES, **{rule: False})
