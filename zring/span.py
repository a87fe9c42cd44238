"""Sets of codes as sorted, disjoint, half-open intervals.

A `Spans` value is in normal form: every interval is non-empty, starts after the one before it
has stopped (touching neighbours are joined), and lies in [0, 2**62). Equal sets are equal values.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from zring.morton import CODE_BITS, CODE_STOP, Int64s

Span = tuple[int, int]
Spans = tuple[Span, ...]

EVERYTHING: Spans = ((0, CODE_STOP),)


def normalise(pairs: Iterable[Span]) -> Spans:
    """Sort intervals in any order, drop empty ones, join those that touch or overlap."""
    joined: list[Span] = []
    for start, stop in sorted(pairs):
        if start >= stop:
            continue
        if joined and start <= joined[-1][1]:
            if stop > joined[-1][1]:
                joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    assert not joined or (joined[0][0] >= 0 and joined[-1][1] <= CODE_STOP), joined
    return tuple(joined)


def union(left: Spans, right: Spans) -> Spans:
    """Codes in either set."""
    if not left or not right or left == right:
        return left or right
    return normalise((*left, *right))


def intersect(left: Spans, right: Spans) -> Spans:
    """Codes in both sets; one pass over both."""
    if left == right:
        return left
    shared: list[Span] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start = max(left[i][0], right[j][0])
        stop = min(left[i][1], right[j][1])
        if start < stop:
            shared.append((start, stop))
        if left[i][1] <= right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(shared)


def subtract(left: Spans, right: Spans) -> Spans:
    """Codes of `left` that are not in `right`; one pass over both."""
    if not right or left == right:
        return () if right else left
    rest: list[Span] = []
    j = 0
    for start, stop in left:
        while j < len(right) and right[j][1] <= start:
            j += 1
        k = j
        while k < len(right) and right[k][0] < stop:
            if start < right[k][0]:
                rest.append((start, right[k][0]))
            start = right[k][1]
            k += 1
        if start < stop:
            rest.append((start, stop))
    return tuple(rest)


def length(spans: Spans) -> int:
    """How many codes the set holds."""
    return sum(stop - start for start, stop in spans)


def contains(spans: Spans, codes: Int64s) -> npt.NDArray[np.bool_]:
    """bool[n]: which of the codes int64[n] lie in the set. Cost: one binary search a code."""
    if len(spans) == 1:
        ((start, stop),) = spans
        return (codes >= start) & (codes < stop)
    ends = np.asarray(spans, np.int64).reshape(-1)
    # Ends alternate start, stop, start, …: after an odd number of them a code is inside.
    return (np.searchsorted(ends, codes, side="right") & 1).astype(np.bool_)


def spans_to_cells(spans: Spans) -> list[tuple[int, int]]:
    """The fewest cells (level, index) that make up the set, in curve order.

    Cost: at most 3 cells a level and side of each interval.
    """
    cells: list[tuple[int, int]] = []
    for start, stop in spans:
        while start < stop:
            aligned = (start & -start).bit_length() - 1 if start else CODE_BITS
            fitting = (stop - start).bit_length() - 1
            bits = min(aligned, fitting) & ~1
            cells.append(((CODE_BITS - bits) // 2, start >> bits))
            start += 1 << bits
    return cells


def cells_to_spans(cells: Iterable[tuple[int, int]]) -> Spans:
    """Undo `spans_to_cells`; takes cells of any levels in any order."""
    return normalise(
        (index << (CODE_BITS - 2 * level), (index + 1) << (CODE_BITS - 2 * level))
        for level, index in cells
    )
