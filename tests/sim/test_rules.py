"""Each rule is needed: without it a life breaks a promise that it keeps with it.

A change of the node's code shifts what happens in a life, so a few seeds are tried from the one
that is named; `docs/promises.md` says what shows the other rules.
"""

import pytest

from tests.sim.plan import drawn_plan
from tests.sim.runs import run, without

SEEDS_TRIED = 40
NODES = 3
"""Most links matter where there are few nodes."""
MISSED = {
    "every_holder_confirms": 101,
    "expired_hidden": 104,
    "lost_stores_unfilled": 6,
    "newest_before_filter": 102,
    "old_owner_flips": 4,
    "owed_before_acknowledged": 109,
    "owing_read_too": 1,
    "uncompared_after_start": 107,
    "unfilled_never_alone": 205,
}
"""Rule → the first seed that is tried."""


@pytest.mark.parametrize("rule", sorted(MISSED))
def test_without_the_rule_a_promise_is_broken(rule: str) -> None:
    rules = without(rule)
    for seed in range(MISSED[rule], MISSED[rule] + SEEDS_TRIED):
        lax = run(seed, drawn_plan(seed, nodes=NODES, rules=rules))
        if lax.broken.startswith("PromiseBroken"):
            whole = run(seed, drawn_plan(seed, nodes=NODES))
            assert not whole.broken, f"seed {seed}: {whole.broken}"
            print(f"{rule}: seed {seed}")
            return
    pytest.fail(f"none of {SEEDS_TRIED} seeds from {MISSED[rule]} misses {rule}")
