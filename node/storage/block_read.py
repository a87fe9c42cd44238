"""Blocks to rows: filter on the encoded form where it lies, decode only the rows that pass.

Everything that is returned is a copy; nothing refers to the block's bytes afterwards, which are
pages of a transaction that ends with the step.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import sub
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from node.errors import StoreDamaged
from node.metadata import chosen_values
from node.records import JSON, Bools, Int32s, Rows
from node.storage.block_encode import POWERS_OF_TEN
from node.storage.block_layout import Column, Header, buffer_of
from node.storage.block_select import (
    ALL_ROWS,
    ARROW_TYPES,
    PREPARED_ENTRIES_MAX,
    BlockFilter,
    Data,
    Selection,
    count_of,
    first_rows,
    ints_at,
    runs_of,
    select,
    sensors_of,
    texts_of,
    widened,
)
from node.storage.selection import empty_texts
from zring.digest import UInt64s
from zring.morton import Int64s

SPREAD_RUNS_MAX = 64
"""Runs of one sensor or position that are filled one by one: numpy's own repeat and take cost
some nanoseconds a row, which is more where runs are long."""
_TEXT = pa.string()
_CONST_TYPES = {"i": np.dtype(np.int64), "f": np.dtype(np.float64)}


def read_rows(
    data: Data,
    header: Header,
    *,
    where: BlockFilter = ALL_ROWS,
    within: slice | None = None,
    rows_max: int | None = None,
    columns: Sequence[str] | None = None,
    metadata: Sequence[str] | None = None,
    sensor_names: bool = True,
    name: str = "block",
) -> Rows | None:
    """The rows of a block that pass, in key order; None when there are none.

    Args:
        within: only rows in this range.
        rows_max: no more than the first so many.
        columns, metadata: as in `Scan`.
        sensor_names: False for empty texts in their place.
    Raises:
        StoreDamaged: the columns contradict each other.
    """
    try:
        chosen = select(data, header, where, within or slice(0, header.rows))
        if rows_max is not None:
            chosen = first_rows(chosen, rows_max)
        if count_of(chosen) == 0:
            return None
        wanted = chosen_values(header.values, columns, metadata)
        return decode(data, header, chosen, wanted, sensor_names=sensor_names)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, pa.ArrowInvalid) as error:
        raise StoreDamaged(f"{name} contradicts itself ({error})") from error


def code_runs(data: Data, header: Header) -> tuple[Int64s, Int64s] | None:
    """First row and code of each position; None where positions are not stored as runs."""
    runs = header.fixed.get("position")
    return None if runs is None else runs_of(data, header, runs)[:2]


def ints_of(data: Data, header: Header, name: str, rows: slice) -> Int64s:
    """A fixed column of integers in a range of rows."""
    return ints_at(data, header.fixed[name], rows, count_of(rows))


def sensor_hashes_of(data: Data, header: Header, rows: slice) -> UInt64s:
    """Hashes of the sensors in a range of rows."""
    return _decode_sensors(data, header, rows, count_of(rows), named=False)[1]


def decode(
    data: Data,
    header: Header,
    chosen: Selection,
    wanted: Mapping[str, Column],
    *,
    sensor_names: bool = True,
) -> Rows:
    """The chosen rows with the wanted ones of the header's values."""
    count = count_of(chosen)
    code, lon, lat = _decode_positions(data, header, chosen)
    sensor, sensor_hash = _decode_sensors(data, header, chosen, count, named=sensor_names)
    return Rows(
        time=ints_at(data, header.fixed["time"], chosen, count),
        lon=lon,
        lat=lat,
        code=code,
        version=ints_at(data, header.fixed["version"], chosen, count),
        deleted=ints_at(data, header.fixed["deleted"], chosen, count).astype(np.bool_),
        sensor=sensor,
        sensor_hash=sensor_hash,
        values={
            name: _decode_value(data, column, chosen, count) for name, column in wanted.items()
        },
    )


def _decode_positions(
    data: Data, header: Header, chosen: Selection
) -> tuple[Int64s, Int32s, Int32s]:
    runs = header.fixed.get("position")
    if runs is None:
        fixed = header.fixed
        count = count_of(chosen)
        return (
            ints_at(data, fixed["code"], chosen, count),
            ints_at(data, fixed["lon"], chosen, count).astype(np.int32),
            ints_at(data, fixed["lat"], chosen, count).astype(np.int32),
        )
    starts, code, lon, lat = runs_of(data, header, runs)
    if isinstance(chosen, slice):
        first = int(starts.searchsorted(chosen.start, side="right")) - 1
        last = int(starts.searchsorted(chosen.stop, side="left"))
        edges = [chosen.start, *starts[first + 1 : last].tolist(), chosen.stop]
        counts = [stop - start for start, stop in pairwise(edges)]
        part = slice(first, last)
        return spread(code[part], counts), spread(lon[part], counts), spread(lat[part], counts)
    at = starts.searchsorted(chosen, side="right") - 1
    return code[at], lon[at], lat[at]


def _decode_sensors(
    data: Data, header: Header, chosen: Selection, count: int, *, named: bool
) -> tuple[pa.StringArray, UInt64s]:
    column = header.fixed["sensor"]
    hashes, names = sensors_of(data, header)
    if not count:
        return empty_texts(0), hashes[:0].copy()
    if column.kind == "own":
        at, taken = _positions(chosen), hashes[chosen].copy()
        return (names.take(pa.array(at)) if named else empty_texts(count)), taken
    if len(hashes) == 1:
        places, counts = [0], [count]
    else:
        at = buffer_of(data, column.buffers[3], column.parameters[3])[chosen]
        edges = (at[1:] != at[:-1]).nonzero()[0] + 1
        if len(edges) >= SPREAD_RUNS_MAX or len(hashes) > PREPARED_ENTRIES_MAX:
            return (names.take(pa.array(at)) if named else empty_texts(count)), hashes[at]
        starts = [0, *edges.tolist()]
        places, counts = at[starts].tolist(), [*map(sub, [*starts[1:], count], starts)]
    taken = spread(hashes[places], counts)
    if not named:
        return empty_texts(count), taken
    return _joined_names([_texts(header, names)[place] for place in places], counts), taken


def _texts(header: Header, names: pa.StringArray) -> list[bytes]:
    texts: list[bytes] | None = header.prepared.get("texts")
    if texts is None:
        texts = header.prepared["texts"] = [name.encode() for name in names.to_pylist()]
    return texts


def _joined_names(texts: list[bytes], counts: list[int]) -> pa.StringArray:
    """Each text so many times; Arrow's `take` would copy row by row."""
    rows = sum(counts)
    offsets = np.zeros(rows + 1, np.int32)
    np.add.accumulate(spread(np.array([*map(len, texts)], np.int32), counts), out=offsets[1:])
    body = b"".join([text * count for text, count in zip(texts, counts, strict=True)])
    return pa.Array.from_buffers(_TEXT, rows, [None, pa.py_buffer(offsets), pa.py_buffer(body)])


def spread(values: npt.NDArray[Any], counts: list[int]) -> npt.NDArray[Any]:
    """Each value as often as its count says."""
    if len(counts) > SPREAD_RUNS_MAX:
        return values.repeat(counts)
    out = np.empty(sum(counts), values.dtype)
    start = 0
    for value, count in zip(values, counts, strict=True):
        out[start : start + count] = value
        start += count
    return out


def _positions(chosen: Selection) -> npt.NDArray[np.intp]:
    return np.arange(chosen.start, chosen.stop) if isinstance(chosen, slice) else chosen


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
    elif column.kind == "const":
        numbers = np.full(count, column.parameters[2], _CONST_TYPES[letter])
    elif column.kind == "raw":
        numbers = buffer_of(data, column.buffers[0], "<f8")[chosen].copy()
    else:
        kind, base, unit = column.parameters[2:5]
        numbers = widened(buffer_of(data, column.buffers[0], kind)[chosen], base, unit)
        if column.kind == "decimal":
            numbers = numbers / POWERS_OF_TEN[column.parameters[5]]
    if len(numbers) != count:
        raise ValueError("columns of different lengths")
    if nulls is None and letter in "if":
        buffer = pa.py_buffer(numbers)
        return pa.Array.from_buffers(ARROW_TYPES[letter], count, [None, buffer])
    return pa.array(numbers, ARROW_TYPES[letter], mask=nulls)


def _decode_texts(data: Data, column: Column, chosen: Selection, nulls: Bools | None) -> pa.Array:
    letter = column.parameters[0]
    texts = texts_of(data, column.buffers, column.parameters[2:5], letter)
    if len(texts) == 1:
        indices: npt.NDArray[Any] = np.zeros(count_of(chosen), np.uint8)
    elif column.kind == "codes":
        indices = buffer_of(data, column.buffers[2], column.parameters[5])[chosen]
    else:
        indices = _positions(chosen)
    return texts.take(pa.array(indices, mask=nulls))
