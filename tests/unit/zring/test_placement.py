"""Placement on grids whose answers are known: quarters, squares of the published table."""

import pytest

from zring.domain import DEMO_DOMAIN, WORLD
from zring.morton import CODE_STOP, xy_to_code
from zring.placement import holder_map
from zring.ring import Ring, Settings, founding_ring
from zring.span import EVERYTHING

FOUR = ["n1", "n2", "n3", "n4"]


def grid(settings: Settings, *, level: int = 4) -> Ring:
    """A grid of 4 × 4 equal squares, n00 … n15 in curve order."""
    names = [f"n{index:02}" for index in range(16)]
    return founding_ring("grid", DEMO_DOMAIN, level, names, settings)


def square(x: int, y: int) -> str:
    return f"n{xy_to_code(x, y):02}"


def test_quarters_are_kept_by_their_neighbours_but_not_across_the_corner() -> None:
    holders = holder_map(founding_ring("demo", DEMO_DOMAIN, 8, FOUR))
    assert holders.copies_wanted == 3 and holders.copies_missing == 0
    across = {"n1": "n4", "n2": "n3", "n3": "n2", "n4": "n1"}
    for found in holders.sets:
        assert len(found) == 3 and across[found[0]] not in found
    assert holders.holders_at(0)[0] == "n1"


def test_a_cluster_that_is_too_small_says_so() -> None:
    one = holder_map(founding_ring("demo", DEMO_DOMAIN, 8, ["n1"]))
    assert one.sets == (("n1",),) and one.copies_missing == 2
    assert one.spans_of("n1") == EVERYTHING and one.spans_of("n2") == ()
    two = holder_map(founding_ring("demo", DEMO_DOMAIN, 8, ["n1", "n2"]))
    assert set(two.sets) == {("n1", "n2"), ("n2", "n1")} and two.copies_missing == 1


def test_archives_hold_everything() -> None:
    settings = Settings(replicas=0, archives=("office", "cloud"))
    holders = holder_map(founding_ring("demo", DEMO_DOMAIN, 8, FOUR, settings))
    assert holders.spans_of("office") == holders.spans_of("cloud") == EVERYTHING
    assert holders.holders_at(CODE_STOP - 1) == ("n4", "cloud", "office")


def test_the_owner_to_come_is_a_holder_and_so_are_its_replicas() -> None:
    ring = founding_ring("demo", DEMO_DOMAIN, 4, FOUR, Settings(replicas=0))
    moving = ring.announce(((0, CODE_STOP // 8),), next="n9")
    assert holder_map(moving).holders_at(0) == ("n1", "n9")
    assert holder_map(moving).holders_at(CODE_STOP // 8) == ("n1",)


@pytest.mark.parametrize(("kind", "count"), [("edge", 4), ("corner", 4), ("moore", 8)])
def test_patterns_on_a_grid_of_squares(kind: str, count: int) -> None:
    holders = holder_map(grid(Settings(placement=kind)))
    around = {found[0]: set(found[1:]) for found in holders.sets}
    middle = around[square(1, 1)]
    assert len(middle) == count
    assert (square(1, 2) in middle) == (kind != "corner")
    assert (square(2, 2) in middle) == (kind != "edge")


def test_far_copies_lie_at_the_other_end() -> None:
    holders = holder_map(grid(Settings(replicas=1, far_copies=1)))
    assert holders.holders_at(0)[-1] == square(3, 3)
    assert holders.holders_at(CODE_STOP - 1)[-1] == square(0, 0)
    assert holders.copies_wanted == 3 and holders.copies_missing == 0


def test_a_fine_grain_of_the_world_is_not_enumerated() -> None:
    # 4**16 grains would need tens of gigabytes.
    holders = holder_map(founding_ring("world", WORLD, 16, FOUR))
    assert len(holders.starts) < 300_000 and holders.copies_missing == 0
