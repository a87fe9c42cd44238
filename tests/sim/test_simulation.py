"""Seeds that run with every test, and the promise that a seed decides everything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.scenario import Outcome, Plan, live

ROOT = Path(__file__).parents[2]

# Seeds with a story: each of them once broke a promise.
#   1  a member that failed during a query had already been read as keeper: its rows came twice;
#      and `as_of` was taken after reading, so it spoke for records that came in between
#   2  a slow owner was hedged to a replica that it still owed a record, because what a member
#      owes was forgotten together with the member
#   506 a hand-back read the store just before a row became visible that its holder was owed, and
#      then took the place for done: the row never arrived
STORIES = (1, 2, 506)
SEEDS = (*STORIES, 11)


def run_seed(seed: int, plan: Plan) -> Outcome:
    life, outcome = live(seed, plan)
    if not isinstance(outcome, Outcome):
        print("\n".join(life.transcript))
        print(f"replay: python -m tests.sim --seed {seed} --nodes {plan.nodes} "
              f"--replicas {plan.replicas} --steps {plan.steps} --transcript")  # fmt: skip
        raise outcome
    return outcome


@pytest.mark.parametrize("seed", SEEDS)
def test_four_nodes(seed: int) -> None:
    outcome = run_seed(seed, Plan())
    assert outcome.counts["write"] > 10, outcome.counts


@pytest.mark.parametrize(("nodes", "replicas"), [(1, 2), (2, 1), (3, 0), (5, 3)])
def test_other_sizes(nodes: int, replicas: int) -> None:
    run_seed(21, Plan(nodes=max(nodes, 1), replicas=replicas, steps=60, faults=_faults(nodes)))


def _faults(nodes: int) -> float:
    return 0.0 if nodes == 1 else 0.12


def test_a_seed_decides_everything_whatever_the_hash_seed() -> None:
    lines = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.sim", "--seed", "5", "--steps", "30"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        lines.add(done.stdout.splitlines()[0])
        assert done.stdout.splitlines()[-1].startswith("PASSED 1 seeds from 5")
    assert len(lines) == 1, lines
