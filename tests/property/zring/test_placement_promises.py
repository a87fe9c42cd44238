"""Placement against a twin that looks at every grain and every node."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zring.domain import DEMO_DOMAIN
from zring.morton import code_to_xy
from zring.placement import holder_map
from zring.ring import Ring, RingSpan, Settings

LEVEL = 3
GRAINS = 4**LEVEL
GRAIN = (1 << 62) // GRAINS
NAMES = ["a", "b", "c", "d", "e", "f"]

Owners = list[str]


@st.composite
def owner_maps(draw: st.DrawFn) -> Owners:
    """Owners of 64 grains: scattered grains, or stretches along the curve."""
    nodes = draw(st.integers(1, len(NAMES)))
    if draw(st.booleans()):
        return draw(st.lists(st.sampled_from(NAMES[:nodes]), min_size=GRAINS, max_size=GRAINS))
    cuts = sorted(draw(st.lists(st.integers(0, GRAINS), min_size=nodes - 1, max_size=nodes - 1)))
    ends = [*cuts, GRAINS]
    return [
        NAMES[next(at for at, end in enumerate(ends) if grain < end)] for grain in range(GRAINS)
    ]


def ring_of(owners: Owners, nexts: list[str | None], chosen: Settings) -> Ring:
    spans = tuple(
        RingSpan(at * GRAIN, (at + 1) * GRAIN, owner, following, 1)
        for at, (owner, following) in enumerate(zip(owners, nexts, strict=True))
    )
    return Ring("promises", DEMO_DOMAIN, LEVEL, chosen, spans)


def grain_positions() -> list[tuple[int, int]]:
    return [code_to_xy(grain) for grain in range(GRAINS)]


def distances_slowly(owners: Owners, grain: int) -> dict[str, int]:
    """Squared distances to the nearest grain of each node."""
    positions = grain_positions()
    x, y = positions[grain]
    distance: dict[str, int] = {}
    for (other_x, other_y), owner in zip(positions, owners, strict=True):
        squared = (other_x - x) ** 2 + (other_y - y) ** 2
        distance[owner] = min(squared, distance.get(owner, squared))
    return distance


def nearest_slowly(owners: Owners, grain: int, count: int) -> list[str]:
    distance = distances_slowly(owners, grain)
    return sorted(distance, key=lambda node: (distance[node], node))[:count]


def farthest_slowly(owners: Owners, grain: int) -> list[str]:
    distance = distances_slowly(owners, grain)
    return sorted(distance, key=lambda node: (-distance[node], node))


def neighbours_slowly(owners: Owners, owner: str, kind: str) -> set[str]:
    at = dict(zip(grain_positions(), owners, strict=True))
    edge, corner = set(), set()
    for (x, y), node in at.items():
        if node != owner:
            continue
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                other = at.get((x + dx, y + dy))
                if other not in (None, owner):
                    (corner if dx and dy else edge).add(other)
    corner -= edge
    return {"edge": edge, "corner": corner, "moore": edge | corner}[kind]  # type: ignore[return-value]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(owner_maps(), owner_maps(), st.booleans(), st.integers(0, 7), st.integers(0, 2))
def test_halo_equals_looking_at_every_grain(
    owners: Owners, coming: Owners, moving: bool, replicas: int, archives: int
) -> None:
    nexts = [
        following if moving and following != owner else None
        for owner, following in zip(owners, coming, strict=True)
    ]
    then = [following or owner for owner, following in zip(owners, nexts, strict=True)]
    names = ("x", "y")[:archives]
    ring = ring_of(owners, nexts, Settings(replicas=replicas, archives=names))
    holders = holder_map(ring)
    for grain in range(GRAINS):
        near = nearest_slowly(owners, grain, replicas + 1)
        near_then = nearest_slowly(then, grain, replicas + 1)
        expected = dict.fromkeys([near[0], near_then[0], *near[1:], *near_then[1:], *names])
        assert holders.holders_at(grain * GRAIN) == tuple(expected)
        assert holders.holders_at((grain + 1) * GRAIN - 1) == tuple(expected)
    available = len(set(owners))
    assert holders.copies_missing == max(0, 1 + replicas - available)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(owner_maps(), st.sampled_from(["edge", "corner", "moore"]))
def test_patterns_equal_looking_at_every_grain(owners: Owners, kind: str) -> None:
    ring = ring_of(owners, [None] * GRAINS, Settings(placement=kind))
    holders = holder_map(ring)
    for grain, owner in enumerate(owners):
        found = holders.holders_at(grain * GRAIN)
        assert found[0] == owner
        assert set(found[1:]) == neighbours_slowly(owners, owner, kind)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(owner_maps(), st.integers(0, 3), st.integers(1, 3))
def test_promises(owners: Owners, replicas: int, far_copies: int) -> None:
    chosen = Settings(replicas=replicas, far_copies=far_copies, archives=("x",))
    ring = ring_of(owners, [None] * GRAINS, chosen)
    holders = holder_map(ring)
    available = len(set(owners))
    assert holders == holder_map(ring_of(owners, [None] * GRAINS, chosen))
    assert (holders.starts == holder_map(ring).starts).all()
    for grain, owner in enumerate(owners):
        found = holders.holders_at(grain * GRAIN)
        assert found[0] == owner
        assert len(set(found)) == len(found)
        assert found[-1] == "x"
        assert len(found) - 1 == min(available, 1 + replicas + far_copies)
        near = nearest_slowly(owners, grain, replicas + 1)
        # At this level every grain is a cell of its own, so far copies are the farthest of all.
        others = [node for node in farthest_slowly(owners, grain) if node not in near]
        assert found[:-1] == (*near, *others[:far_copies])
    assert holders.copies_missing == max(0, 1 + replicas + far_copies - available)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(owner_maps(), st.integers(0, 3))
def test_looking_up_many_codes_and_the_spans_of_nodes_agree(owners: Owners, replicas: int) -> None:
    holders = holder_map(ring_of(owners, [None] * GRAINS, Settings(replicas=replicas)))
    codes = np.arange(GRAINS, dtype=np.int64) * GRAIN + 5
    sets = [holders.sets[index] for index in holders.holders_of(codes).tolist()]
    assert sets == [holders.holders_at(code) for code in codes.tolist()]
    for node in NAMES:
        spans = holders.spans_of(node)
        held = [any(start <= code < stop for start, stop in spans) for code in codes.tolist()]
        assert held == [node in found for found in sets]
    pieces = holders.stretches(((0, 5 * GRAIN), (6 * GRAIN + 1, GRAINS * GRAIN)))
    assert sum(stop - start for (start, stop), _ in pieces) == (GRAINS - 1) * GRAIN - 1
    for (start, stop), found in pieces:
        assert holders.holders_at(start) == found == holders.holders_at(stop - 1)


@pytest.mark.parametrize("level", [5, 6])
def test_finer_grains_equal_the_twin_as_well(level: int) -> None:
    """Enough levels for cells to be settled early, with areas of several rectangles each."""
    rng = np.random.default_rng(level)
    grains = 4**level
    side = 1 << level
    x, y = code_to_xy(np.arange(grains, dtype=np.int64))
    seeds = rng.integers(0, side, (7, 2))
    closest = ((x[:, None] - seeds[:, 0]) ** 2 + (y[:, None] - seeds[:, 1]) ** 2).argmin(axis=1)
    owners = np.array(["a", "b", "c", "d", "e", "f", "g"])[closest]
    codes = (1 << 62) // grains
    spans = tuple(
        RingSpan(at * codes, (at + 1) * codes, str(owner), None, 1)
        for at, owner in enumerate(owners)
    )
    holders = holder_map(Ring("fine", DEMO_DOMAIN, level, Settings(replicas=3), spans))
    distances = np.stack(
        [
            ((x[:, None] - x[owners == node]) ** 2 + (y[:, None] - y[owners == node]) ** 2).min(
                axis=1
            )
            for node in np.unique(owners)
        ]
    )
    order = np.argsort(distances, axis=0, kind="stable")[:4].T
    expected = [tuple(row) for row in np.unique(owners)[order].tolist()]
    found = holders.holders_of(np.arange(grains, dtype=np.int64) * codes)
    assert [holders.sets[index] for index in found.tolist()] == expected
