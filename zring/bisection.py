"""Rectangles of nearly equal load for n nodes, by cutting the domain in two again and again.

Each cut goes across the longer side, at a place where both parts get their share of the records;
of the places that are good enough, the one on the coarsest cell edge is taken, because it cuts
into the fewest spans. What the cuts leave uneven (few, heavy grains) is evened out by handing
single grains to less loaded nodes near them.

Source: M. J. Berger and S. H. Bokhari, A Partitioning Strategy for Nonuniform Problems on
Multiprocessors (1987).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zring.load import Load
from zring.morton import Int64s, code_to_xy
from zring.rectangle import GrainRectangle

IMBALANCE_MAX = 1.25
"""No node holds more than this many times the mean, where grains allow it."""
MOVES_MAX = 10_000
"""Single grains handed on after the cuts; each is a span of its own in the ring."""


@dataclass(frozen=True, slots=True)
class Shares:
    """A rectangle for each node, and single grains that belong to another node than theirs."""

    rectangles: Mapping[str, GrainRectangle]
    exceptions: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _Points:
    x: Int64s
    y: Int64s
    records: Int64s
    grains: Int64s

    def take(self, at: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> "_Points":
        return _Points(self.x[at], self.y[at], self.records[at], self.grains[at])


def equal_shares(
    homes: Mapping[str, tuple[float, float]], load: Load, *, grain_level: int, aspect: float
) -> Shares:
    """Divide the domain among nodes so that each has about as many records as the others.

    Args:
        homes: node → (x, y) in grains where its area should lie, as far as can be.
        aspect: width of a grain over its height.
    """
    x, y = code_to_xy(load.grains)
    points = _Points(x, y, load.records, load.grains)
    side = 1 << grain_level
    # A cut that gives one side r times its share, on each of the cuts above a node, multiplies up.
    depth = max(1, math.ceil(math.log2(max(len(homes), 2))))
    tolerance = (1 + (IMBALANCE_MAX - 1) * 0.8) ** (1 / depth)
    rectangles: dict[str, GrainRectangle] = {}
    held: dict[str, _Points] = {}
    waiting = [(GrainRectangle(0, side, 0, side), sorted(homes), points)]
    while waiting:
        rectangle, nodes, inside = waiting.pop()
        if len(nodes) == 1:
            rectangles[nodes[0]], held[nodes[0]] = rectangle, inside
            continue
        waiting.extend(_halves(rectangle, nodes, inside, homes, tolerance, aspect))
    return Shares(rectangles, _handed_on(rectangles, held))


_Part = tuple[GrainRectangle, list[str], _Points]


def _halves(
    rectangle: GrainRectangle,
    nodes: Sequence[str],
    points: _Points,
    homes: Mapping[str, tuple[float, float]],
    tolerance: float,
    aspect: float,
) -> tuple[_Part, _Part]:
    """Cut one rectangle and its nodes in two."""
    width = rectangle.x_stop - rectangle.x_start
    height = rectangle.y_stop - rectangle.y_start
    wide = width * aspect >= height
    lower_count = len(nodes) // 2
    share = lower_count / len(nodes)
    cuts = []
    for axis in (0, 1) if wide else (1, 0):
        low, high, at = (
            (rectangle.x_start, rectangle.x_stop, points.x)
            if axis == 0
            else (rectangle.y_start, rectangle.y_stop, points.y)
        )
        if high - low >= 2:
            excess, cut = _best_cut(at, points.records, low, high, share, tolerance)
            cuts.append((excess > tolerance, excess if excess > tolerance else 0.0, axis, cut))
            if excess <= tolerance:
                break
    assert cuts, "more nodes than grains"
    _, _, axis, cut = min(cuts, key=lambda found: found[:2])
    by_place = sorted(nodes, key=lambda node: (homes[node][axis], node))
    if axis == 0:
        lower = GrainRectangle(rectangle.x_start, cut, rectangle.y_start, rectangle.y_stop)
        upper = GrainRectangle(cut, rectangle.x_stop, rectangle.y_start, rectangle.y_stop)
        below = points.x < cut
    else:
        lower = GrainRectangle(rectangle.x_start, rectangle.x_stop, rectangle.y_start, cut)
        upper = GrainRectangle(rectangle.x_start, rectangle.x_stop, cut, rectangle.y_stop)
        below = points.y < cut
    return (
        (lower, by_place[:lower_count], points.take(below)),
        (upper, by_place[lower_count:], points.take(~below)),
    )


def _best_cut(
    at: Int64s, records: Int64s, low: int, high: int, share: float, tolerance: float
) -> tuple[float, int]:
    """Where to cut [low, high) so that the lower part gets `share` of the records.

    Returns:
        By how many times the worse part exceeds its share, and the cut.
    """
    order = np.argsort(at, kind="stable")
    before = np.concatenate(([0], np.cumsum(records[order])))
    cuts = np.arange(low + 1, high, dtype=np.int64)
    if before[-1]:
        below = before[np.searchsorted(at[order], cuts)] / before[-1]
    else:
        below = (cuts - low) / (high - low)  # nothing stored yet: equal areas
    excess = np.maximum(below / share, (1 - below) / (1 - share))
    good = np.flatnonzero(excess <= tolerance)
    if len(good):
        coarseness = cuts[good] & -cuts[good]
        good = good[coarseness == coarseness.max()]
    else:
        good = np.flatnonzero(excess == excess.min())
    chosen = good[np.argmin(excess[good])]
    return float(excess[chosen]), int(cuts[chosen])


def _handed_on(
    rectangles: Mapping[str, GrainRectangle], held: Mapping[str, _Points]
) -> dict[int, str]:
    """Single grains that go from too full nodes to the nearest ones that have room."""
    nodes = sorted(rectangles)
    sums = np.array([int(held[node].records.sum()) for node in nodes], np.int64)
    limit = int(sums.sum() * IMBALANCE_MAX / len(nodes))
    exceptions: dict[int, str] = {}
    for giver in np.argsort(-sums, kind="stable").tolist():
        points = held[nodes[giver]]
        for index in np.argsort(points.records, kind="stable")[::-1].tolist():
            if sums[giver] <= limit or len(exceptions) >= MOVES_MAX:
                break
            records = int(points.records[index])
            room = sums + records <= limit
            room[giver] = False
            if not room.any():
                continue
            distances = [
                _distance(rectangles[node], int(points.x[index]), int(points.y[index]))
                if room[at]
                else math.inf
                for at, node in enumerate(nodes)
            ]
            taker = int(np.argmin(distances))
            sums[giver] -= records
            sums[taker] += records
            exceptions[int(points.grains[index])] = nodes[taker]
    return exceptions


def _distance(rectangle: GrainRectangle, x: int, y: int) -> int:
    apart_x = max(rectangle.x_start - x, x - rectangle.x_stop + 1, 0)
    apart_y = max(rectangle.y_start - y, y - rectangle.y_stop + 1, 0)
    return apart_x * apart_x + apart_y * apart_y
