"""Plans: what each planner moves, what it costs, what is refused, and the two changes."""

import numpy as np
import pytest

from zring.area import Box
from zring.domain import DEMO_DOMAIN, WORLD
from zring.errors import InvalidPlan, OutsideDomain
from zring.load import Load
from zring.morton import CODE_STOP
from zring.plan import (
    Plan,
    abort,
    apply_first,
    apply_second,
    plan_assign,
    plan_join,
    plan_leave,
    plan_rebalance,
    plan_remove,
)
from zring.ring import Ring, Settings, founding_ring
from zring.span import EVERYTHING, intersect, length, subtract

FOUR = ["n1", "n2", "n3", "n4"]
QUARTER = CODE_STOP // 4


def four(**settings: int) -> Ring:
    return founding_ring("demo", DEMO_DOMAIN, 8, FOUR, Settings(**settings))


def published_load(ring: Ring) -> Load:
    """300 k, 1,000 k, 80 k and 620 k records on the quarters, at 40 stations."""
    rng = np.random.default_rng(9)
    quarter_grains = QUARTER // ring.grain_codes
    counts: dict[int, int] = {}
    for quarter, records in enumerate((300_000, 1_000_000, 80_000, 620_000)):
        for grain in rng.choice(quarter_grains, 10, replace=False).tolist():
            counts[quarter * quarter_grains + grain] = records // 10
    return Load.of(counts)


def committed(plan: Plan, ring: Ring) -> Ring:
    return apply_second(plan, apply_first(plan, ring))


def e7(degrees: float) -> int:
    return round(degrees * 1e7)


def test_a_placed_node_owns_the_area_that_it_stands_in() -> None:
    ring = four()
    lon, lat = e7(135.8), e7(33.8)
    plan = plan_join(ring, "n5", policy="place", lon=lon, lat=lat)
    done = committed(plan, ring)
    assert done.owner_of(DEMO_DOMAIN.position_to_code(lon=lon, lat=lat)) == "n5"
    share = length(done.owned("n5")) / CODE_STOP
    assert 0.1 < share < 0.25
    # It stands at the corner of all four, so each gives a part and keeps the rest.
    assert done.owners() == ("n1", "n2", "n3", "n4", "n5")
    assert {move.source for move in plan.moves} == set(FOUR)
    assert len(done.spans) < 200


def test_a_placed_area_can_be_given_a_size_and_shrinks_rather_than_evict() -> None:
    ring = four()
    plan = plan_join(ring, "n5", policy="place", lon=e7(135.1), lat=e7(33.1), side_grains=16)
    assert length(plan.spans()) == 256 * ring.grain_codes
    whole = plan_join(ring, "n5", policy="place", lon=e7(135.8), lat=e7(33.8), side_grains=256)
    assert committed(whole, ring).owners() == ("n1", "n2", "n3", "n4", "n5")
    tiny = founding_ring("tiny", DEMO_DOMAIN, 1, FOUR)
    with pytest.raises(InvalidPlan, match="all that its owner has"):
        plan_join(tiny, "n5", policy="place", lon=e7(135.8), lat=e7(33.8))


def test_halving_splits_the_largest_zone_and_keeps_squares_or_two_to_one() -> None:
    ring = four()
    load = published_load(ring)
    first = committed(plan_join(ring, "n5", policy="halve", load=load), ring)
    assert first.owned("n5") == ((QUARTER + QUARTER // 2, 2 * QUARTER),)  # the fullest, n2
    for index in range(6, 30):
        first = committed(plan_join(first, f"n{index}", policy="halve"), first)
        for owner in first.owners():
            for start, stop in first.owned(owner):
                size = stop - start
                assert size & (size - 1) == 0 and start % size == 0
    sizes = [length(first.owned(owner)) for owner in first.owners()]
    assert max(sizes) <= 2 * min(sizes)


def test_grains_cannot_be_halved() -> None:
    with pytest.raises(InvalidPlan, match="single grain"):
        plan_join(founding_ring("tiny", DEMO_DOMAIN, 1, FOUR), "n5", policy="halve")


def test_rebalancing_brings_the_published_imbalance_below_a_quarter() -> None:
    ring = four()
    load = published_load(ring)
    plan = plan_rebalance(ring, load=load)
    assert plan.imbalance_before == pytest.approx(2.0)
    assert plan.imbalance_after <= 1.25
    assert moved(plan, load, ring) <= 1.3 * least_to_move(load, ring)
    done = committed(plan, ring)
    assert load.imbalance(done) == plan.imbalance_after
    assert done.owners() == tuple(FOUR)
    assert plan_rebalance(done, load=load).moves == ()


def moved(plan: Plan, load: Load, ring: Ring) -> int:
    return load.within(plan.spans(), grain_bits=ring.grain_bits)


def least_to_move(load: Load, ring: Ring) -> float:
    """What lies above 1.25 × the mean: less cannot be moved."""
    counts = load.by_owner(ring)
    return sum(max(0.0, count - 1.25 * load.total() / len(counts)) for count in counts.values())


@pytest.mark.parametrize("nodes", [2, 3, 5, 8, 13])
def test_balanced_areas_are_even_and_compact(nodes: int) -> None:
    rng = np.random.default_rng(nodes)
    ring = founding_ring("many", DEMO_DOMAIN, 8, [f"n{index:02}" for index in range(nodes)])
    dense = rng.normal(0.3, 0.1, (20_000, 2)).clip(0, 1)
    codes = DEMO_DOMAIN.positions_to_codes(
        lon=(DEMO_DOMAIN.west + dense[:, 0] * 16e6).astype(np.int64),
        lat=(DEMO_DOMAIN.south + dense[:, 1] * 16e6).astype(np.int64),
    )
    load = Load.of_codes(codes, grain_bits=ring.grain_bits)
    plan = plan_rebalance(ring, load=load)
    assert plan.imbalance_after <= 1.25 < plan.imbalance_before
    # What has to pass through a neighbour without room for it is carried twice.
    assert moved(plan, load, ring) <= 1.6 * least_to_move(load, ring)
    assert len(committed(plan, ring).spans) < 400 * nodes


def test_a_node_joins_by_balance() -> None:
    ring = four()
    load = published_load(ring)
    plan = plan_join(ring, "n5", policy="balance", load=load)
    done = committed(plan, ring)
    assert done.owners() == ("n1", "n2", "n3", "n4", "n5")
    assert plan.imbalance_after <= 1.25
    placed = plan_join(ring, "n5", policy="balance", load=load, lon=e7(135.1), lat=e7(34.5))
    assert placed.imbalance_after <= 1.25
    assert plan_join(ring, "n5", policy="balance").imbalance_after == 1.0


def test_one_heavy_grain_cannot_be_divided_and_the_plan_says_so() -> None:
    ring = four()
    plan = plan_rebalance(ring, load=Load.of({0: 1_000_000, 5: 1}))
    assert plan.imbalance_after > 3.9


def test_a_leaving_node_is_inherited_by_its_neighbours() -> None:
    ring = four()
    plan = plan_leave(ring, "n1", load=published_load(ring))
    assert plan.spans() == ((0, QUARTER),)
    done = committed(plan, ring)
    assert done.owners() == ("n2", "n3", "n4")
    # The diagonal divides the quarter between the two that share an edge with it.
    assert length(intersect(done.owned("n4"), ((0, QUARTER),))) == 0
    gained = length(intersect(done.owned("n2"), ((0, QUARTER),))) / QUARTER
    assert gained == pytest.approx(0.5, abs=0.02)
    assert len(done.spans) < 200
    assert plan.at_risk == ()  # three nodes are left for three copies


def test_a_leave_that_leaves_too_few_copies_names_them() -> None:
    ring = founding_ring("demo", DEMO_DOMAIN, 4, ["n1", "n2", "n3"])
    assert plan_leave(ring, "n1").at_risk == EVERYTHING


def test_a_dead_node_is_replaced_at_once() -> None:
    ring = four()
    plan = plan_remove(ring, "n1", load=published_load(ring))
    done = apply_first(plan, ring)
    assert "n1" not in done.members()
    assert intersect(plan.at_risk, ((0, QUARTER),)) == ((0, QUARTER),)
    assert apply_second(plan, done) == done


def test_removing_the_only_copy_needs_consent() -> None:
    ring = four(replicas=0)
    load = published_load(ring)
    with pytest.raises(InvalidPlan, match="16384 grains with 300000 records"):
        plan_remove(ring, "n1", load=load)
    assert apply_first(plan_remove(ring, "n1", load=load, accept_loss=True), ring).owned("n1") == ()


def test_a_node_that_is_removed_may_be_half_way_through_a_move() -> None:
    ring = four()
    moving = apply_first(plan_join(ring, "n5", policy="halve"), ring)
    done = apply_first(plan_remove(moving, "n4"), moving)
    assert "n4" not in done.owners()


def test_assigning_a_box_moves_exactly_its_grains() -> None:
    ring = four()
    box = Box.from_degrees(west=135.7, south=33.7, east=135.9, north=33.9)
    plan = plan_assign(ring, box, "n4", load=published_load(ring))
    done = committed(plan, ring)
    inside = [(135.71, 33.71), (135.89, 33.71), (135.71, 33.89)]
    for lon, lat in inside:
        assert done.owner_of(DEMO_DOMAIN.position_to_code(lon=e7(lon), lat=e7(lat))) == "n4"
    assert done.owner_of(DEMO_DOMAIN.position_to_code(lon=e7(135.69), lat=e7(33.71))) == "n1"
    with pytest.raises(InvalidPlan, match="nothing would move"):
        plan_assign(done, box, "n4")


def test_neighbouring_boxes_do_not_overlap() -> None:
    ring = four()
    left = plan_assign(ring, Box(*map(e7, (135.1, 33.1, 135.2, 33.2))), "n4").spans()
    right = plan_assign(ring, Box(*map(e7, (135.2, 33.1, 135.3, 33.2))), "n4").spans()
    shared = intersect(left, right)
    # 135.2 is the west edge of grain 32: nothing is shared.
    assert shared == () and left and right


@pytest.mark.parametrize(
    ("box", "target", "message"),
    [
        ((135.0, 33.0, 135.8, 33.8), "n2", "n1 would own nothing"),
        ((135.1, 33.1, 135.2, 33.2), "office", "archive"),
    ],
)
def test_assignments_that_are_refused(
    box: tuple[float, float, float, float], target: str, message: str
) -> None:
    ring = founding_ring("demo", DEMO_DOMAIN, 8, FOUR, Settings(archives=("office",)))
    with pytest.raises(InvalidPlan, match=message):
        plan_assign(ring, Box(*map(e7, box)), target)


def test_further_refusals() -> None:
    ring = four()
    with pytest.raises(InvalidPlan, match="owns an area already"):
        plan_join(ring, "n1", policy="halve")
    with pytest.raises(InvalidPlan, match="no position"):
        plan_join(ring, "n5", policy="place")
    with pytest.raises(OutsideDomain):
        plan_join(ring, "n5", policy="place", lon=0, lat=0)
    with pytest.raises(OutsideDomain):
        plan_assign(ring, Box(0, 0, 5, 5), "n1")
    with pytest.raises(InvalidPlan, match="owns nothing"):
        plan_leave(ring, "n9")
    with pytest.raises(InvalidPlan, match="last owner"):
        plan_leave(founding_ring("one", DEMO_DOMAIN, 8, ["n1"]), "n1")


def test_plans_do_not_cross_moves_that_are_under_way() -> None:
    ring = four()
    moving = apply_first(plan_join(ring, "n5", policy="halve"), ring)
    with pytest.raises(InvalidPlan, match="on its way"):
        plan_assign(moving, Box(*map(e7, (135.1, 33.1, 136.5, 34.5))), "n2")


def test_a_plan_holds_only_for_the_ring_it_was_made_on() -> None:
    ring = four()
    plan = plan_join(ring, "n5", policy="halve")
    with pytest.raises(InvalidPlan, match="make the plan again"):
        apply_first(plan, ring.assign(((0, QUARTER // 2),), owner="n2"))


def test_each_source_hands_over_by_itself_and_repeating_changes_nothing() -> None:
    ring = four()
    plan = plan_join(ring, "n5", policy="place", lon=e7(135.8), lat=e7(33.8))
    moving = apply_first(plan, ring)
    assert moving.owned("n5") == () and moving.expected("n5") == plan.spans()
    one = apply_second(plan, moving, source="n1")
    assert one.owned("n5") == plan.spans(source="n1")
    assert apply_second(plan, one, source="n1") == one
    everything = apply_second(plan, one)
    assert everything.owned("n5") == plan.spans() and everything.expected("n5") == ()


def test_an_aborted_plan_leaves_what_was_not_handed_over() -> None:
    ring = four()
    plan = plan_join(ring, "n5", policy="place", lon=e7(135.8), lat=e7(33.8))
    half = apply_second(plan, apply_first(plan, ring), source="n1")
    stopped = abort(plan, half)
    assert stopped.owned("n5") == plan.spans(source="n1") and stopped.expected("n5") == ()
    assert subtract(ring.owned("n2"), stopped.owned("n2")) == ()
    with pytest.raises(InvalidPlan, match="no longer on their way"):
        apply_second(plan, stopped)


def test_records_to_carry_count_every_new_holder() -> None:
    ring = four(replicas=0)
    load = Load.of({0: 100, 20_000: 7}, record_bytes=10)
    plan = plan_assign(ring, Box(*map(e7, (135.0, 33.0, 135.1, 33.1))), "n4", load=load)
    assert (plan.records, plan.bytes) == (100, 1000)
    kept = four()
    # n2 holds the grain at the diagonal's upper side already: as owner it needs nothing.
    plan = plan_assign(kept, Box(*map(e7, (135.0, 33.5, 135.1, 33.6))), "n2", load=load)
    assert plan.records == 0


def test_plans_work_on_the_world() -> None:
    ring = founding_ring("world", WORLD, 12, FOUR)
    plan = plan_join(ring, "n5", policy="place", lon=e7(135), lat=e7(35))
    assert len(plan_leave(ring, "n2").moves) < 200
    assert committed(plan, ring).owner_of(WORLD.position_to_code(lon=e7(135), lat=e7(35))) == "n5"
