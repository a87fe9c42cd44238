"""Log entries: what one write brought, as checksummed Arrow IPC (layout 1; docs/storage.md).

1. crc32 of everything behind it, u32 little endian
2. header length, u32 little endian
3. header, msgpack: [[collection name, length of its stream], ...]
4. the Arrow IPC streams, one after another, each of one batch
"""

import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from node.errors import StoreDamaged
from node.records import Rows

PREFIX = struct.Struct("<II")
FIXED = ("time", "lon", "lat", "code", "version", "deleted", "sensor")
FIXED_TYPES = (
    pa.int64(),
    pa.int32(),
    pa.int32(),
    pa.int64(),
    pa.int64(),
    pa.bool_(),
    pa.string(),
)
VALUE_PREFIX = "="
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def encode_entry(batches: Sequence[tuple[str, Rows]]) -> bytes:
    """The bytes of one log entry."""
    streams = [_stream(rows) for _, rows in batches]
    sizes = [(name, len(stream)) for (name, _), stream in zip(batches, streams, strict=True)]
    header = msgpack.packb(sizes)
    body = b"".join([struct.pack("<I", len(header)), header, *streams])
    return struct.pack("<I", zlib.crc32(body)) + body


def _stream(rows: Rows) -> bytes:
    values = list(rows.values.values())
    arrays = [
        _plain(pa.int64(), rows.time),
        _plain(pa.int32(), rows.lon),
        _plain(pa.int32(), rows.lat),
        _plain(pa.int64(), rows.code),
        _plain(pa.int64(), rows.version),
        pa.array(rows.deleted),
        rows.sensor,
        *values,
    ]
    schema, head = _layout(tuple(rows.values), tuple([column.type for column in values]))
    # A stream writer gives the same bytes, and costs more than a batch of one record does.
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    return b"".join((head, batch.serialize(), _END_OF_STREAM))


def _plain(kind: Any, column: npt.NDArray[Any]) -> pa.Array:
    buffer = pa.py_buffer(np.ascontiguousarray(column))
    return pa.Array.from_buffers(kind, len(column), [None, buffer])


@lru_cache(maxsize=1_024)
def _layout(names: tuple[str, ...], kinds: tuple[Any, ...]) -> tuple[pa.Schema, bytes]:
    """Schema and its message: collections come again and again with the same columns."""
    types = (*FIXED_TYPES, *kinds)
    prefixed = (*FIXED, *(VALUE_PREFIX + name for name in names))
    schema = pa.schema(list(zip(prefixed, types, strict=True)))
    return schema, schema.serialize().to_pybytes()


def decode_entry(data: bytes, *, name: str) -> list[tuple[str, Rows]]:
    """The batches of one log entry.

    Args:
        name: what the entry is called in errors.
    Raises:
        StoreDamaged: these are not the bytes of an entry.
    """
    if len(data) < PREFIX.size:
        raise StoreDamaged(f"{name} has {len(data)} bytes, less than a prefix")
    checksum, length = PREFIX.unpack_from(data)
    if zlib.crc32(memoryview(data)[4:]) != checksum:
        raise StoreDamaged(f"{name} fails its checksum")
    try:
        at = PREFIX.size + length
        batches = []
        for collection, size in msgpack.unpackb(data[PREFIX.size : at]):
            batches.append((collection, _rows(data[at : at + size])))
            at += size
    except (ValueError, TypeError, KeyError, pa.ArrowException, msgpack.UnpackException) as error:
        raise StoreDamaged(f"{name} cannot be read ({error})") from error
    return batches


def _rows(stream: bytes) -> Rows:
    with pa.ipc.open_stream(stream) as reader:
        batch = reader.read_next_batch()
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    return Rows.build(
        time=columns["time"].to_numpy(),
        lon=columns["lon"].to_numpy(),
        lat=columns["lat"].to_numpy(),
        code=columns["code"].to_numpy(),
        version=columns["version"].to_numpy(),
        deleted=columns["deleted"].to_numpy(zero_copy_only=False).astype(np.bool_),
        sensor=columns["sensor"],
        values={
            name.removeprefix(VALUE_PREFIX): column
            for name, column in columns.items()
            if name.startswith(VALUE_PREFIX)
        },
    )
