"""Records between nodes: an Arrow IPC stream of the columns as a node holds them.

Layout (columns of one record batch, in this order; readers go by name):

    1. sensor   utf8, no nulls
    2. time     int64, microseconds since the epoch
    3. lon      int32, e7      4. lat  int32, e7
    5. code     int64          6. version  int64
    7. hash     uint64, of the sensor's name
    8. deleted  bool, only where a row is a deletion
    9. =NAME    each value column, its name behind "="

Unlike the streams for people and programs, nothing is rounded, hashed or computed at either
end: a page of 20,000 rows costs the time to copy it.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from node.errors import BadRequest
from node.records import Rows, empty_rows

_PREFIX = "="


def rows_to_bytes(rows: Rows) -> memoryview | bytes:
    """The rows as one stream; no bytes when there are none."""
    if not len(rows):
        return b""
    columns = {
        "sensor": rows.sensor,
        "time": pa.array(rows.time),
        "lon": pa.array(rows.lon),
        "lat": pa.array(rows.lat),
        "code": pa.array(rows.code),
        "version": pa.array(rows.version),
        "hash": pa.array(rows.sensor_hash),
    }
    if rows.deleted.any():
        columns["deleted"] = pa.array(rows.deleted)
    columns.update((_PREFIX + name, column) for name, column in rows.values.items())
    return batch_to_bytes(pa.RecordBatch.from_pydict(columns))


def batch_to_bytes(batch: pa.RecordBatch) -> memoryview:
    """One record batch as a complete stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def bytes_to_batch(body: bytes | memoryview) -> pa.RecordBatch:
    """Undo `batch_to_bytes`.

    Raises:
        BadRequest: the bytes are no stream of one batch.
    """
    try:
        with pa.ipc.open_stream(body) as reader:
            batch = reader.read_next_batch()
            batch.validate(full=True)
            # Names of a damaged schema fail only when they are looked at.
            assert len(batch.schema.names) == batch.num_columns
            return batch
    except (pa.ArrowException, OSError, ValueError, EOFError, StopIteration) as error:
        raise BadRequest(f"body is no Arrow stream: {error}", field="body") from None


def bytes_to_rows(body: bytes | memoryview) -> Rows:
    """Undo `rows_to_bytes`; peers are authenticated, so contents are taken as they are.

    Raises:
        BadRequest: the bytes are no stream, or a column is absent or of another type.
    """
    if not len(body):
        return empty_rows()
    batch = bytes_to_batch(body)
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    try:
        return Rows(
            time=_numbers(columns["time"], pa.int64()),
            lon=_numbers(columns["lon"], pa.int32()),
            lat=_numbers(columns["lat"], pa.int32()),
            code=_numbers(columns["code"], pa.int64()),
            version=_numbers(columns["version"], pa.int64()),
            deleted=np.zeros(len(batch), np.bool_)
            if "deleted" not in columns
            else columns["deleted"].to_numpy(zero_copy_only=False),
            sensor=_typed(columns["sensor"], pa.string()),
            sensor_hash=_numbers(columns["hash"], pa.uint64()),
            values={
                name[len(_PREFIX) :]: column
                for name, column in columns.items()
                if name.startswith(_PREFIX)
            },
        )
    except KeyError as error:
        raise BadRequest(f"body lacks the column {error}", field="body") from None


def _typed(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type != kind or column.null_count:
        raise BadRequest(f"body has a column of type {column.type}, not {kind}", field="body")
    return column


def _numbers(column: pa.Array, kind: pa.DataType) -> Any:
    return _typed(column, kind).to_numpy()
