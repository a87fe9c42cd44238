"""How large an Arrow IPC stream of a stranger becomes when it is read, before it is read.

Compressed buffers name their true size in their first 8 bytes; the reader would believe any
number. This walks the flatbuffer of each record batch just far enough to add those up.
Source: Apache Arrow, Message.fbs (Message.header is field 2; RecordBatch.buffers 2,
compression 3; DictionaryBatch.data 1).
"""

import struct
from collections.abc import Iterator

import pyarrow as pa

from node.errors import BadRequest, TooLarge

_BUFFERS_FIELD = 2
_COMPRESSION_FIELD = 3
_HEADER_FIELD = 2
_DICTIONARY_DATA_FIELD = 1


def check_unpacked_size(body: bytes, *, bytes_max: int) -> None:
    """Refuse a stream whose compressed buffers would unpack to more than `bytes_max`.

    Raises:
        TooLarge: names both sizes.
        BadRequest: the messages cannot be followed.
    """
    unpacked = 0
    try:
        for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(body)):
            if message.type not in ("record batch", "dictionary"):
                continue
            unpacked += sum(_unpacked_sizes(message))
            if unpacked > bytes_max:
                raise TooLarge(
                    f"the stream unpacks to more than {bytes_max} bytes; send it in smaller batches"
                )
    except (struct.error, IndexError, ValueError, OSError, pa.ArrowException) as error:
        raise BadRequest(f"the body is no Arrow IPC stream: {error}") from None


def _unpacked_sizes(message: pa.Message) -> Iterator[int]:
    meta, data = message.metadata.to_pybytes(), memoryview(message.body)
    header = _follow(meta, _field(meta, _root(meta), _HEADER_FIELD))
    if message.type == "dictionary":
        header = _follow(meta, _field(meta, header, _DICTIONARY_DATA_FIELD))
    if _field(meta, header, _COMPRESSION_FIELD) is None:
        return
    vector = _follow(meta, _field(meta, header, _BUFFERS_FIELD))
    (count,) = struct.unpack_from("<I", meta, vector)
    for at in range(count):
        offset, length = struct.unpack_from("<qq", meta, vector + 4 + 16 * at)
        if length >= 8:
            (size,) = struct.unpack_from("<q", data, offset)
            yield length if size == -1 else max(size, 0)  # -1: this buffer is not compressed


def _root(meta: bytes) -> int:
    (root,) = struct.unpack_from("<I", meta, 0)
    return int(root)


def _field(meta: bytes, table: int, index: int) -> int | None:
    """Position of a field of a table; None when the table has none."""
    (back,) = struct.unpack_from("<i", meta, table)
    vtable = table - back
    (vtable_bytes,) = struct.unpack_from("<H", meta, vtable)
    if 4 + 2 * index >= vtable_bytes:
        return None
    (offset,) = struct.unpack_from("<H", meta, vtable + 4 + 2 * index)
    return table + offset if offset else None


def _follow(meta: bytes, position: int | None) -> int:
    if position is None:
        raise ValueError("a batch without its header")
    (offset,) = struct.unpack_from("<I", meta, position)
    return position + int(offset)
