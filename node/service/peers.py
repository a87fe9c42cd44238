"""Calls to other members: the ring digest on every message, a deadline on every call.

A link that is cut is silent: nobody says that no answer will come. So whoever does not answer soon
is probed, and given up when it does not answer that either, long before the time given is over. An
answer of which bytes are arriving is waited for as long as more come, up to the caller's deadline.

A peer that holds another ring answers `StaleRing` with its document; both sides merge, and the
call is made once more. Nothing is ever served on rings that differ (promise 6).
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from node.clock import Clock
from node.config import Limits, LinkPreset
from node.errors import DeadlineExceeded, PeerRefused, PeerUnreachable, StaleRing
from node.peer.transport import Message, Transport
from node.service.counters import Counters
from node.service.health import Health
from zring.errors import DifferentCluster

LOOK_MS = 250
"""Nearly every answer has come by then."""
LATE_TIMES_MAX = 5
"""A probe whose answer is behind other bytes of the same node waits so many times as long: to give
it up would be to open a new connection, through the same queue."""


class Surroundings(Protocol):
    """Whoever keeps this node's ring and knows its members."""

    def ring_digest(self) -> int:
        """Digest of the ring in force."""

    async def adopt(self, document: bytes) -> bytes | None:
        """Merge a document; returns the merged one when it is news to its sender."""

    def heard_store(self, header: Mapping[str, Any]) -> None:
        """A reply came; its header says of which store it is and how far that is."""

    @property
    def link(self) -> LinkPreset:
        """How members keep in touch."""

    def doubt(self, address: str) -> bool:
        """Have whoever is there probed; returns whether it left the last probe unanswered."""

    @property
    def health(self) -> Health:
        """Who is there."""


class Peers:
    """The other nodes, by address."""

    def __init__(
        self,
        *,
        node_id: str,
        transport: Transport,
        clock: Clock,
        limits: Limits,
        counters: Counters,
        members: Surroundings,
    ) -> None:
        self._node_id = node_id
        self._transport = transport
        self._clock = clock
        self._limits = limits
        self._counters = counters
        self._members = members

    async def gossip(self, address: str, body: bytes, *, timeout_ms: int) -> bytes | memoryview:
        """Send a message about members; its body says all that a header would.

        Raises:
            PeerUnreachable, PeerRefused, and whatever the peer's handler raised.
        """
        self._counters.peer_calls += 1
        self._counters.bytes_sent += len(body)
        loop = asyncio.get_running_loop()
        most_ms = LATE_TIMES_MAX * timeout_ms
        most_s = loop.time() + most_ms / 1_000

        def look(now_s: float) -> float | None:
            if now_s >= most_s or not self._members.health.is_felt(address):
                return None
            return min(now_s + LOOK_MS / 1_000, most_s)

        call = self._transport.call(address, Message("gossip", {}, body), timeout_ms=most_ms)
        try:
            reply = await _while_hoping(call, look, first_ms=timeout_ms)
        except (PeerUnreachable, TimeoutError):
            self._counters.peer_failures += 1
            raise PeerUnreachable(f"{address} did not answer within {timeout_ms} ms") from None
        self._counters.bytes_received += len(reply.body)
        return reply.body

    async def call(
        self,
        address: str,
        kind: str,
        header: dict[str, Any],
        body: bytes | memoryview = b"",
        *,
        deadline_ms: int,
        timeout_ms: int | None = None,
    ) -> Message:
        """Send one request and wait for the reply.

        Args:
            deadline_ms: on this node's monotonic clock; what is left of it goes along.
            timeout_ms: the most to wait for the answer, or for more of it, while nothing comes;
                None is the limit for peers.
        Raises:
            DeadlineExceeded, PeerUnreachable, and whatever the peer's handler raised.
        """
        if not address:
            raise PeerUnreachable("no address is known for this member yet; it was never heard of")
        most = self._limits.peer_timeout_ms if timeout_ms is None else timeout_ms

        async def send(kind: str, header: dict[str, Any], body: bytes | memoryview) -> Message:
            left = deadline_ms - self._clock.now_ms()
            if left <= 0:
                raise DeadlineExceeded("the time given has passed; ask for less or give more time")
            wait = min(most, left)
            message = Message(
                kind,
                {
                    **header,
                    "from": self._node_id,
                    "ring": self._members.ring_digest(),
                    "deadline_ms": wait,
                },
                body,
            )
            self._counters.peer_calls += 1
            self._counters.bytes_sent += len(body)
            try:
                reply = await self._call(address, message, timeout_ms=wait, left_ms=left)
            except PeerUnreachable:
                self._counters.peer_failures += 1
                raise
            self._counters.bytes_received += len(reply.body)
            self._members.heard_store(reply.header)
            return reply

        try:
            return await send(kind, header, body)
        except StaleRing as stale:
            try:
                news = await self._members.adopt(stale.document)
            except DifferentCluster as error:
                raise PeerRefused(str(error), peer_reason="different-cluster") from None
            if news is not None:
                await send("ring", {}, news)
            return await send(kind, header, body)

    async def _call(
        self, address: str, message: Message, *, timeout_ms: int, left_ms: int
    ) -> Message:
        """Wait for a reply no longer than there is hope for one."""
        loop = asyncio.get_running_loop()
        # One probe may be lost, or come to a busy node: so much time is given nevertheless.
        patience_s = 2 * self._members.link.timeout_ms / 1_000
        silent_at_s = loop.time() + patience_s
        given_up_at_s = loop.time() + timeout_ms / 1_000

        def arriving(node: str) -> None:
            nonlocal silent_at_s, given_up_at_s
            silent_at_s = loop.time() + patience_s
            given_up_at_s = loop.time() + timeout_ms / 1_000
            self._members.health.felt(node)

        def look(now_s: float) -> float | None:
            doubted = self._members.doubt(address)
            if now_s >= given_up_at_s or (doubted and now_s >= silent_at_s):
                return None
            return min(now_s + LOOK_MS / 1_000, given_up_at_s)

        call = self._transport.call(address, message, timeout_ms=left_ms, arriving=arriving)
        try:
            return await _while_hoping(call, look, first_ms=min(LOOK_MS, timeout_ms))
        except TimeoutError:
            if loop.time() < given_up_at_s:
                raise PeerUnreachable(f"{address} answers neither a call nor a probe") from None
            raise PeerUnreachable(
                f"{address} did not answer {message.kind!r} within {timeout_ms} ms"
            ) from None


async def _while_hoping(
    call: Coroutine[Any, Any, Message],
    look: Callable[[float], float | None],
    *,
    first_ms: int,
) -> Message:
    """What a call brings.

    Args:
        look: given the loop's time, when to look again; None is to give up.
        first_ms: when to look first.
    Raises:
        TimeoutError: it was given up.
    """
    loop = asyncio.get_running_loop()
    next_look: asyncio.TimerHandle

    def turn() -> None:
        nonlocal next_look
        again_s = look(loop.time())
        if again_s is None:
            patience.reschedule(loop.time())
        else:
            next_look = loop.call_at(again_s, turn)

    next_look = loop.call_later(first_ms / 1_000, turn)
    try:
        async with asyncio.timeout(None) as patience:
            return await call
    finally:
        next_look.cancel()
