"""How a sender and a server of the forward protocol show each other that they know the key; pure.

HELO (server: nonce, salt) → PING (sender: its name, salt, digest of the key, user) → PONG (server:
verdict, its name, digest of the key). Digests are SHA-512 in hexadecimal, as protocol v1 says.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

PING_FIELDS = 6


def digest(*parts: str | bytes) -> str:
    """SHA-512 of the parts one after the other."""
    sha = hashlib.sha512()
    for part in parts:
        sha.update(part.encode() if isinstance(part, str) else part)
    return sha.hexdigest()


@dataclass(frozen=True, slots=True)
class Handshake:
    """One connection's handshake, on the server's side.

    Args:
        nonce, salt: random bytes, new for each connection.
        users: user → password; empty asks for none.
    """

    server_name: str
    shared_key: str
    users: Mapping[str, str]
    nonce: bytes
    salt: bytes

    def helo(self) -> bytes:
        """What the server says first."""
        salt = self.salt if self.users else b""
        options = {"nonce": self.nonce, "auth": salt, "keepalive": True}
        packed: bytes = msgpack.packb(["HELO", options])
        return packed

    def answer(self, ping: Any) -> tuple[str, bytes]:
        """Why the sender is refused (empty when it is not), and the PONG to send."""
        refusal = self._refusal(ping)
        if refusal:
            packed: bytes = msgpack.packb(["PONG", False, refusal, self.server_name, ""])
            return refusal, packed
        shown = digest(ping[2], self.server_name, self.nonce, self.shared_key)
        packed = msgpack.packb(["PONG", True, "", self.server_name, shown])
        return "", packed

    def _refusal(self, ping: Any) -> str:
        if type(ping) is not list or len(ping) != PING_FIELDS or ping[0] != "PING":
            return "the first message is no PING"
        if not all(isinstance(part, str | bytes) for part in ping):
            return "PING holds something that is no text"
        _, name, salt, key_digest, user, password_digest = ping
        if not _same(key_digest, digest(salt, name, self.nonce, self.shared_key)):
            return "shared_key differs"
        if self.users:
            known = self.users.get(user if isinstance(user, str) else user.decode(errors="replace"))
            shown = digest(self.salt, user, known or "")
            if not _same(password_digest, shown) or known is None:
                return "user or password is wrong"
        return ""


def _same(given: str | bytes, wanted: str) -> bool:
    found = given.encode(errors="replace") if isinstance(given, str) else given
    return hmac.compare_digest(found, wanted.encode())
