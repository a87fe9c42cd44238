"""Bytes of a fetch answer to messages: the formats 0 and 1, which brokers up to 3.9 still give.

    answer (version 2):  int32 throttle time, topics
    topics:              int32 count, count × (int16 length, name, Kafka partitions)
    Kafka partitions:    int32 count, count × (int32 number, int16 error, int64 high watermark,
                         int32 length, message set)
    message set:         entries, the last one possibly cut off
    entry:               int64 offset, int32 size, int32 checksum, int8 format, int8 attributes,
                         [format 1: int64 milliseconds], int32 key length, key,
                         int32 value length, value       (a length of -1: null)

Attributes: bits 0-2 the compression of the value (0 none, 1 gzip, 2 snappy, 3 lz4), which then is a
message set itself; bit 3: the broker's time stands for that of the inner messages.

Pure. Source: Apache Kafka, "Kafka protocol guide" and "Message format", the parts on old formats.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError  # noqa: N812  (an exception by its usual form)
from typing import Any

import pyarrow as pa

FETCH_VERSION = 2
DECOMPRESSED_BYTES_MAX = 64 << 20
"""Of one compressed set: several times what a broker takes in one request by default."""
_ENTRY = Struct("!qiibb")
_ENTRY_HEAD = Struct("!qi")
_INT32 = Struct("!i")
_INT64 = Struct("!q")
_INT16 = Struct("!h")
_PLACE = Struct("!ihqi")
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEAD_BYTES = 16
_LOG_APPEND_TIME = 0x08


@dataclass(slots=True)
class MessageColumns:
    """Messages of one set; lists of equal length."""

    offsets: list[int]
    produced_ms: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]


@dataclass(frozen=True, slots=True)
class PlaceAnswer:
    """What a fetch answer says of one Kafka partition.

    Attributes:
        error: Kafka's code, 0 for none.
        end: the high watermark: the offset behind the last readable message.
    """

    number: int
    error: int
    end: int
    messages: memoryview


def fetch_answer(data: memoryview) -> Iterator[PlaceAnswer]:
    """Take an answer to a fetch of version 2 apart."""
    position = 4
    (topics,) = _INT32.unpack_from(data, position)
    position += 4
    for _ in range(topics):
        (name_bytes,) = _INT16.unpack_from(data, position)
        position += 2 + name_bytes
        (places,) = _INT32.unpack_from(data, position)
        position += 4
        for _ in range(places):
            number, error, end, set_bytes = _PLACE.unpack_from(data, position)
            position += _PLACE.size
            yield PlaceAnswer(number, error, end, data[position : position + set_bytes])
            position += set_bytes


def decode_message_set(data: memoryview, *, start: int) -> MessageColumns:
    """Messages from offset `start` on.

    None where the answer was too small for the first one. A compressed set that cannot be read
    becomes one message: its own bytes at its last offset.
    """
    found = MessageColumns([], [], [], [])
    position, stop = 0, len(data)
    while stop - position >= _ENTRY_HEAD.size:
        offset, size = _ENTRY_HEAD.unpack_from(data, position)
        if stop - position - _ENTRY_HEAD.size < size:
            break
        _take_entry(data, position, offset, start, found)
        position += _ENTRY_HEAD.size + size
    return found


def _take_entry(
    data: memoryview, position: int, offset: int, start: int, found: MessageColumns
) -> None:
    _, _, _, form, attributes = _ENTRY.unpack_from(data, position)
    position += _ENTRY.size
    at_ms = -1
    if form > 0:
        (at_ms,) = _INT64.unpack_from(data, position)
        position += 8
    key, position = _bytes_or_null(data, position)
    value, _ = _bytes_or_null(data, position)
    compression = attributes & 0x07
    if compression and value is not None:
        inner = _inner(compression, value)
        if inner is not None:
            _take_inner(
                inner, offset, at_ms if attributes & _LOG_APPEND_TIME else None, start, found
            )
            return
    if offset >= start:
        found.offsets.append(offset)
        found.produced_ms.append(at_ms)
        found.keys.append(key)
        found.values.append(value)


def _bytes_or_null(data: memoryview, position: int) -> tuple[bytes | None, int]:
    (count,) = _INT32.unpack_from(data, position)
    position += 4
    if count < 0:
        return None, position
    return bytes(data[position : position + count]), position + count


def _take_inner(
    inner: MessageColumns, last: int, at_ms: int | None, start: int, found: MessageColumns
) -> None:
    """Inner offsets of format 1 count from 0, and the outer one is that of the last message."""
    shift = last - inner.offsets[-1]
    for index, relative in enumerate(inner.offsets):
        if relative + shift >= start:
            found.offsets.append(relative + shift)
            found.produced_ms.append(inner.produced_ms[index] if at_ms is None else at_ms)
            found.keys.append(inner.keys[index])
            found.values.append(inner.values[index])


def _inner(compression: int, value: bytes) -> MessageColumns | None:
    try:
        plain = _DECOMPRESS[compression](value)
        inner = decode_message_set(memoryview(plain), start=0)
    except (KeyError, ValueError, OSError, StructError, zlib.error):
        return None
    return inner if inner.offsets else None


def _gzip(value: bytes) -> bytes:
    plain = zlib.decompressobj(wbits=31).decompress(value, DECOMPRESSED_BYTES_MAX + 1)
    if len(plain) > DECOMPRESSED_BYTES_MAX:
        raise ValueError("too large")
    return plain


def _lz4(value: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(value), "lz4") as stream:
        plain: bytes = stream.read(DECOMPRESSED_BYTES_MAX + 1)
    if len(plain) > DECOMPRESSED_BYTES_MAX:
        raise ValueError("too large")
    return plain


def _snappy(value: bytes) -> bytes:
    """Plain snappy, or the blocks of Java's library."""
    if not value.startswith(_XERIAL):
        return _snappy_block(value)
    blocks, position = [], _XERIAL_HEAD_BYTES
    while position < len(value):
        (count,) = _INT32.unpack_from(value, position)
        position += 4
        blocks.append(_snappy_block(value[position : position + count]))
        position += count
    return b"".join(blocks)


def _snappy_block(block: bytes) -> bytes:
    """A block begins with its plain length, seven bits a byte, the lowest first."""
    plain_bytes = 0
    for index, byte in enumerate(block[:5]):
        plain_bytes |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            break
    if not 0 < plain_bytes <= DECOMPRESSED_BYTES_MAX:
        raise ValueError("too large, or nothing")
    plain: bytes = pa.Codec("snappy").decompress(block, plain_bytes, asbytes=True)
    return plain


_DECOMPRESS: dict[int, Any] = {1: _gzip, 2: _snappy, 3: _lz4}
