"""Whatever is planned and committed, every code has one owner, and plans tell the truth."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zring.area import Box
from zring.domain import DEMO_DOMAIN
from zring.errors import InvalidArea, InvalidPlan, OutsideDomain
from zring.load import Load
from zring.plan import (
    Plan,
    apply_first,
    apply_second,
    plan_assign,
    plan_join,
    plan_leave,
    plan_rebalance,
    plan_remove,
)
from zring.ring import Ring, founding_ring, merge
from zring.span import intersect, normalise, subtract

LEVEL = 4
kinds = st.sampled_from(["place", "halve", "balance", "leave", "remove", "rebalance", "assign"])
steps = st.lists(st.tuples(kinds, st.integers(0, 1 << 20)), min_size=1, max_size=6)


def planned(ring: Ring, kind: str, seed: int, load: Load, number: int) -> Plan:
    rng = np.random.default_rng(seed)
    lon = int(rng.integers(DEMO_DOMAIN.west, DEMO_DOMAIN.east))
    lat = int(rng.integers(DEMO_DOMAIN.south, DEMO_DOMAIN.north))
    node = str(rng.choice(ring.owners()))
    if kind == "place":
        return plan_join(ring, f"j{number}", policy="place", lon=lon, lat=lat, load=load)
    if kind == "halve":
        return plan_join(ring, f"j{number}", policy="halve", load=load)
    if kind == "balance":
        return plan_join(ring, f"j{number}", policy="balance", load=load)
    if kind == "leave":
        return plan_leave(ring, node, load=load)
    if kind == "remove":
        return plan_remove(ring, node, load=load)
    if kind == "rebalance":
        return plan_rebalance(ring, load=load)
    size = int(rng.integers(1, 8_000_000))
    return plan_assign(ring, Box(lon, lat, lon + size, lat + size), node, load=load)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(steps, st.integers(1, 5), st.integers(0, 99))
def test_plans_one_after_another(
    todo: list[tuple[str, int]], founders: int, load_seed: int
) -> None:
    ring = founding_ring("laws", DEMO_DOMAIN, LEVEL, [f"n{index}" for index in range(founders)])
    rng = np.random.default_rng(load_seed)
    load = Load.of(dict(zip(range(256), rng.integers(0, 9, 256).tolist(), strict=True)))
    for number, (kind, seed) in enumerate(todo):
        try:
            plan = planned(ring, kind, seed, load, number)
        except (InvalidPlan, OutsideDomain, InvalidArea):
            continue
        first = apply_first(plan, ring)
        done = apply_second(plan, first)
        assert merge(ring, first) == first and merge(first, done) == done
        assert all(span.next is None for span in done.spans)
        for move in plan.moves:
            assert subtract((move.span,), ring.owned(move.source)) == ()
            assert subtract((move.span,), done.owned(move.target)) == ()
        for owner in ring.owners():
            kept = subtract(ring.owned(owner), plan.spans())
            assert intersect(kept, done.owned(owner)) == kept
        assert len(normalise(move.span for move in plan.moves)) <= len(plan.moves)
        assert plan.imbalance_after == load.imbalance(done)
        if kind in ("leave", "remove"):
            assert set(done.owners()) < set(ring.owners())
        else:
            assert set(done.owners()) >= set(ring.owners())
        ring = done
