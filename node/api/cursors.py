"""Opaque cursors: where a page ended, bound to its question.

Layout, 36 bytes as base64url: 1. digest of the question (8), 2. code (8), 3. time (8, signed),
4. sensor hash (8), 5. check (4): the first half of the digest of 1-4. The check is no secret: a
cursor only says where to go on in records that its holder may read anyway; it tells apart a
cut or mistyped one.
"""

import base64
import binascii
import struct
from collections.abc import Iterable

from node.errors import BadRequest
from node.records import Key
from zring.digest import hash_bytes, hash_text

_BODY = struct.Struct(">QQqQ")
_CURSOR_BYTES = _BODY.size + 4
_WAY_OUT = 'take it from the "next" link of a page, with the same other parameters'


def question_digest(path: str, parameters: Iterable[tuple[str, str]]) -> int:
    """Digest of what is asked: the path and the parameters that select rows."""
    return hash_text(path + "\n" + "\n".join(f"{name}={text}" for name, text in sorted(parameters)))


def key_to_cursor(key: Key, question: int) -> str:
    """The cursor that goes on after `key`."""
    body = _BODY.pack(question, key.code, key.time, key.sensor_hash)
    return base64.urlsafe_b64encode(body + _check(body)).decode()


def cursor_to_key(cursor: str, question: int) -> Key:
    """Undo `key_to_cursor`.

    Raises:
        BadRequest: damaged, or made for another question.
    """
    try:
        data = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    body = data[: _BODY.size]
    if len(data) != _CURSOR_BYTES or data[_BODY.size :] != _check(body):
        raise BadRequest(f"cursor={cursor[:80]} is damaged; {_WAY_OUT}", field="cursor")
    made_for, code, time, sensor_hash = _BODY.unpack(body)
    if made_for != question:
        raise BadRequest(f"cursor={cursor} belongs to another query; {_WAY_OUT}", field="cursor")
    return Key(code, time, sensor_hash)


def _check(body: bytes) -> bytes:
    return hash_bytes(body).to_bytes(8, "big")[:4]
