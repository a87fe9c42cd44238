"""What knowing space buys: a query's area meets few nodes, where hashing spreads it over all.

The reference is a consistent-hash ring of mmh3 hashes, which ignores space.

Source: D. Karger et al., Consistent Hashing and Random Trees (1997).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from zring.area import Box
from zring.cover import cover
from zring.digest import hash_text
from zring.domain import DEMO_DOMAIN
from zring.rectangle import box_to_rectangle
from zring.ring import founding_ring
from zring.span import intersect

POINTS_A_NODE = 128
"""Points of each node on the circle: the load of nodes then differs by some 10 %."""


@dataclass(frozen=True, slots=True)
class HashRing:
    """Keys go to the node whose next point follows their hash."""

    nodes: Sequence[str]
    _points: list[tuple[int, str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        points = [
            (hash_text(f"{node}#{index}"), node)
            for node in self.nodes
            for index in range(POINTS_A_NODE)
        ]
        object.__setattr__(self, "_points", sorted(points))

    def holders_of(self, key: str, *, count: int) -> tuple[str, ...]:
        """The first `count` different nodes from the key's hash on."""
        at = bisect_right(self._points, (hash_text(key), "\U0010ffff"))
        around = [*self._points[at:], *self._points[:at]]
        return tuple(dict.fromkeys(node for _, node in around))[:count]


NODES = [f"n{index:02}" for index in range(16)]
BOX_SIDE = 2_000_000
"""0.2 degrees: some 32 × 32 grains."""


def rectangle_edges(west: int, south: int) -> tuple[tuple[int, int], tuple[int, int]]:
    box = Box(west, south, west + BOX_SIDE, south + BOX_SIDE)
    rectangle = box_to_rectangle(DEMO_DOMAIN, box, grain_level=8)
    return (rectangle.x_start, rectangle.x_stop), (rectangle.y_start, rectangle.y_stop)


def test_a_small_box_meets_few_owners_of_space_and_nearly_all_of_hashes() -> None:
    ring = founding_ring("space", DEMO_DOMAIN, 8, NODES)
    hashed = HashRing(NODES)
    rng = np.random.default_rng(17)
    met_space, met_hash = [], []
    for _ in range(12):
        west = int(rng.integers(DEMO_DOMAIN.west, DEMO_DOMAIN.east - BOX_SIDE))
        south = int(rng.integers(DEMO_DOMAIN.south, DEMO_DOMAIN.north - BOX_SIDE))
        spans = cover(DEMO_DOMAIN, Box(west, south, west + BOX_SIDE, south + BOX_SIDE))
        met_space.append(sum(bool(intersect(spans, ring.owned(node))) for node in NODES))
        edges = rectangle_edges(west, south)
        grains = [f"{x},{y}" for x in range(*edges[0]) for y in range(*edges[1])]
        met_hash.append(len({hashed.holders_of(grain, count=1)[0] for grain in grains}))
    assert np.mean(met_space) < 3
    assert np.mean(met_hash) > 14


def test_the_reference_is_even_and_moves_little_when_a_node_joins() -> None:
    before = HashRing(NODES)
    after = HashRing([*NODES, "n16"])
    keys = [str(key) for key in range(3_000)]
    owners = [before.holders_of(key, count=3) for key in keys]
    counts = np.unique([found[0] for found in owners], return_counts=True)[1]
    assert len(counts) == 16 and counts.max() < 1.6 * counts.mean()
    assert all(len(set(found)) == 3 for found in owners)
    moved = [
        after.holders_of(key, count=1)[0]
        for key, found in zip(keys, owners, strict=True)
        if after.holders_of(key, count=1)[0] != found[0]
    ]
    assert set(moved) == {"n16"} and len(moved) < 2 * len(keys) / 17
