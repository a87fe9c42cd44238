"""Shutting down: what only this node has is handed over first, or said clearly.

A node that drains takes no new writes, of clients or of members, but answers reads and peers, and
still stores copies of what it holds. What holders in contact lack is sent to them. What is owed to
a holder without contact is safe where another holder in contact has it; the rest is counted.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from node.errors import Unavailable
from node.service.delivery import Delivery
from node.service.mover.mover import Mover
from node.service.parts import Parts
from node.storage.bucket_digests import DAY_MAX, DAY_MIN
from zring.span import Spans, subtract, union

DRAIN_MS_MAX = 30_000
"""Service managers kill after 90 s; what needs longer than this is said and stays on this disk."""
PROGRESS_MS = 5_000
POLL_MS = 50

log = logging.getLogger("zring.leaving")


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What may be on no other node when this one stops.

    Attributes:
        records: in all; owed: holder → those that it may lack.
        away: which of these holders were not in contact.
    """

    records: int = 0
    owed: Mapping[str, int] = field(default_factory=dict)
    away: frozenset[str] = frozenset()

    def describe(self) -> str:
        """For the line with which a node ends."""
        if not self.records:
            return "every record that it has is on another node as well"
        owed = ", ".join(
            f"{count} for {node} ({'away' if node in self.away else 'did not take them'})"
            for node, count in self.owed.items()
        )
        return (
            f"{self.records} records may be on no other node: {owed}; they stay in its data "
            "folder: start it again when those nodes are back"
        )


class Leaving:
    """The end of one node."""

    def __init__(self, parts: Parts, mover: Mover, delivery: Delivery) -> None:
        self._parts = parts
        self._mover = mover
        self._delivery = delivery

    def check_writable(self) -> None:
        """Refuse new writes once the node drains.

        Raises:
            Unavailable: nothing was stored.
        """
        if self._parts.members.life == "draining":
            raise Unavailable("this node is shutting down; send the batch to another one")

    async def drain(self, *, limit_ms: int = DRAIN_MS_MAX) -> LeftOver:
        """Hand over what other nodes lack, within the limit; returns what was left."""
        parts = self._parts
        parts.members.life = "draining"
        parts.members.speak()
        deadline_ms = parts.clock.now_ms() + limit_ms
        progress = parts.tasks.spawn(self._say_progress(), name="drain progress")
        try:
            await self._wait_delivered(deadline_ms)
            owed = await self._mover.drain(deadline_ms=deadline_ms)
        finally:
            progress.cancel()
        return await self._left_over(owed)

    async def _wait_delivered(self, deadline_ms: int) -> None:
        while True:
            if not self._delivery.bytes_queued or self._parts.clock.now_ms() >= deadline_ms:
                return
            await asyncio.sleep(POLL_MS / 1_000)

    async def _left_over(self, owed: Mapping[str, Spans]) -> LeftOver:
        """Of what is owed that which no other holder in contact has for certain."""
        parts = self._parts
        view = parts.members.view()
        others = view.standing.contact - {parts.node_id}
        safe: Spans = ()
        for node in sorted(others):
            held = subtract(view.holders.spans_of(node), owed.get(node, ()))
            safe = union(safe, held)
        alone = {node: subtract(spans, safe) for node, spans in sorted(owed.items())}
        counts = {node: await self._count(spans) for node, spans in alone.items() if spans}
        every: Spans = ()
        for spans in alone.values():
            every = union(every, spans)
        return LeftOver(
            await self._count(every),
            {node: count for node, count in counts.items() if count},
            frozenset(node for node in alone if node not in others),
        )

    async def _count(self, spans: Spans) -> int:
        engine = self._parts.engine
        count = 0
        for collection in sorted(engine.statistics().collections) if spans else ():
            found = await engine.digests(
                collection,
                level=0,
                spans=spans,
                day_start=DAY_MIN,
                day_stop=DAY_MAX,
                by_day=False,
            )
            count += int(found.counts.sum())
        return count

    async def _say_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_MS / 1_000)
            left = {
                name: f"{peer.records_left} records" if peer.records_left else peer.phase
                for name, peer in self._mover.statistics().peers.items()
                if peer.phase != "idle"
            }
            log.info("draining: %s", left or "waiting for copies on their way")
