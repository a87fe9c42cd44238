"""Sessions between nodes: a greeting in which both prove the cluster key, then a seal a message.

The key never travels. Greeting (once for each pair of processes and direction of calls):

    1. caller → called: its identity, a nonce n1, HMAC(key, "ask" · n1 · identity)
    2. called → caller: its identity, session id, a nonce n2, HMAC(key, "answer" · 1. · 2.)
    3. both: session key = HMAC(key, "session" · 1. · 2.)

Every message then carries `id.counter.digest.seal` with seal = MAC(session key, "ask" · counter ·
body length · digest), checked before the body is read, and its reply a seal over "answer" and the
same counter. HMAC is HMAC-SHA256; MAC is keyed BLAKE2b of 128 bits, which costs a third of that for
texts this short; both are compared in constant time. The digest is the body's SHA-256; under TLS,
which protects bodies itself, it is left out.

What that gives: a message cannot be made, changed or sent twice by someone without the key: a
counter is taken once, in a window of `WINDOW` for messages that overtake each other, and a
session ends with either process. A greeting that is played back opens a session whose key its
player does not know. No clock is involved, so a node whose clock is wrong is still a member.

What it does not give: secrecy (that is TLS), forward secrecy without TLS, and a bar between
members: whoever has the key may call itself by any name. With certificates (mutual TLS) a node's
certificate must name it. Without key and certificates there are no proofs and seals, but
identities are still compared.

Sources: RFC 2104 (HMAC), RFC 7693 (keyed BLAKE2), RFC 4303 section 3.4.3 (window against replay).
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgpack

from node.errors import BadRequest, PeerRefused, Unauthorised
from node.peer.identity import PeerIdentity, double, header_to_identity, identity_to_header

VERSION = 1
WINDOW = 1_024
"""Messages of one session that may overtake each other: 32 connections with room."""
SESSIONS_MAX = 4_096
"""Sessions kept for callers; one a process that calls. The one unused longest goes first."""
PENDING_MAX = 256
"""Sessions that were opened and never used: all that strangers' greetings can take up."""
DOUBLE_S = 5.0
"""A process that spoke this recently, and whose connection is open, is alive."""
UNKNOWN = "unknown"
"""In place of a seal: the session is not known here (any more); greet again."""
_NONCE_BYTES = 16
_SEAL_BYTES = 16
_NONE = "-"

Pieces = Iterable[bytes | memoryview]


class Link(Protocol):
    """The connection that a message came in on."""

    def is_closing(self) -> bool:
        """Whether it is closed."""


class SessionUnknown(Unauthorised):
    """Raised when a session is not known here; the caller greets again and repeats the message."""


@dataclass(slots=True)
class Session:
    """One direction between two processes."""

    id: str
    key: bytes
    peer: PeerIdentity
    covers_bodies: bool
    sent: int = 0
    _top: int = 0
    _seen: int = field(default=0, repr=False)

    def seal(self, body: Pieces, length: int) -> tuple[str, int]:
        """What goes with the next message, and its counter."""
        self.sent += 1
        digest = self.digest(body)
        seal = self._sealed(b"ask", self.sent, length, digest)
        return f"{self.id}.{self.sent}.{digest}.{seal}", self.sent

    def seal_answer(self, counter: int, body: Pieces, length: int) -> str:
        """What goes with the reply to a message."""
        digest = self.digest(body)
        return f"{digest}.{self._sealed(b'answer', counter, length, digest)}"

    def check(self, counter: int, length: int, digest: str, seal: str) -> None:
        """Take a message of this session, once.

        Raises:
            Unauthorised: the seal is wrong, or the counter was taken before.
        """
        if not _equal(seal, self._sealed(b"ask", counter, length, digest)):
            raise Unauthorised("the seal of a message is wrong; it was changed on its way")
        if not self._take(counter):
            raise Unauthorised("a message came twice; it was played back, or very late")

    def check_answer(self, text: str, counter: int, body: bytes) -> None:
        """Check the reply to a message.

        Raises:
            Unauthorised: it is not from the node that was greeted.
        """
        digest, _, seal = text.partition(".")
        if not (
            _equal(digest, self.digest((body,)))
            and _equal(seal, self._sealed(b"answer", counter, len(body), digest))
        ):
            raise Unauthorised("the seal of a reply is wrong; it is not from the node called")

    def digest(self, body: Pieces) -> str:
        """Of a body, where it is covered."""
        if not self.covers_bodies:
            return _NONE
        state = hashlib.sha256()
        for piece in body:
            state.update(piece)
        return state.hexdigest()

    def _sealed(self, label: bytes, counter: int, length: int, digest: str) -> str:
        if not self.key:
            return _NONE
        text = b"%b %d %d %b" % (label, counter, length, digest.encode("utf-8", "replace"))
        return hashlib.blake2b(text, key=self.key, digest_size=_SEAL_BYTES).hexdigest()

    def _take(self, counter: int) -> bool:
        ahead = counter - self._top
        if ahead > 0:
            self._seen = (self._seen << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._top = counter
            return True
        bit = 1 << -ahead
        if ahead <= -WINDOW or self._seen & bit:
            return False
        self._seen |= bit
        return True


class Speakers:
    """Which process speaks for each node, so that a second one under its name is noticed."""

    def __init__(self) -> None:
        self._known: dict[str, _Speaker] = {}

    def check(self, peer: PeerIdentity, now_s: float) -> None:
        """Look whether another process speaks for a node, and note nothing.

        Raises:
            PeerRefused: one does, and is alive.
        """
        speaker = self._known.get(peer.node)
        if (
            speaker is not None
            and peer.instance not in (speaker.instance, speaker.former)
            and speaker.is_alive(now_s)
        ):
            raise double(peer.node)

    def heard(self, peer: PeerIdentity, link: Link | None, now_s: float) -> None:
        """A process spoke for a node, which is certain: a seal or a fresh proof was right.

        Raises:
            PeerRefused: another one does so already and is alive.
        """
        if not peer.node:
            return
        speaker = self._known.get(peer.node)
        if speaker is None:
            speaker = self._known[peer.node] = _Speaker(peer.instance)
        elif speaker.instance != peer.instance:
            self.check(peer, now_s)
            # The former one is alive after all: then the one after it is the double, and counts
            # as a newcomer from now on.
            again = peer.instance == speaker.former
            speaker.former = None if again else speaker.instance
            speaker.instance = peer.instance
        speaker.spoke_s, speaker.link = now_s, link or speaker.link

    def replaced(self, node: str, former: str) -> None:
        """At the address of process `former` answers another one: it has ended."""
        speaker = self._known.get(node)
        if speaker is not None and speaker.instance == former:
            del self._known[node]


@dataclass(slots=True)
class _Speaker:
    """The process that speaks for one node, and the one before it."""

    instance: str
    former: str | None = None
    spoke_s: float = 0.0
    link: Link | None = None

    def is_alive(self, now_s: float) -> bool:
        closed = self.link is not None and self.link.is_closing()
        return now_s - self.spoke_s < DOUBLE_S and not closed


class Sessions:
    """The greetings of one node, and the sessions that others opened with it.

    Args:
        covers_bodies: false under TLS.
    """

    def __init__(self, identity: PeerIdentity, cluster_key: str, *, covers_bodies: bool) -> None:
        self.identity = identity
        self._key = cluster_key.encode()
        self._covers_bodies = covers_bodies and bool(cluster_key)
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._pending: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open) + len(self._pending)

    def ask(self) -> dict[str, Any]:
        """A greeting to be sent."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        asked = _asked(nonce, self.identity)
        return {
            **identity_to_header(self.identity),
            "version": VERSION,
            "nonce": nonce,
            "proof": self._proof(b"ask", asked),
        }

    def answer(
        self, header: Mapping[str, Any], names: frozenset[str] | None = None
    ) -> tuple[dict[str, Any], PeerIdentity]:
        """The answer to a greeting, with a new session for its sender.

        Args:
            names: those in the sender's certificate; None where certificates are not asked for.
        Raises:
            BadRequest: it is no greeting. Unauthorised: wrong key. PeerRefused: another cluster,
            domain, grain level, or this node's own name.
        """
        peer, nonce, proof = _read(header)
        asked = _asked(nonce, peer)
        if not hmac.compare_digest(proof, self._proof(b"ask", asked)):
            raise Unauthorised(
                "the cluster key is missing or wrong; give every node the same cluster.key"
            )
        if names is not None and peer.node not in names:
            raise Unauthorised(
                f"the certificate names {', '.join(sorted(names)) or 'nobody'}, not {peer.node}; "
                "a node's certificate has its name as subjectAltName DNS (zring certs makes them)"
            )
        self.identity.check(peer)
        own = secrets.token_bytes(_NONCE_BYTES)
        session_id = secrets.token_hex(_NONCE_BYTES)
        both = _answered(asked, session_id, own, self.identity)
        self._pending[session_id] = Session(
            session_id, self._proof(b"session", both), peer, self._covers_bodies
        )
        while len(self._pending) > PENDING_MAX:
            self._pending.popitem(last=False)
        answer = {
            **identity_to_header(self.identity),
            "session": session_id,
            "nonce": own,
            "proof": self._proof(b"answer", both),
        }
        return answer, peer

    def accept(self, ask: Mapping[str, Any], answer: Mapping[str, Any]) -> Session:
        """The session that the answer to our greeting opens.

        Raises:
            Unauthorised, PeerRefused: the other node is none of ours.
        """
        try:
            peer, nonce, proof = _read(answer)
        except BadRequest as error:
            raise PeerRefused(f"the answer to a greeting cannot be read: {error}") from None
        session_id = str(answer.get("session"))
        asked = _asked(ask["nonce"], self.identity)
        both = _answered(asked, session_id, nonce, peer)
        if not hmac.compare_digest(proof, self._proof(b"answer", both)):
            raise Unauthorised(
                "the other node has no or another cluster key; give every node the same cluster.key"
            )
        self.identity.check(peer)
        return Session(session_id, self._proof(b"session", both), peer, self._covers_bodies)

    def check(self, text: str, length: int) -> tuple[Session, int, str]:
        """The session, counter and digest of a message whose seal is right.

        Raises:
            SessionUnknown, Unauthorised.
        """
        session_id, _, rest = text.partition(".")
        counter, _, rest = rest.partition(".")
        digest, _, seal = rest.partition(".")
        session = self._open.get(session_id)
        pending = session is None
        if session is None:
            session = self._pending.get(session_id)
        if session is None:
            raise SessionUnknown("this session is not known here; greet the node again")
        if not (counter.isascii() and counter.isdigit() and len(counter) < 16):
            raise Unauthorised("the seal of a message has no counter")
        session.check(int(counter), length, digest, seal)
        if pending:
            self._open[session_id] = self._pending.pop(session_id)
            if len(self._open) > SESSIONS_MAX:
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(session_id)
        return session, int(counter), digest

    def _proof(self, label: bytes, transcript: bytes) -> bytes:
        if not self._key:
            return b""
        return hmac.digest(self._key, label + b" " + transcript, "sha256")


def _read(header: Mapping[str, Any]) -> tuple[PeerIdentity, bytes, bytes]:
    peer = header_to_identity(header)
    nonce, proof = header.get("nonce"), header.get("proof")
    if not (isinstance(nonce, bytes) and len(nonce) == _NONCE_BYTES and isinstance(proof, bytes)):
        raise BadRequest("the greeting between nodes has no nonce or proof", field="nonce")
    return peer, nonce, proof


def _asked(nonce: bytes, identity: PeerIdentity) -> bytes:
    return msgpack.packb([VERSION, nonce, *identity.fields()])


def _answered(asked: bytes, session_id: str, nonce: bytes, identity: PeerIdentity) -> bytes:
    return msgpack.packb([asked, session_id, nonce, *identity.fields()])


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
