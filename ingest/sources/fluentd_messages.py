"""Messages of Fluentd's forward protocol (v1), pure: bytes of a connection to chunks of events.

Four forms: `[tag, time, record]` (Message), `[tag, [[time, record], …]]` (Forward), `[tag, bytes]`
(PackedForward: the events one after the other, also compressed with gzip), each with an optional
table of options at its end. Whatever the form, a chunk's payload is the events one after the
other, which is what the message format `fluentd` reads; packed ones are passed on as they came.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import msgpack

CHUNK_BYTES_MAX = 16 << 20
"""One message on the wire. Fluentd's memory buffers send 8 MB; file buffers 256 MB unless
`chunk_limit_size` says less."""
UNPACKED_BYTES_MAX = 32 << 20
"""A compressed chunk that becomes more is handed on as it came, and refused by its reader."""
EVENTS_MAX = 200_000
NESTED_MEMBERS_MAX = 100_000
ESCAPED = "surrogateescape"
"""Texts that are no UTF-8 stay what they are: they are given back as they came."""
MSGPACK_ERRORS = (ValueError, TypeError, msgpack.UnpackException, RecursionError, OverflowError)
GZIP = 31
"""zlib's number for streams with gzip's header."""


class MalformedForward(Exception):
    """Bytes that are no forward protocol; the connection is closed, nothing else suffers."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message.

    Attributes:
        tag: whose events they are.
        payload: its events, packed one after the other.
        acknowledge: what the sender wants to hear once they are stored; None for nothing.
    """

    tag: str
    payload: bytes
    acknowledge: Any = None


def make_unpacker() -> msgpack.Unpacker:
    """For one connection; refuses what would take more memory than one message may."""
    return msgpack.Unpacker(
        max_buffer_size=CHUNK_BYTES_MAX,
        max_bin_len=CHUNK_BYTES_MAX,
        max_str_len=CHUNK_BYTES_MAX,
        max_array_len=EVENTS_MAX,
        max_map_len=NESTED_MEMBERS_MAX,
        max_ext_len=1 << 10,
        unicode_errors=ESCAPED,
        strict_map_key=False,
    )


def document_to_chunk(document: Any) -> Chunk | None:
    """What one msgpack document of a connection carries; None for an empty one (a heartbeat).

    Raises:
        MalformedForward: it is none of the four forms.
    """
    if document is None:
        return None
    if type(document) is not list or len(document) < 2 or type(document[0]) is not str:
        raise MalformedForward("a message is no [tag, …]")
    tag, events = document[0], document[1]
    at = 3 if not isinstance(events, list | bytes | str) else 2
    options = document[at] if len(document) > at else None
    if options is None:
        options = {}
    if type(options) is not dict:
        raise MalformedForward("the options of a message are no table")
    return Chunk(tag, _payload(document, options), options.get("chunk"))


def _payload(document: list[Any], options: dict[Any, Any]) -> bytes:
    events = document[1]
    if isinstance(events, str):
        events = events.encode(errors=ESCAPED)
    if isinstance(events, bytes):
        return _unpacked(events) if options.get("compressed") == "gzip" else events
    if isinstance(events, list):
        packer = msgpack.Packer(autoreset=False, unicode_errors=ESCAPED)
        for event in events:
            packer.pack(event)
        return packer.bytes()
    if len(document) < 3:
        raise MalformedForward("a message has a time and no record")
    packed: bytes = msgpack.packb(document[1:3], unicode_errors=ESCAPED)
    return packed


def _unpacked(data: bytes) -> bytes:
    """Without gzip, which may consist of several streams; as it came where that cannot be."""
    pieces, size, rest = [], 0, data
    try:
        while rest:
            stream = zlib.decompressobj(GZIP)
            piece = stream.decompress(rest, UNPACKED_BYTES_MAX + 1 - size)
            size += len(piece)
            if size > UNPACKED_BYTES_MAX or not stream.eof:
                return data
            pieces.append(piece)
            rest = stream.unused_data
    except zlib.error:
        return data
    return b"".join(pieces)
