"""Blocks to rows: filter on the encoded form where it lies, decode only the rows that pass.

Everything that is returned is a copy; nothing refers to the block's bytes afterwards, which are
pages of a transaction that ends with the step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from node.errors import StoreDamaged
from node.records import JSON, Bools, Int32s, Rows
from node.storage.block_encode import POWERS_OF_TEN
from node.storage.block_layout import Column, Header, buffer_of
from node.storage.selection import Spans, empty_texts, inside_spans
from zring.digest import UInt64s
from zring.morton import Int64s

Data = memoryview | bytes
Selection = slice | npt.NDArray[np.intp]
"""Rows of a block: a contiguous range, or sorted positions."""
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


def read_rows(
    data: Data,
    header: Header,
    *,
    where: BlockFilter = ALL_ROWS,
    within: slice | None = None,
    rows_max: int | None = None,
    columns: Sequence[str] | None = None,
    sensor_names: bool = True,
    name: str = "block",
) -> Rows | None:
    """The rows of a block that pass, in key order; None when there are none.

    Args:
        within: only rows in this range.
        rows_max: no more than the first so many.
        sensor_names: False for empty texts in their place.
    Raises:
        StoreDamaged: the columns contradict each other.
    """
    try:
        chosen = select(data, header, where, within or slice(0, header.rows))
        if rows_max is not None:
            chosen = _first_rows(chosen, rows_max)
        if _count(chosen) == 0:
            return None
        return decode(data, header, chosen, columns, sensor_names=sensor_names)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, pa.ArrowInvalid) as error:
        raise StoreDamaged(f"{name} contradicts itself ({error}); refill this node") from error


def select(data: Data, header: Header, where: BlockFilter, within: slice) -> Selection:
    """Which rows of a range pass."""
    chosen: Selection = within
    if where.box is not None or where.spans is not None:
        chosen = _within(_select_positions(data, header, where), within)
    if where.time is not None:
        chosen = _select_times(data, header.fixed["time"], where.time, chosen)
    if where.sensors is not None:
        chosen = _select_sensors(data, header, where.sensors, chosen)
    return chosen


def _within(chosen: Selection, within: slice) -> Selection:
    if isinstance(chosen, slice):
        start = max(chosen.start, within.start)
        return slice(start, max(start, min(chosen.stop, within.stop)))
    first, last = chosen.searchsorted((within.start, within.stop))
    return chosen[first:last]


def _first_rows(chosen: Selection, count: int) -> Selection:
    if isinstance(chosen, slice):
        return slice(chosen.start, min(chosen.stop, chosen.start + count))
    return chosen[:count]


def _count(chosen: Selection) -> int:
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
            mask &= inside_spans(_ints(data, header.fixed["code"], slice(None)), where.spans)
        return _narrowed(slice(0, header.rows), mask)
    starts, code, lon, lat = _runs(data, header, runs)
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


def _runs(data: Data, header: Header, column: Column) -> tuple[Int64s, Int64s, Int32s, Int32s]:
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


def _sensors(data: Data, header: Header) -> tuple[UInt64s, pa.StringArray]:
    """Hashes and names of the block's sensors; valid as long as the data."""
    if (found := header.prepared.get("sensor")) is not None:
        return found
    column = header.fixed["sensor"]
    hashes = buffer_of(data, column.buffers[2], "<u8")
    names = _texts(data, column.buffers, column.parameters[:3], "t")
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
    hashes, _ = _sensors(data, header)
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


def code_runs(data: Data, header: Header) -> tuple[Int64s, Int64s] | None:
    """First row and code of each position; None where positions are not stored as runs."""
    runs = header.fixed.get("position")
    return None if runs is None else _runs(data, header, runs)[:2]


def ints_of(data: Data, header: Header, name: str, rows: slice) -> Int64s:
    """A fixed column of integers in a range of rows."""
    return _ints(data, header.fixed[name], rows, _count(rows))


def sensor_hashes_of(data: Data, header: Header, rows: slice) -> UInt64s:
    """Hashes of the sensors in a range of rows."""
    return _decode_sensors(data, header, rows, _count(rows), named=False)[1]


def decode(
    data: Data,
    header: Header,
    chosen: Selection,
    columns: Sequence[str] | None = None,
    *,
    sensor_names: bool = True,
) -> Rows:
    """The chosen rows; with only these values where columns are named."""
    count = _count(chosen)
    code, lon, lat = _decode_positions(data, header, chosen)
    sensor, sensor_hash = _decode_sensors(data, header, chosen, count, named=sensor_names)
    names = header.values if columns is None else [n for n in columns if n in header.values]
    return Rows(
        time=_ints(data, header.fixed["time"], chosen, count),
        lon=lon,
        lat=lat,
        code=code,
        version=_ints(data, header.fixed["version"], chosen, count),
        deleted=_ints(data, header.fixed["deleted"], chosen, count).astype(np.bool_),
        sensor=sensor,
        sensor_hash=sensor_hash,
        values={name: _decode_value(data, header.values[name], chosen, count) for name in names},
    )


def _ints(data: Data, column: Column, chosen: Selection, count: int = 0) -> Int64s:
    if column.kind == "const":
        return np.full(count, column.parameters[0], np.int64)
    kind, base, unit = column.parameters
    return _widened(buffer_of(data, column.buffers[0], kind)[chosen], base, unit)


def _widened(small: npt.NDArray[Any], base: int, unit: int) -> Int64s:
    numbers = small.astype(np.int64)
    if unit != 1:
        numbers *= unit
    if base:
        numbers += base
    return numbers


def _decode_positions(
    data: Data, header: Header, chosen: Selection
) -> tuple[Int64s, Int32s, Int32s]:
    runs = header.fixed.get("position")
    if runs is None:
        fixed = header.fixed
        count = _count(chosen)
        return (
            _ints(data, fixed["code"], chosen, count),
            _ints(data, fixed["lon"], chosen, count).astype(np.int32),
            _ints(data, fixed["lat"], chosen, count).astype(np.int32),
        )
    starts, code, lon, lat = _runs(data, header, runs)
    if isinstance(chosen, slice):
        first = int(starts.searchsorted(chosen.start, side="right")) - 1
        last = int(starts.searchsorted(chosen.stop, side="left"))
        if last - first == 1:
            counts: Any = chosen.stop - chosen.start
        else:
            edges = np.empty(last - first + 1, np.int64)
            edges[:-1] = starts[first:last]
            edges[0], edges[-1] = chosen.start, chosen.stop
            counts = edges[1:] - edges[:-1]
        part = slice(first, last)
        return code[part].repeat(counts), lon[part].repeat(counts), lat[part].repeat(counts)
    at = starts.searchsorted(chosen, side="right") - 1
    return code[at], lon[at], lat[at]


def _decode_sensors(
    data: Data, header: Header, chosen: Selection, count: int, *, named: bool
) -> tuple[pa.StringArray, UInt64s]:
    column = header.fixed["sensor"]
    hashes, names = _sensors(data, header)
    if column.kind == "own":
        at, taken = _positions(chosen), hashes[chosen].copy()
    elif len(hashes) == 1:
        at, taken = np.zeros(count if named else 0, np.intp), np.full(count, hashes[0])
    else:
        at = buffer_of(data, column.buffers[3], column.parameters[3])[chosen]
        taken = hashes[at]
    if named and len(hashes) > 1 and count > 1 and (at == at[0]).all():
        return _repeated(names[int(at[0])].as_py(), count), taken
    return names.take(pa.array(at)) if named else empty_texts(count), taken


def _repeated(name: str, count: int) -> pa.StringArray:
    """One name for all rows: what most small queries find."""
    text = name.encode()
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(len(text))
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text * count))


def _positions(chosen: Selection) -> npt.NDArray[np.intp]:
    return np.arange(chosen.start, chosen.stop) if isinstance(chosen, slice) else chosen


def _texts(
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


def _nulls(data: Data, column: Column, chosen: Selection) -> Bools | None:
    """bool[n], true where the value is null; None when there are none."""
    if not column.parameters[1]:
        return None
    packed = buffer_of(data, column.buffers[-1], np.uint8)
    valid = np.unpackbits(packed, bitorder="little")[chosen]
    return valid == 0


def _decode_value(data: Data, column: Column, chosen: Selection, count: int) -> pa.Array:
    letter = column.parameters[0]
    nulls = _nulls(data, column, chosen)
    if column.kind in ("codes", "bytes"):
        array = _decode_texts(data, column, chosen, nulls)
        return pa.ExtensionArray.from_storage(JSON, array) if letter == "j" else array
    if column.kind == "bits":
        packed = buffer_of(data, column.buffers[0], np.uint8)
        numbers: npt.NDArray[Any] = np.unpackbits(packed, bitorder="little")[chosen].astype(bool)
    elif column.kind == "raw":
        numbers = buffer_of(data, column.buffers[0], "<f8")[chosen].copy()
    else:
        kind, base, unit = column.parameters[2:5]
        numbers = _widened(buffer_of(data, column.buffers[0], kind)[chosen], base, unit)
        if column.kind == "decimal":
            numbers = numbers / POWERS_OF_TEN[column.parameters[5]]
    if len(numbers) != count:
        raise ValueError("columns of different lengths")
    return pa.array(numbers, ARROW_TYPES[letter], mask=nulls)


def _decode_texts(data: Data, column: Column, chosen: Selection, nulls: Bools | None) -> pa.Array:
    letter = column.parameters[0]
    texts = _texts(data, column.buffers, column.parameters[2:5], letter)
    if column.kind == "codes":
        indices = buffer_of(data, column.buffers[2], column.parameters[5])[chosen]
    else:
        indices = _positions(chosen)
    return texts.take(pa.array(indices, mask=nulls))
