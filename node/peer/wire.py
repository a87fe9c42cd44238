"""Messages and errors between nodes as bytes: what every transport sends.

    1. 4 bytes, unsigned, big-endian: length n of the head
    2. n bytes, msgpack: {"v": 1, "kind": text, "header": map}, or in a reply that is an error
       {"v": 1, "error": class name, "message": text, "fields": map}
    3. the rest: the body, as it is

Unknown fields are ignored. Any bytes decode or raise `BadRequest`.
"""

from collections.abc import Mapping
from typing import Any

import msgpack

from node import errors
from node.errors import BadRequest, NodeError, PeerRefused
from node.peer.transport import Message

VERSION = 1
HEAD_BYTES_MAX = 4 << 20
"""Heads carry names, spans and filters: kilobytes; a ring of a million spans travels as body."""
_LENGTH_BYTES = 4
_CARRIED_FIELDS = ("field", "document", "peer_reason")


def encode_message(message: Message) -> tuple[bytes, bytes | memoryview]:
    """Prefix with head, and the body, to be sent one after the other."""
    head = msgpack.packb({"v": VERSION, "kind": message.kind, "header": message.header})
    return len(head).to_bytes(_LENGTH_BYTES, "big") + head, message.body


def encode_error(error: NodeError) -> bytes:
    """An error as a reply, with what its class carries besides words."""
    fields = {
        name: value for name in _CARRIED_FIELDS if (value := getattr(error, name, None)) is not None
    }
    head = msgpack.packb(
        {"v": VERSION, "error": type(error).__name__, "message": str(error), "fields": fields}
    )
    return len(head).to_bytes(_LENGTH_BYTES, "big") + bytes(head)


def decode_request(data: bytes | memoryview) -> Message:
    """Read any bytes as a request.

    Raises:
        BadRequest: they are none.
    """
    head, body = _split(data)
    kind, header = head.get("kind"), head.get("header")
    if not isinstance(kind, str) or not isinstance(header, dict):
        raise BadRequest("message between nodes has no kind or header", field="head")
    return Message(kind, header, body)


def decode_reply(data: bytes | memoryview) -> Message:
    """Read any bytes as a reply.

    Raises:
        NodeError: the error that the peer's handler raised, as the same class; `PeerRefused` for
            one that has no class here, or for bytes that are no reply.
    """
    try:
        head, body = _split(data)
    except BadRequest as error:
        raise PeerRefused(f"the peer's reply cannot be read: {error}") from None
    if "error" in head:
        raise _decode_error(head)
    header = head.get("header")
    if not isinstance(header, dict):
        raise PeerRefused("the peer's reply has no header")
    return Message("", header, body)


def _split(data: bytes | memoryview) -> tuple[Mapping[Any, Any], memoryview]:
    view = memoryview(data)
    length = int.from_bytes(view[:_LENGTH_BYTES], "big")
    if len(view) < _LENGTH_BYTES + length or not 0 < length <= HEAD_BYTES_MAX:
        raise BadRequest("message between nodes is cut short or is none", field="head")
    body_start = _LENGTH_BYTES + length
    try:
        head = msgpack.unpackb(view[_LENGTH_BYTES:body_start])
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        raise BadRequest(
            "message between nodes has a head that is no msgpack", field="head"
        ) from None
    if not isinstance(head, dict) or head.get("v") != VERSION:
        raise BadRequest(
            f"message between nodes is not of version {VERSION}; upgrade the older node",
            field="head",
        )
    return head, view[body_start:]


def _decode_error(head: Mapping[Any, Any]) -> NodeError:
    name, words = str(head["error"]), str(head.get("message", ""))
    fields = head.get("fields")
    kind = getattr(errors, name, None)
    if not isinstance(fields, dict) or not (
        isinstance(kind, type) and issubclass(kind, NodeError) and kind is not NodeError
    ):
        return PeerRefused(f"{name}: {words}", peer_reason=name)
    known = {field: value for field, value in fields.items() if field in _CARRIED_FIELDS}
    try:
        return kind(words, **known)
    except TypeError:
        return PeerRefused(f"{name}: {words}", peer_reason=name)
