"""Log entries: what one write brought, as checksummed Arrow IPC (layout 1; docs/storage.md).

1. crc32 of everything behind it, u32 little endian
2. header length, u32 little endian
3. header, msgpack: [[collection name, length of its stream], ...]
4. the Arrow IPC streams, one after another, each of one batch
"""

import struct
import zlib
from collections.abc import Sequence

import msgpack
import numpy as np
import pyarrow as pa

from node.errors import StoreDamaged
from node.records import Rows

PREFIX = struct.Struct("<II")
FIXED = ("time", "lon", "lat", "code", "version", "deleted", "sensor")
VALUE_PREFIX = "="


def encode_entry(batches: Sequence[tuple[str, Rows]]) -> bytes:
    """The bytes of one log entry."""
    streams = [_stream(rows) for _, rows in batches]
    sizes = [(name, stream.size) for (name, _), stream in zip(batches, streams, strict=True)]
    header = msgpack.packb(sizes)
    body = b"".join([struct.pack("<I", len(header)), header, *streams])
    return struct.pack("<I", zlib.crc32(body)) + body


def _stream(rows: Rows) -> pa.Buffer:
    arrays: dict[str, pa.Array] = {
        "time": pa.array(rows.time),
        "lon": pa.array(rows.lon),
        "lat": pa.array(rows.lat),
        "code": pa.array(rows.code),
        "version": pa.array(rows.version),
        "deleted": pa.array(rows.deleted),
        "sensor": rows.sensor,
    }
    for name, column in rows.values.items():
        arrays[VALUE_PREFIX + name] = column
    batch = pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def decode_entry(data: bytes, *, name: str) -> list[tuple[str, Rows]]:
    """The batches of one log entry.

    Args:
        name: what the entry is called in errors.
    Raises:
        StoreDamaged: these are not the bytes of an entry.
    """
    if len(data) < PREFIX.size:
        raise StoreDamaged(f"{name} has {len(data)} bytes, less than a prefix; refill this node")
    checksum, length = PREFIX.unpack_from(data)
    if zlib.crc32(memoryview(data)[4:]) != checksum:
        raise StoreDamaged(f"{name} fails its checksum; set the store aside and refill this node")
    try:
        at = PREFIX.size + length
        batches = []
        for collection, size in msgpack.unpackb(data[PREFIX.size : at]):
            batches.append((collection, _rows(data[at : at + size])))
            at += size
    except (ValueError, TypeError, KeyError, pa.ArrowException, msgpack.UnpackException) as error:
        raise StoreDamaged(f"{name} cannot be read ({error}); refill this node") from error
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
