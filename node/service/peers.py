"""Calls to other members: the ring digest on every message, a deadline on every call.

A link that is cut is silent: nobody says that no answer will come. So whoever does not answer soon
is probed, and given up when it does not answer that either, long before the time given is over.

A peer that holds another ring answers `StaleRing` with its document; both sides merge, and the
call is made once more. Nothing is ever served on rings that differ (promise 6).
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from node.clock import Clock
from node.config import Limits, LinkPreset
from node.errors import DeadlineExceeded, PeerRefused, PeerUnreachable, StaleRing
from node.peer.transport import Message, Transport
from node.service.counters import Counters
from zring.errors import DifferentCluster

LOOK_MS = 250
"""Nearly every answer has come by then."""


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
        try:
            reply = await self._transport.call(
                address, Message("gossip", {}, body), timeout_ms=timeout_ms
            )
        except PeerUnreachable:
            self._counters.peer_failures += 1
            raise
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
            timeout_ms: the most to wait for this call; None is the limit for peers.
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
                reply = await self._call(address, message, timeout_ms=wait)
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

    async def _call(self, address: str, message: Message, *, timeout_ms: int) -> Message:
        """Wait for a reply no longer than there is hope for one."""
        loop = asyncio.get_running_loop()
        # One probe may be lost, or come to a busy node: so much time is given nevertheless.
        silent_at_s = loop.time() + 2 * self._members.link.timeout_ms / 1_000

        next_look: asyncio.TimerHandle

        def look() -> None:
            nonlocal next_look
            if self._members.doubt(address) and loop.time() >= silent_at_s:
                patience.reschedule(loop.time())
            else:
                next_look = loop.call_later(LOOK_MS / 1_000, look)

        next_look = loop.call_later(LOOK_MS / 1_000, look)
        try:
            async with asyncio.timeout(None) as patience:
                return await self._transport.call(address, message, timeout_ms=timeout_ms)
        except TimeoutError:
            raise PeerUnreachable(f"{address} answers neither a call nor a probe") from None
        finally:
            next_look.cancel()
