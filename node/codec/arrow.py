"""Arrow IPC streams: between nodes, to Python and Spark, and for bulk writes.

Columns: sensor utf8, time timestamp[us, UTC], lon and lat float64 degrees, version int64, then
the values by name; `deleted` bool only between nodes and only where a row is a deletion.
"""

import struct
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from node.codec.arrow_bounds import check_unpacked_size
from node.codec.arrow_message import BatchForm
from node.codec.columns import columns_to_rows
from node.codec.decoded import Decoded, Rejecter
from node.codec.times import TIME_TYPE
from node.errors import BadRequest, TooLarge
from node.records import FIXED_NAMES, TYPE_NAMES, Rows
from zring.domain import E7_PER_DEGREE, Domain, degrees_to_e7

_FLOAT, _INTEGER = pa.float64(), pa.int64()
_VALUE_TYPES = {kind.id: kind for kind in TYPE_NAMES}
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_NUMBERS = frozenset((_FLOAT.id, _INTEGER.id))
_OFFSET = struct.Struct("<i").unpack
UNPACKED_BYTES_MAX = 1 << 30
"""What a compressed stream may unpack to: far above any honest batch of records_max."""


def rows_to_batch(rows: Rows) -> pa.RecordBatch:
    """The rows as one record batch with the columns above.

    Cost: some 10 µs, however many rows: times and versions are not copied.
    """
    return _batch_and_head(rows)[0]


def rows_to_pieces(rows: Rows) -> list[bytes | bytearray | memoryview]:
    """The rows as a complete Arrow IPC stream of one batch, in pieces to be sent in this order.

    Cost: 10 µs where no value is null and all are numbers, and no copy of what is one; else 15 µs
    and one copy. A stream writer would cost 40 µs more, which is a lot beside a query of a hundred
    rows; its output is the same.
    """
    pieces = _plain_pieces(rows)
    if pieces is not None:
        return pieces
    batch, head = _batch_and_head(rows)
    return [head, memoryview(batch.serialize()), _END_OF_STREAM]


def rows_to_stream(rows: Rows) -> bytes:
    """The pieces joined."""
    return b"".join(rows_to_pieces(rows))


def _plain_pieces(rows: Rows) -> list[bytes | bytearray | memoryview] | None:
    """The stream as buffers; None for rows that need Arrow's own writer."""
    count, sensor = len(rows), rows.sensor
    columns = rows.values.values()
    if not count or sensor.offset or rows.deleted.any():
        return None
    if any(column.null_count or column.type.id not in _NUMBERS for column in columns):
        return None
    _, offsets, texts = (memoryview(buffer or b"") for buffer in sensor.buffers())
    offsets = offsets[: 4 * (count + 1)]
    first, stop = _OFFSET(offsets[:4])[0], _OFFSET(offsets[-4:])[0]
    if first:
        return None
    names = tuple(rows.values)
    form, head = _plain_layout(names, tuple([column.type.id for column in columns]))
    numbers = [
        _bytes_of(rows.time),
        _bytes_of(rows.lon / E7_PER_DEGREE),
        _bytes_of(rows.lat / E7_PER_DEGREE),
        _bytes_of(rows.version),
    ]
    numbers += [
        memoryview(column.buffers()[1])[8 * column.offset : 8 * (column.offset + count)]
        for column in columns
    ]
    pieces = form.pieces(count, offsets, texts[:stop], numbers)
    return [head, *pieces, _END_OF_STREAM]


def _bytes_of(column: npt.NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(column).data.cast("B")


@lru_cache(maxsize=1_024)
def _plain_layout(names: tuple[str, ...], type_ids: tuple[int, ...]) -> tuple[BatchForm, bytes]:
    schema, head = _layout(names, type_ids, False)
    return BatchForm.of(schema), head


def _batch_and_head(rows: Rows) -> tuple[pa.RecordBatch, bytes]:
    count = len(rows)
    values = list(rows.values.values())
    arrays = [
        rows.sensor,
        _array(TIME_TYPE, rows.time, count),
        _array(_FLOAT, rows.lon / E7_PER_DEGREE, count),
        _array(_FLOAT, rows.lat / E7_PER_DEGREE, count),
        _array(_INTEGER, rows.version, count),
        *values,
    ]
    has_deleted = bool(rows.deleted.any())
    if has_deleted:
        arrays.append(pa.array(rows.deleted))
    schema, head = _layout(tuple(rows.values), tuple([a.type.id for a in values]), has_deleted)
    return pa.RecordBatch.from_arrays(arrays, schema=schema), head


def _array(kind: Any, column: npt.NDArray[Any], count: int) -> pa.Array:
    return pa.Array.from_buffers(
        kind, count, [None, pa.py_buffer(column if column.flags.c_contiguous else column.copy())]
    )


@lru_cache(maxsize=1_024)
def _layout(
    names: tuple[str, ...], type_ids: tuple[int, ...], has_deleted: bool
) -> tuple[pa.Schema, bytes]:
    """Schema and its message; collections have few sets of columns and are asked for again."""
    fields = [
        ("sensor", pa.string()),
        ("time", TIME_TYPE),
        ("lon", _FLOAT),
        ("lat", _FLOAT),
        ("version", _INTEGER),
        *((name, _VALUE_TYPES[kind]) for name, kind in zip(names, type_ids, strict=True)),
    ]
    if has_deleted:
        fields.append(("deleted", pa.bool_()))
    schema = pa.schema(fields)
    return schema, schema.serialize().to_pybytes()


def trusted_batch_to_rows(batch: pa.RecordBatch, domain: Domain) -> Rows:
    """Rows of a batch that another node wrote: types and bounds are known to be right."""
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    lon = degrees_to_e7(columns["lon"].to_numpy()).astype(np.int32)
    lat = degrees_to_e7(columns["lat"].to_numpy()).astype(np.int32)
    deleted = columns.get("deleted")
    return Rows.build(
        time=columns["time"].view(pa.int64()).to_numpy(),
        lon=lon,
        lat=lat,
        code=domain.positions_to_codes(lon=lon, lat=lat),
        version=columns["version"].to_numpy(),
        deleted=None if deleted is None else deleted.to_numpy(zero_copy_only=False),
        sensor=columns["sensor"],
        values={name: column for name, column in columns.items() if name not in FIXED_NAMES},
    )


def stream_to_rows(body: bytes, *, domain: Domain, records_max: int) -> Decoded:
    """Rows of a stream that anybody may have sent: everything is checked, nothing is trusted.

    Raises:
        BadRequest: no Arrow IPC stream, damaged, a name twice, a type that cannot be read.
        TooLarge: more records than `records_max`, or more than `UNPACKED_BYTES_MAX` unpacked.
    Cost: some 3 M records/s with four number columns.
    """
    check_unpacked_size(body, bytes_max=UNPACKED_BYTES_MAX)
    try:
        table = _read_table(body, records_max)
        names = table.column_names
    except (pa.ArrowException, OSError, OverflowError, ValueError, TypeError) as error:
        raise BadRequest(f"the body is no readable Arrow IPC stream: {error}") from None
    if not names:
        raise BadRequest(
            "the Arrow IPC stream has no columns; give sensor, time, lon, lat and values"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"column {twice!r} appears twice", field=twice)
    columns = {name: _combined(table.column(name)) for name in names}
    try:
        return columns_to_rows(columns, domain=domain, rejecter=Rejecter(table.num_rows))
    except UnicodeDecodeError as error:  # names inside nested types are read as late as here
        raise BadRequest(f"a name in the schema is not UTF-8: {error}") from None


def _read_table(body: bytes, records_max: int) -> pa.Table:
    batches, count = [], 0
    with pa.ipc.open_stream(pa.BufferReader(body)) as reader:
        for batch in reader:
            count += batch.num_rows
            if count > records_max:
                raise TooLarge(f"more than {records_max} records; send them in smaller batches")
            batch.validate(full=True)
            batches.append(batch)
        return pa.Table.from_batches(batches, reader.schema)


def _combined(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
