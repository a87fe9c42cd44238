"""`python -m tests.sim --seed N [--count M]`: run seeds, say how it went in the last line."""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from node.protocol.rules import ALL_RULES
from tests.sim.plan import Plan, drawn_plan
from tests.sim.runs import RULES, run, run_all, without

SEEDS_WITHOUT = 200
"""Seeds among which a life that misses a rule is looked for."""


def main() -> int:
    """Run the seeds; 0 when every promise was kept, or when the loss of a rule was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument("--count", type=int, help="how many seeds (1; 200 without a rule)")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--nodes", type=int, help="instead of the number that the seed draws")
    parser.add_argument("--replicas", type=int, help="instead of the number that the seed draws")
    parser.add_argument("--steps", type=int, help="instead of the number that the seed draws")
    parser.add_argument("--transcript", action="store_true", help="print what happened")
    parser.add_argument(
        "--without", choices=RULES, metavar="RULE", help="look for a seed that misses this rule"
    )
    given = parser.parse_args()
    given.count = given.count or (SEEDS_WITHOUT if given.without else 1)
    return _without(given) if given.without else _all(given)


def _plans(given: argparse.Namespace) -> Iterator[tuple[int, Plan]]:
    rules = without(given.without) if given.without else ALL_RULES
    for seed in range(given.seed, given.seed + given.count):
        plan = drawn_plan(
            seed, nodes=given.nodes, replicas=given.replicas, steps=given.steps, rules=rules
        )
        yield seed, plan


def _all(given: argparse.Namespace) -> int:
    started_s = time.monotonic()
    virtual_s = 0.0
    for done, one in enumerate(
        run_all(_plans(given), jobs=given.jobs, transcript=given.transcript), 1
    ):
        if one.report:
            print(one.report)
        if one.broken:
            print(f"replay: {_command(given, one.seed)} --transcript")
            print(f"FAILED seed={one.seed} {one.broken.partition(':')[0]}")
            return 1
        virtual_s += one.virtual_s
        print(one.line)
        if sys.stderr.isatty():
            print(f"{done} of {given.count}", end="\r", file=sys.stderr)
    spent_s = time.monotonic() - started_s
    print(
        f"PASSED {given.count} seeds from {given.seed}, {given.count / spent_s:.1f} seeds/s, "
        f"{virtual_s / spent_s:.0f} s of cluster time per second"
    )
    return 0


def _without(given: argparse.Namespace) -> int:
    for one in run_all(_plans(given), jobs=given.jobs, transcript=given.transcript):
        if not one.broken:
            continue
        plan = dict(_plans(given))[one.seed]
        whole = run(one.seed, replace(plan, rules=ALL_RULES))
        print(one.report)
        if whole.broken:
            print(f"FAILED seed={one.seed} also with every rule: {whole.broken}")
            return 1
        print(f"FOUND seed={one.seed} without {given.without}: {one.broken}")
        return 0
    print(f"NOT FOUND without {given.without} in {given.count} seeds from {given.seed}")
    return 1


def _command(given: argparse.Namespace, seed: int) -> str:
    said = {name: getattr(given, name) for name in ("nodes", "replicas", "steps")}
    words = [f" --{name} {value}" for name, value in said.items() if value is not None]
    return "".join((f"python -m tests.sim --seed {seed}", *words))


if __name__ == "__main__":
    sys.exit(main())
