"""Slow lines: what little bandwidth, delay and lost packets make of messages over TCP.

A star: every site has one line to where all lines meet, whoever has none (the hub) is there. From
site to site a message goes through two lines. A line carries one packet after the other in each
direction; a lost packet is sent again and costs its message time, never its content; now and then
a connection stands still for a while.

What HTTP, TLS and TCP/IP add was measured on a kept connection with `Zring-Session` seals.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

PACKET_BYTES = 1_400
"""Payload of a packet."""
PACKET_HEAD_BYTES = 52
"""TCP/IP, with time stamps; also an acknowledgement."""
RECORD_BYTES = 29
"""A TLS record's frame."""
REQUEST_HEAD_BYTES = 244 - 28
"""HTTP, without the message's own head, which travels with the message here."""
REPLY_HEAD_BYTES = 229
OPENING_BYTES = (900, 2_600)
"""To the listener and back: TCP and TLS handshake with a certificate."""
WINDOW_PACKETS = 10
"""Sent before the first acknowledgement; twice as many each round trip later."""
RESEND_ROUND_TRIPS = 1.5
"""A lost packet is missed after so many; doubled when it is lost again."""
IDLE_S_MAX = 600.0
"""Kept connections are closed after so long without a message."""
CONNECTIONS_KEPT_MAX = 32
PIECE_BYTES = WINDOW_PACKETS * PACKET_BYTES
"""In such parts a long message arrives, with those of others in between."""
UNACKNOWLEDGED_MAX = 3
"""Of these parts are under way at once: so much of a queue one connection makes."""

Felt = Callable[[], None]


def nothing_felt() -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Line:
    """How bad one site's line is, in each direction."""

    bytes_per_s: int = 16_000
    delay_s: float = 1.0
    loss: float = 0.05
    stall_share: float = 0.001
    stall_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes that went over a line until `end_s`, with all that was added to them."""

    end_s: float
    source: str
    target: str
    kind: str
    count: int


@dataclass(slots=True)
class Star:
    """The lines of a cluster's sites.

    Attributes:
        line: of every site that is named in `sites`.
        log: everything that was sent, in order; once for each message and direction.
    """

    sites: frozenset[str]
    rng: Random
    line: Line = field(default_factory=Line)
    log: list[Sent] = field(default_factory=list)
    connections_opened: int = 0
    _free_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _kept: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    async def open(self, source: str, target: str) -> None:
        """Take a kept connection, or open one: two round trips."""
        now_s = asyncio.get_running_loop().time()
        kept = self._kept[source, target]
        while kept:
            if now_s - kept.pop() < IDLE_S_MAX:
                return
        self.connections_opened += 1
        for there, back in (OPENING_BYTES, (PACKET_HEAD_BYTES, PACKET_HEAD_BYTES)):
            await self._pass(source, target, there, kind="opening")
            await self._pass(target, source, back, kind="opening")

    def keep(self, source: str, target: str) -> None:
        """A call has ended in order: its connection can be used again."""
        kept = self._kept[source, target]
        if len(kept) < CONNECTIONS_KEPT_MAX:
            kept.append(asyncio.get_running_loop().time())

    async def request(
        self, source: str, target: str, size: int, *, kind: str, felt: Felt = nothing_felt
    ) -> None:
        """A request goes over; `felt` is told while a long one arrives."""
        size += REQUEST_HEAD_BYTES
        await self._message(source, target, size, kind=kind, told=1, felt=felt)

    async def reply(
        self, source: str, target: str, size: int, *, kind: str, felt: Felt = nothing_felt
    ) -> None:
        """Its answer comes back; it acknowledges the request's last packet."""
        size += REPLY_HEAD_BYTES
        await self._message(source, target, size, kind=kind, told=0, felt=felt)

    def bytes_of(self, node: str, *, since_s: float = 0.0) -> int:
        """Sent and received by a node."""
        return sum(
            sent.count
            for sent in self.log
            if sent.end_s >= since_s and node in (sent.source, sent.target)
        )

    def most_in(self, window_s: float, source: str, target: str, *, kinds: Iterable[str]) -> int:
        """The most bytes of these kinds that went from one to the other in any such time."""
        chosen = frozenset(kinds)
        log = [
            sent
            for sent in self.log
            if (sent.source, sent.target) == (source, target) and sent.kind in chosen
        ]
        log.sort(key=lambda sent: sent.end_s)
        most = total = first = 0
        for sent in log:
            total += sent.count
            while log[first].end_s <= sent.end_s - window_s:
                total -= log[first].count
                first += 1
            most = max(most, total)
        return most

    async def _message(
        self, source: str, target: str, size: int, *, kind: str, told: int, felt: Felt
    ) -> None:
        records = -(-size // 16_384)
        packets = -(-size // PACKET_BYTES)
        # Every second packet is acknowledged; the answer does it for the request's last.
        self._note(target, source, PACKET_HEAD_BYTES * (-(-packets // 2) - told), kind=kind)
        size += RECORD_BYTES * records
        if packets <= WINDOW_PACKETS:
            await self._pass(source, target, size, kind=kind)
            return
        count = -(-size // PIECE_BYTES)
        window = asyncio.Semaphore(UNACKNOWLEDGED_MAX)
        async with asyncio.TaskGroup() as pieces:
            for _ in range(count):
                await window.acquire()
                pieces.create_task(self._piece(source, target, size // count, kind, felt, window))
        growing = math.ceil(math.log2(packets / WINDOW_PACKETS + 1)) - 1
        round_trip_s = 2 * self.line.delay_s * (self._has(source) + self._has(target))
        await asyncio.sleep(growing * round_trip_s)

    async def _piece(
        self,
        source: str,
        target: str,
        size: int,
        kind: str,
        felt: Felt,
        window: asyncio.Semaphore,
    ) -> None:
        await self._pass(source, target, size, kind=kind)
        window.release()
        felt()

    async def _pass(self, source: str, target: str, size: int, *, kind: str) -> None:
        """Through the lines that lie between; in the order in which they are reached."""
        loop, line, rng = asyncio.get_running_loop(), self.line, self.rng
        packets = max(1, -(-size // PACKET_BYTES))
        ways = [(node, way) for node, way in ((source, "up"), (target, "down")) if self._has(node)]
        round_trip_s = 2 * line.delay_s * len(ways)
        sent = 0
        for way in ways:
            resends = [_losses(rng, line.loss) for _ in range(packets)]
            count = size + packets * PACKET_HEAD_BYTES
            count += sum(resends) * (min(size, PACKET_BYTES) + PACKET_HEAD_BYTES)
            sent = max(sent, count)
            start_s = max(loop.time(), self._free_s.get(way, 0.0))
            self._free_s[way] = start_s + count / line.bytes_per_s
            wait_s = self._free_s[way] - loop.time() + line.delay_s
            wait_s += RESEND_ROUND_TRIPS * round_trip_s * (2 ** max(resends) - 1)
            if rng.random() < line.stall_share:
                wait_s += line.stall_s
            await asyncio.sleep(wait_s)
        self._note(source, target, sent, kind=kind)

    def _has(self, node: str) -> bool:
        return node in self.sites

    def _note(self, source: str, target: str, count: int, *, kind: str) -> None:
        if count:
            now_s = asyncio.get_running_loop().time()
            self.log.append(Sent(now_s, source, target, kind, count))


def _losses(rng: Random, loss: float) -> int:
    """How often one packet is lost before it arrives."""
    count = 0
    while rng.random() < loss:
        count += 1
    return count
