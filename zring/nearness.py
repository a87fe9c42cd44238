"""Which nodes lie nearest to each grain, without looking at every grain.

The distance of a grain to a node is that to the nearest grain of the node's area, squared, in
whole grains; a node has distance 0 to its own grains and at least 1 to all others, so the owner
is always the nearest. Ties go to the smaller node number.

A quadtree descends from the whole domain. Each cell is paired with the rectangles that can
matter in it; the order of the nodes is found exactly at one grain in its middle, and the cell is
done when that order is shown to hold at all of its grains. Other cells are split. So the work
follows the borders between choices, not the number of grains, and each level is a handful of
array operations over all cells at once.

Source: the pruning is that of nearest-neighbour search in R-trees (N. Roussopoulos, S. Kelley,
F. Vincent, Nearest Neighbor Queries, 1995), run for all cells of a level together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

from zring.morton import CODE_BITS, Int64s, code_to_xy
from zring.span import Spans, spans_to_cells
from zring.steps import Steps, normal_steps

Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

PAIRS_AT_ONCE = 1 << 15
"""Pairs of cell and rectangle handled together: their arrays stay in the cache, memory bounded."""


@dataclass(frozen=True, slots=True)
class Rectangles:
    """Areas of nodes as rectangles of grains, sorted by node.

    Attributes:
        node: int64[n], numbers from 0.
        first, last: int64[2, n], x and y of the first and the last grain (inclusive).
    """

    node: Int64s
    first: Int64s
    last: Int64s

    def take(self, at: Indices) -> "Rectangles":
        """The rectangles at these positions."""
        return Rectangles(self.node[at], self.first[:, at], self.last[:, at])


def areas_to_rectangles(areas: Sequence[Spans], *, grain_level: int) -> Rectangles:
    """The areas of nodes 0, 1, … as few rectangles of grains."""
    cells = [
        (node, level, index)
        for node, spans in enumerate(areas)
        for level, index in spans_to_cells(spans)
    ]
    node, level, index = np.array(cells, np.int64).reshape(-1, 3).T
    assert not len(level) or level.max() <= grain_level, "an area ends off the grain"
    first = np.stack(code_to_xy(index << 2 * (grain_level - level)))
    rectangles = Rectangles(node, first, first + (np.int64(1) << (grain_level - level)) - 1)
    while True:
        count = len(rectangles.node)
        rectangles = _joined_along(1, _joined_along(0, rectangles))
        if len(rectangles.node) == count:
            return rectangles


def _joined_along(axis: int, rectangles: Rectangles) -> Rectangles:
    """Join rectangles of one node that touch along an axis and are equal across it."""
    across = 1 - axis
    order = np.lexsort(
        (
            rectangles.first[axis],
            rectangles.last[across],
            rectangles.first[across],
            rectangles.node,
        )
    )
    row = rectangles.take(order)
    fresh = _first_of_runs(row.node, row.first[across], row.last[across])
    fresh[1:] |= row.first[axis, 1:] != row.last[axis, :-1] + 1
    opening = np.flatnonzero(fresh)
    closing = np.append(opening[1:] - 1, len(order) - 1)
    last = row.last[:, opening]
    last[axis] = row.last[axis, closing]
    return Rectangles(row.node[opening], row.first[:, opening], last)


@dataclass(frozen=True, slots=True)
class _Level:
    """Cells of one level and, sorted by cell and node, the rectangles that can matter in each.

    Attributes:
        cells: int64[c], indices along the curve.
        pair_cell, pair_rectangle: int64[p], positions in `cells` and in the rectangles.
        side: grains along a side of a cell.
    """

    cells: Int64s
    pair_cell: Indices
    pair_rectangle: Indices
    side: int


def nearest_nodes(
    rectangles: Rectangles, *, grain_level: int, count: int
) -> Steps[tuple[int, ...]]:
    """For every grain the `count` nearest nodes, nearest first; fewer if there are fewer.

    Cost: some 80 array operations a level; cells are split only along borders between choices.
    """
    nodes = int(rectangles.node.max()) + 1
    count = min(count, nodes)
    pairs = len(rectangles.node)
    starts: list[Int64s] = []
    lists: list[Int64s] = []
    waiting = [
        _Level(np.zeros(1, np.int64), np.zeros(pairs, np.int64), np.arange(pairs), 1 << grain_level)
    ]
    while waiting:
        level = waiting.pop()
        settled, chosen, useful = _settle(rectangles, level, count=count)
        side_bits = level.side.bit_length() - 1
        starts.append(level.cells[settled] << (CODE_BITS - 2 * (grain_level - side_bits)))
        lists.append(chosen)
        if not settled.all():
            waiting.extend(_parts(_split(level, ~settled, useful)))
    return _as_steps(np.concatenate(starts), np.concatenate(lists), nodes=nodes)


def _parts(level: _Level) -> Iterator[_Level]:
    """A level cut into stretches of cells with some `PAIRS_AT_ONCE` pairs each."""
    wanted = len(level.pair_cell) // PAIRS_AT_ONCE + 1
    for low, high in pairwise(np.linspace(0, len(level.cells), wanted + 1).astype(int).tolist()):
        if low < high:
            at, end = np.searchsorted(level.pair_cell, (low, high)).tolist()
            yield _Level(
                level.cells[low:high],
                level.pair_cell[at:end] - low,
                level.pair_rectangle[at:end],
                level.side,
            )


def _settle(rectangles: Rectangles, level: _Level, *, count: int) -> tuple[Bools, Int64s, Bools]:
    """Which cells have the same first `count` nodes, in the same order, at all of their grains.

    Returns:
        settled bool[cells]; the nodes of these int64[settled, count]; useful bool[pairs]: pairs
        that can decide the order somewhere in their cell.
    """
    pairs = _Pairs.of(rectangles, level)
    # One group for each cell and node: its distance in the middle, and the rectangle that has it.
    fresh = _first_of_runs(level.pair_cell, pairs.node)
    group_start = np.flatnonzero(fresh)
    group_of_pair = np.cumsum(fresh) - 1
    group_cell, group_node = level.pair_cell[group_start], pairs.node[group_start]
    middle = pairs.distances(pairs.start + level.side // 2)
    group_middle = np.minimum.reduceat(middle, group_start)
    # Groups in the order that holds in the middle of their cell; `place` counts within the cell.
    order = np.lexsort((group_node, group_middle, group_cell))
    cell_start = np.flatnonzero(_first_of_runs(group_cell))
    if level.side == 1:  # the middle is all there is
        everything = np.ones(len(level.cells), np.bool_)
        return everything, group_node[order[cell_start[:, None] + np.arange(count)]], everything

    place = np.arange(len(order)) - cell_start[group_cell]
    best = np.empty(len(order), np.int64)
    at_best = np.flatnonzero(middle == group_middle[group_of_pair])
    best[group_of_pair[at_best]] = at_best
    rank_of_group = np.empty(len(order), np.int64)
    rank_of_group[order] = np.arange(len(order))

    # The order holds if every rectangle of a node is everywhere farther than the one that stands
    # for the node before it; nodes after the last wanted one only need to be behind that.
    low, high = pairs.bounds()
    rank = rank_of_group[group_of_pair]
    later = np.flatnonzero(place[rank] > 0)
    before = rank[later] - np.maximum(place[rank[later]] - count + 1, 1)
    rival = best[order[before]]
    unclear = high[rival] >= low[later]
    rival, later = rival[unclear], later[unclear]
    lead = pairs.greatest_lead(rival, later)
    overtaken = (lead > 0) | ((lead == 0) & (pairs.node[rival] > pairs.node[later]))
    settled = np.ones(len(level.cells), np.bool_)
    settled[level.pair_cell[later[overtaken]]] = False
    wanted = order[cell_start[settled][:, None] + np.arange(count)]

    # What cannot be among the first: farther than all of those that are first in the middle.
    group_high = np.minimum.reduceat(high, group_start)
    ceiling = np.maximum.reduceat(np.where(place < count, group_high[order], 0), cell_start)
    useful = low <= np.minimum(group_high[group_of_pair], ceiling[level.pair_cell])
    return settled, group_node[wanted], useful


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of a cell [start, stop] and a rectangle [first, last]; all int64[2, p], inclusive."""

    node: Int64s
    first: Int64s
    last: Int64s
    start: Int64s
    stop: Int64s

    @classmethod
    def of(cls, rectangles: Rectangles, level: _Level) -> Self:
        """Look up the cells and rectangles that a level's pairs point to."""
        start = np.stack(code_to_xy(level.cells))[:, level.pair_cell] * level.side
        chosen = rectangles.take(level.pair_rectangle)
        return cls(chosen.node, chosen.first, chosen.last, start, start + (level.side - 1))

    def distances(self, position: Int64s) -> Int64s:
        """Squared distances int64[p] from a grain int64[2, p] to each rectangle."""
        distances: Int64s = _squared_distance(self.first, self.last, position).sum(axis=0)
        return distances

    def bounds(self) -> tuple[Int64s, Int64s]:
        """Least and greatest squared distance over the grains of each cell."""
        nearest = np.maximum(np.maximum(self.first - self.stop, self.start - self.last), 0)
        farthest = np.maximum(np.maximum(self.first - self.start, self.stop - self.last), 0)
        return (nearest * nearest).sum(axis=0), (farthest * farthest).sum(axis=0)

    def greatest_lead(self, one: Indices, other: Indices) -> Int64s:
        """How much farther (squared) rectangle `one` can be than `other` anywhere in their cell.

        The difference of two squared distances is a sum over the axes, and along an axis it is
        monotone between the ends of the two intervals: its maximum lies at one of these ends or
        at the cell's. So the result is exact.
        """
        start, stop = self.start[:, one], self.stop[:, one]
        first, last = self.first[:, one], self.last[:, one]
        other_first, other_last = self.first[:, other], self.last[:, other]
        ends = np.stack((start, stop, first, last, other_first, other_last))
        positions = np.minimum(np.maximum(ends, start), stop)
        differences = _squared_distance(first, last, positions)
        differences -= _squared_distance(other_first, other_last, positions)
        lead: Int64s = differences.max(axis=0).sum(axis=0)
        return lead


def _squared_distance(first: Int64s, last: Int64s, position: Int64s) -> Int64s:
    """Squared distance along each axis from positions to intervals [first, last]."""
    apart = np.maximum(np.maximum(first - position, position - last), 0)
    return apart * apart


def _split(level: _Level, open_cells: Bools, useful: Bools) -> _Level:
    """The four children of every open cell, each with the useful pairs of its parent."""
    kept = np.flatnonzero(useful & open_cells[level.pair_cell])
    parent = (np.cumsum(open_cells) - 1)[level.pair_cell[kept]]
    counts = np.bincount(parent, minlength=int(np.count_nonzero(open_cells)))
    child_counts = np.repeat(counts, 4)
    pair_cell = np.repeat(np.arange(len(child_counts)), child_counts)
    # Pair i of a child is pair i of its parent: go back by what lies between the two.
    child_start = np.cumsum(child_counts) - child_counts
    parent_start = np.repeat(np.cumsum(counts) - counts, 4)
    source = np.arange(len(pair_cell)) + np.repeat(parent_start - child_start, child_counts)
    children = (level.cells[open_cells][:, None] * 4 + np.arange(4)).reshape(-1)
    return _Level(children, pair_cell, level.pair_rectangle[kept[source]], level.side // 2)


def _as_steps(starts: Int64s, lists: Int64s, *, nodes: int) -> Steps[tuple[int, ...]]:
    order = np.argsort(starts, kind="stable")
    starts, lists = starts[order], lists[order]
    number = np.zeros(len(starts), np.int64)
    for column in lists.T:  # re-numbered after each column, so that numbers stay small
        number = np.unique(number * nodes + column, return_inverse=True)[1].reshape(-1)
    distinct, example = np.unique(number, return_index=True)
    assert len(distinct) == number.max() + 1
    return normal_steps(starts, number, [tuple(row) for row in lists[example].tolist()])


def _first_of_runs(*columns: Int64s) -> Bools:
    first = np.zeros(len(columns[0]), np.bool_)
    first[:1] = True
    for column in columns:
        first[1:] |= column[1:] != column[:-1]
    return first
