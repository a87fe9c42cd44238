"""Which rows of a block pass: tested on the encoded form, where it lies."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from node.records import Bools, Int32s
from node.storage.block_layout import Column, Header, buffer_of
from node.storage.selection import Spans, inside_spans
from zring.digest import UInt64s
from zring.morton import Int64s

Data = memoryview | bytes
Selection = slice | npt.NDArray[np.intp]
"""Rows of a block: a contiguous range, or sorted positions."""
_Run = tuple[int, int, int, int, int]
ARROW_TYPES = {
    "i": pa.int64(),
    "f": pa.float64(),
    "b": pa.bool_(),
    "t": pa.string(),
    "x": pa.binary(),
    "j": pa.string(),
}
NO_ROWS = slice(0, 0)
PREPARED_ENTRIES_MAX = 256
"""Dictionaries up to this size are kept decoded with the header (about 10 kB)."""
SEARCHED_RUNS_MAX = 16
"""Positions whose times are searched by bisection; of more, all times are compared at once."""


@dataclass(frozen=True, slots=True)
class BlockFilter:
    """What rows of one block must satisfy; None where all of its rows do.

    Attributes:
        time: half-open. box: west, south, east, north, closed. spans: half-open code intervals.
        sensors: sorted hashes.
    """

    time: tuple[int, int] | None = None
    box: tuple[int, int, int, int] | None = None
    spans: Spans | None = None
    sensors: UInt64s | None = None


ALL_ROWS = BlockFilter()
_LIMITS: Mapping[type, tuple[int, int]] = {
    kind: (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    for kind in (np.dtype(f"{sign}{width}").type for sign in "iu" for width in (1, 2, 4, 8))
}
"""Least and greatest number of each integer type: asking numpy takes longer than comparing."""


def select(data: Data, header: Header, where: BlockFilter, within: slice) -> Selection:
    """Which rows of a range pass."""
    chosen: Selection = within
    runs = header.fixed.get("position")
    in_time = where.time is None
    if runs is not None and (found := _run_list(data, header, runs)) is not None:
        ranges = _passing_runs(found, where, within)
        if where.time is not None and len(ranges) <= SEARCHED_RUNS_MAX:
            ranges = _ranges_in_time(data, header.fixed["time"], where.time, ranges)
            in_time = True
        chosen = _joined(ranges)
    elif where.box is not None or where.spans is not None:
        chosen = _within(_select_positions(data, header, where), within)
    if not in_time and where.time is not None:
        chosen = _select_times(data, header.fixed["time"], where.time, chosen)
    if where.sensors is not None:
        chosen = _select_sensors(data, header, where.sensors, chosen)
    return chosen


def _run_list(data: Data, header: Header, column: Column) -> list[_Run] | None:
    """First row, row behind, code, lon, lat of each position as Python's numbers; None when there
    are many: of few, comparing one by one costs less than calling numpy."""
    found: list[_Run] | None = header.prepared.get("runs")
    if found is None:
        starts, code, lon, lat = runs_of(data, header, column)
        if len(starts) > PREPARED_ENTRIES_MAX:
            return None
        edges = [*starts.tolist(), header.rows]
        places = (code.tolist(), lon.tolist(), lat.tolist())
        found = list(zip(edges[:-1], edges[1:], *places, strict=True))
        header.prepared["runs"] = found
    return found


def _passing_runs(runs: list[_Run], where: BlockFilter, within: slice) -> list[tuple[int, int]]:
    """Rows of the positions that pass, cut to a range."""
    low, high = within.start, within.stop
    passing = runs
    if where.box is not None:
        west, south, east, north = where.box
        passing = [run for run in passing if west <= run[3] <= east and south <= run[4] <= north]
    if where.spans is not None:
        passing = [run for run in passing if _is_inside(run[2], where.spans)]
    return [
        (max(start, low), min(stop, high))
        for start, stop, _, _, _ in passing
        if start < high and stop > low
    ]


def _is_inside(code: int, spans: Spans) -> bool:
    at = bisect_right(spans, code, key=itemgetter(0)) - 1
    return at >= 0 and code < spans[at][1]


def _ranges_in_time(
    data: Data, column: Column, wanted: tuple[int, int], ranges: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The part of each range whose times pass: rows of one position are in order of time."""
    if column.kind == "const":
        return ranges if wanted[0] <= column.parameters[0] < wanted[1] else []
    kind, base, unit = column.parameters
    small = buffer_of(data, column.buffers[0], kind)
    low, high = _encoded_range(base, unit, *wanted)
    least, most = _LIMITS[small.dtype.type]
    if low > most or high <= least:
        return []
    # The bounds in the column's own type: searching must not widen thousands of rows.
    bounds = np.array((max(low, least), min(high, most)), small.dtype)
    found = []
    for start, stop in ranges:
        first, behind = small[start:stop].searchsorted(bounds).tolist()
        if high > most:
            behind = stop - start
        if first < behind:
            found.append((start + first, start + behind))
    return found


def _joined(ranges: list[tuple[int, int]]) -> Selection:
    """Rising ranges as one selection."""
    if not ranges:
        return NO_ROWS
    first, last = ranges[0][0], ranges[-1][1]
    if last - first == sum(stop - start for start, stop in ranges):
        return slice(first, last)
    return np.concatenate([np.arange(start, stop) for start, stop in ranges])


def _within(chosen: Selection, within: slice) -> Selection:
    if isinstance(chosen, slice):
        start = max(chosen.start, within.start)
        return slice(start, max(start, min(chosen.stop, within.stop)))
    first, last = chosen.searchsorted((within.start, within.stop))
    return chosen[first:last]


def first_rows(chosen: Selection, count: int) -> Selection:
    """No more than the first so many."""
    if isinstance(chosen, slice):
        return slice(chosen.start, min(chosen.stop, chosen.start + count))
    return chosen[:count]


def count_of(chosen: Selection) -> int:
    """How many rows are chosen."""
    return chosen.stop - chosen.start if isinstance(chosen, slice) else len(chosen)


def _narrowed(chosen: Selection, mask: Bools) -> Selection:
    """The rows of `chosen` for which the mask (one entry for each of them) is true."""
    found = mask.nonzero()[0]
    if not len(found):
        return NO_ROWS
    if not isinstance(chosen, slice):
        return chosen[found]
    first, last = int(found[0]), int(found[-1])
    if last - first + 1 == len(found):
        return slice(chosen.start + first, chosen.start + last + 1)
    return found + chosen.start


def _select_positions(data: Data, header: Header, where: BlockFilter) -> Selection:
    runs = header.fixed.get("position")
    if runs is None:
        mask = np.ones(header.rows, np.bool_)
        if where.box is not None:
            west, south, east, north = where.box
            mask &= _between(data, header.fixed["lon"], west, east + 1)
            mask &= _between(data, header.fixed["lat"], south, north + 1)
        if where.spans is not None:
            code = ints_at(data, header.fixed["code"], slice(None), header.rows)
            mask &= inside_spans(code, where.spans)
        return _narrowed(slice(0, header.rows), mask)
    starts, code, lon, lat = runs_of(data, header, runs)
    if where.box is None:
        mask = np.ones(len(starts), np.bool_)
    else:
        west, south, east, north = where.box
        mask = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    if where.spans is not None:
        mask &= inside_spans(code, where.spans)
    found = mask.nonzero()[0]
    if not len(found):
        return NO_ROWS
    first, last = int(found[0]), int(found[-1])
    stop = int(starts[last + 1]) if last + 1 < len(starts) else header.rows
    if last - first + 1 == len(found):
        return slice(int(starts[first]), stop)
    return mask.repeat(np.diff(starts, append=header.rows)).nonzero()[0]


def runs_of(data: Data, header: Header, column: Column) -> tuple[Int64s, Int64s, Int32s, Int32s]:
    """First row, code, lon, lat of each position."""
    if (found := header.prepared.get("position")) is not None:
        return found
    starts, code, lon, lat = column.buffers
    runs = (
        buffer_of(data, starts, "<u4").astype(np.int64),
        buffer_of(data, code, "<i8").copy(),
        buffer_of(data, lon, "<i4").copy(),
        buffer_of(data, lat, "<i4").copy(),
    )
    if len(runs[0]) <= PREPARED_ENTRIES_MAX:
        header.prepared["position"] = runs
    return runs


def sensors_of(data: Data, header: Header) -> tuple[UInt64s, pa.StringArray]:
    """Hashes and names of the block's sensors; valid as long as the data."""
    if (found := header.prepared.get("sensor")) is not None:
        return found
    column = header.fixed["sensor"]
    hashes = buffer_of(data, column.buffers[2], "<u8")
    names = texts_of(data, column.buffers, column.parameters[:3], "t")
    if len(hashes) <= PREPARED_ENTRIES_MAX:
        # Taking copies: what is kept must not refer to the transaction's pages.
        sensors = (hashes.copy(), names.take(pa.array(np.arange(len(hashes)))))
        header.prepared["sensor"] = sensors
        return sensors
    return hashes, names


def _between(data: Data, column: Column, low: int, high: int) -> Any:
    """Which of all rows have low <= value < high; compared in encoded units."""
    if column.kind == "const":
        return low <= column.parameters[0] < high
    kind, base, unit = column.parameters
    small = buffer_of(data, column.buffers[0], kind)
    return _in_range(small, *_encoded_range(base, unit, low, high))


def _encoded_range(base: int, unit: int, low: int, high: int) -> tuple[int, int]:
    """The half-open range of encoded values for the half-open range of values."""
    return -((base - low) // unit), -((base - high) // unit)


def _in_range(small: npt.NDArray[Any], low: int, high: int) -> Bools:
    kind = small.dtype.type
    least, most = _LIMITS[kind]
    if low > most or high <= least:
        return np.zeros(len(small), np.bool_)
    # The bounds in the column's own type: comparing must not widen thousands of rows.
    if high > most:
        return small >= kind(max(low, least))
    if low <= least:
        return small < kind(high)
    return (small >= kind(low)) & (small < kind(high))


def _select_times(
    data: Data, column: Column, wanted: tuple[int, int], chosen: Selection
) -> Selection:
    if column.kind == "const":
        return chosen if wanted[0] <= column.parameters[0] < wanted[1] else NO_ROWS
    kind, base, unit = column.parameters
    small = buffer_of(data, column.buffers[0], kind)[chosen]
    return _narrowed(chosen, _in_range(small, *_encoded_range(base, unit, *wanted)))


def _select_sensors(data: Data, header: Header, wanted: UInt64s, chosen: Selection) -> Selection:
    column = header.fixed["sensor"]
    hashes, _ = sensors_of(data, header)
    if len(wanted) == 1:
        passing = hashes == wanted[0]
    else:
        passing = wanted[np.minimum(wanted.searchsorted(hashes), len(wanted) - 1)] == hashes
    if column.kind == "own":
        return _narrowed(chosen, passing[chosen])
    if passing.all():
        return chosen
    if not passing.any():
        return NO_ROWS
    indices = buffer_of(data, column.buffers[3], column.parameters[3])[chosen]
    return _narrowed(chosen, passing[indices])


def texts_of(
    data: Data, buffers: tuple[tuple[int, int], ...], form: tuple[Any, ...], letter: str
) -> pa.Array:
    """Texts or bytes that still lie in the block; take them before it goes."""
    kind, length, count = form
    offsets = np.zeros(count + 1, np.int32)
    if kind:
        np.cumsum(buffer_of(data, buffers[0], kind), out=offsets[1:])
    else:
        offsets = np.arange(count + 1, dtype=np.int32) * length
    start, stop = buffers[1]
    if int(offsets[-1]) != stop - start:
        raise ValueError("lengths and data differ")
    body = pa.py_buffer(memoryview(data)[start:stop])
    return pa.Array.from_buffers(ARROW_TYPES[letter], count, [None, pa.py_buffer(offsets), body])


def ints_at(data: Data, column: Column, chosen: Selection, count: int = 0) -> Int64s:
    """The integers of a fixed column in the chosen rows (`count` of them)."""
    if column.kind == "const":
        number = column.parameters[0]
        return np.full(count, number, np.int64) if number else np.zeros(count, np.int64)
    kind, base, unit = column.parameters
    return widened(buffer_of(data, column.buffers[0], kind)[chosen], base, unit)


def widened(small: npt.NDArray[Any], base: int, unit: int) -> Int64s:
    """Stored small numbers as what they stand for."""
    numbers = small.astype(np.int64)
    if unit != 1:
        numbers *= unit
    if base:
        numbers += base
    return numbers
