"""Which nodes lie nearest to (or farthest from) each grain, without looking at every grain.

The distance of a grain to a node is that to the nearest grain of the node's area, squared, in
whole grains; a node has distance 0 to its own grains and at least 1 to all others, so the owner
is always the nearest. Ties go to the smaller node number.

A quadtree descends from the whole domain. For every cell and node it keeps bounds of the
distance over all grains of the cell, and drops nodes, and rectangles of nodes, that cannot
matter. A cell whose first `count` nodes are in a settled order is done; others are split. So the
work follows the borders between choices, not the number of grains, and each level is a handful
of array operations over all cells at once.

Source: the pruning is that of nearest-neighbour search in R-trees (N. Roussopoulos, S. Kelley,
F. Vincent, Nearest Neighbor Queries, 1995), run for all cells of a level together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zring.morton import CODE_BITS, Int64s, code_to_xy
from zring.span import Spans, spans_to_cells
from zring.steps import Steps, normal_steps

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rectangles:
    """Areas of nodes as rectangles of grains, edges inclusive: five arrays int64[n], by node."""

    node: Int64s
    x_first: Int64s
    x_last: Int64s
    y_first: Int64s
    y_last: Int64s

    def take(self, at: npt.NDArray[np.intp]) -> "Rectangles":
        """The rectangles at these positions."""
        return Rectangles(
            self.node[at], self.x_first[at], self.x_last[at], self.y_first[at], self.y_last[at]
        )


def areas_to_rectangles(areas: Sequence[Spans], *, grain_level: int) -> Rectangles:
    """The areas of nodes 0, 1, … as few rectangles of grains."""
    cells = [
        (node, level, index)
        for node, spans in enumerate(areas)
        for level, index in spans_to_cells(spans)
    ]
    node, level, index = np.array(cells, np.int64).reshape(-1, 3).T
    assert not len(level) or level.max() <= grain_level, "an area ends off the grain"
    x, y = code_to_xy(index << 2 * (grain_level - level))
    last = (np.int64(1) << (grain_level - level)) - 1
    rectangles = Rectangles(node, x, x + last, y, y + last)
    while True:
        count = len(rectangles.node)
        rectangles = _joined_along_x(rectangles)
        rectangles = _swapped(_joined_along_x(_swapped(rectangles)))
        if len(rectangles.node) == count:
            order = np.lexsort((rectangles.y_first, rectangles.x_first, rectangles.node))
            return rectangles.take(order)


def _swapped(rectangles: Rectangles) -> Rectangles:
    return Rectangles(
        rectangles.node,
        rectangles.y_first,
        rectangles.y_last,
        rectangles.x_first,
        rectangles.x_last,
    )


def _joined_along_x(rectangles: Rectangles) -> Rectangles:
    order = np.lexsort((rectangles.x_first, rectangles.y_last, rectangles.y_first, rectangles.node))
    row = rectangles.take(order)
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (
        (row.node[1:] != row.node[:-1])
        | (row.y_first[1:] != row.y_first[:-1])
        | (row.y_last[1:] != row.y_last[:-1])
        | (row.x_first[1:] != row.x_last[:-1] + 1)
    )
    first = np.flatnonzero(fresh)
    last = np.append(first[1:] - 1, len(order) - 1)
    return Rectangles(
        row.node[first],
        row.x_first[first],
        row.x_last[last],
        row.y_first[first],
        row.y_last[first],
    )


def ordered_nodes(
    rectangles: Rectangles, *, grain_level: int, count: int, farthest: bool = False
) -> Steps[tuple[int, ...]]:
    """For every grain the `count` nearest (or farthest) nodes, in order; fewer if there are fewer.

    Cost: some 40 array operations a level; cells are split only along borders between choices.
    """
    nodes = int(rectangles.node.max()) + 1
    count = min(count, nodes)
    cells = np.zeros(1, np.int64)
    pair_cell = np.zeros(len(rectangles.node), np.int64)
    pair_rectangle = np.arange(len(rectangles.node))
    found_starts: list[Int64s] = []
    found_lists: list[Int64s] = []
    for level in range(grain_level + 1):
        low, high = _distance_bounds(
            rectangles, cells, pair_cell, pair_rectangle, side_bits=grain_level - level
        )
        node = rectangles.node[pair_rectangle]
        first = _first_of_runs(pair_cell, node)
        group = np.flatnonzero(first)
        near, far = np.minimum.reduceat(low, group), np.minimum.reduceat(high, group)
        ranked = (-far, -near) if farthest else (near, far)
        settled, lists, useful = _settle(
            pair_cell[group], node[group], *ranked, cells=len(cells), count=count
        )
        found_starts.append(cells[settled] << (CODE_BITS - 2 * level))
        found_lists.append(lists)
        if settled.all():
            break
        # A rectangle matters while its node does and no other of the same node is always nearer.
        group_of_pair = np.cumsum(first) - 1
        keep = useful[group_of_pair] & (low <= far[group_of_pair]) & ~settled[pair_cell]
        cells, pair_cell, pair_rectangle = _split(
            cells, ~settled, pair_cell[keep], pair_rectangle[keep]
        )
    return _as_steps(np.concatenate(found_starts), np.concatenate(found_lists), nodes=nodes)


def _distance_bounds(
    rectangles: Rectangles,
    cells: Int64s,
    pair_cell: Int64s,
    pair_rectangle: npt.NDArray[np.intp],
    *,
    side_bits: int,
) -> tuple[Int64s, Int64s]:
    """Least and greatest squared distance of the grains of a cell to a rectangle, for each pair."""
    x, y = code_to_xy(cells)
    last = (1 << side_bits) - 1
    low: Int64s | int = 0
    high: Int64s | int = 0
    for axis, first_side, last_side in (
        (x, rectangles.x_first, rectangles.x_last),
        (y, rectangles.y_first, rectangles.y_last),
    ):
        start = (axis << side_bits)[pair_cell]
        before, after = first_side[pair_rectangle] - start, start - last_side[pair_rectangle]
        nearest = np.maximum(np.maximum(before - last, after), 0)
        farthest = np.maximum(np.maximum(before, after + last), 0)
        low, high = low + nearest * nearest, high + farthest * farthest
    assert not isinstance(low, int) and not isinstance(high, int)
    return low, high


def _settle(
    cell: Int64s, node: Int64s, near: Int64s, far: Int64s, *, cells: int, count: int
) -> tuple[Bools, Int64s, Bools]:
    """Which cells have their first `count` nodes in a settled order.

    Args:
        cell, node, near, far: for each pair of cell and node the bounds of what is ordered by;
            sorted by cell, every cell has at least `count` pairs.
    Returns:
        settled bool[cells]; their nodes int64[settled, count]; useful bool[pairs]: pairs that
        can be among the first `count` somewhere in their cell.
    """
    first = np.flatnonzero(_first_of_runs(cell))
    by_far = np.lexsort((far, cell))
    ceiling = far[by_far[first + count - 1]]
    useful = near <= ceiling[cell]
    kept = np.flatnonzero(useful)
    order = kept[np.lexsort((node[kept], near[kept], cell[kept]))]
    cell, node, near, far = cell[order], node[order], near[order], far[order]
    # Each of the first `count` must come before the next one, wherever in the cell.
    before_next = np.ones(len(order), np.bool_)
    before_next[:-1] = (
        (cell[1:] != cell[:-1])
        | (far[:-1] < near[1:])
        | ((far[:-1] == near[1:]) & (node[:-1] < node[1:]))
    )
    first = np.flatnonzero(_first_of_runs(cell))
    places = first[:, None] + np.arange(count)
    settled: Bools = before_next[places].all(axis=1)
    assert len(first) == cells
    return settled, node[places[settled]], useful


def _split(
    cells: Int64s, open_cells: Bools, pair_cell: Int64s, pair_rectangle: npt.NDArray[np.intp]
) -> tuple[Int64s, Int64s, npt.NDArray[np.intp]]:
    """The four children of every open cell, each with the pairs of its parent."""
    children = (cells[open_cells][:, None] * 4 + np.arange(4)).reshape(-1)
    counts = np.bincount((np.cumsum(open_cells) - 1)[pair_cell], minlength=int(open_cells.sum()))
    starts = np.cumsum(counts) - counts
    child_counts = np.repeat(counts, 4)
    child_pairs = np.repeat(np.arange(len(children)), child_counts)
    offset = np.arange(len(child_pairs)) - np.repeat(
        np.cumsum(child_counts) - child_counts, child_counts
    )
    return children, child_pairs, pair_rectangle[np.repeat(starts, 4)[child_pairs] + offset]


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
