"""`python -m tests.sim --seed N [--count M]`: run seeds, say how it went in the last line."""

import argparse
import sys
import time
import traceback

from tests.sim.scenario import Outcome, Plan, live

LINES_SHOWN = 40


def main() -> int:
    """Run the seeds; 0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds, one after another")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--steps", type=int, default=Plan().steps)
    parser.add_argument("--transcript", action="store_true", help="print what happened")
    given = parser.parse_args()
    plan = Plan(nodes=given.nodes, replicas=given.replicas, steps=given.steps)
    started_s = time.monotonic()
    for seed in range(given.seed, given.seed + given.count):
        life, outcome = live(seed, plan)
        if given.transcript:
            print("\n".join(life.transcript))
        if not isinstance(outcome, Outcome):
            if not given.transcript:
                print("\n".join(life.transcript[-LINES_SHOWN:]))
            traceback.print_exception(outcome)
            print(
                f"replay: python -m tests.sim --seed {seed} --nodes {plan.nodes} "
                f"--replicas {plan.replicas} --steps {plan.steps} --transcript"
            )
            print(f"FAILED seed={seed} {type(outcome).__name__}")
            return 1
        counts = ", ".join(f"{name} {count}" for name, count in outcome.counts.items())
        print(f"seed={seed} digest={outcome.digest} {outcome.virtual_s:.0f} s: {counts}")
    rate = given.count / (time.monotonic() - started_s)
    print(f"PASSED {given.count} seeds from {given.seed}, {rate:.1f} seeds/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
