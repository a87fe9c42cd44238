"""Expiry at work: one member raises the days that are kept, every node drops what is older.

The rule is `node.protocol.expiry`. Every node looks at the clocks, so that whoever is next to
raise a day knows which of them has jumped; the ring member with the least id in contact does it.
Two that do it at once, in two halves of a cluster, raise to days of which the later one wins.
"""

import asyncio
from collections.abc import Mapping

from node.errors import NodeError
from node.protocol.expiry import Expiry
from node.service.holding import RingChange
from node.service.parts import Parts
from node.service.publishing import publish

LOOK_MS = 60_000
"""Between two looks at the clocks: a day rises within minutes of midnight."""
SWEEP_LOOKS = 60
"""What a write left behind while its day rose is dropped within an hour."""


class Expiring:
    """The expiry of one node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._expiry = Expiry(
            now_us=parts.clock.now_us(), now_ms=parts.clock.now_ms(), rules=parts.rules
        )
        self._changed = asyncio.Event()
        self._dropped: Mapping[str, int] = {}
        parts.members.holding.followers.append(self._follow)

    async def run(self) -> None:
        """Go on until cancelled."""
        looks = 0
        while True:
            self._changed.clear()
            try:
                await self._raise_due()
                await self._drop(again=looks % SWEEP_LOOKS == 0)
            except NodeError:
                # The disk is full, or the store is closing: expired rows stay hidden until then.
                pass
            looks += 1
            try:
                async with asyncio.timeout(LOOK_MS / 1_000):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _raise_due(self) -> None:
        parts = self._parts
        members = parts.members
        ring_members = members.ring.members()
        contact = members.view().standing.contact.intersection(ring_members)
        offsets_us = members.health.clock_offsets_us()
        days = self._expiry.due(
            members.ring.settings,
            members=len(ring_members),
            offsets_us={node: offsets_us[node] for node in sorted(contact & offsets_us.keys())},
            now_us=parts.clock.now_us(),
            now_ms=parts.clock.now_ms(),
        )
        if days and min(contact, default="") == parts.node_id:
            await publish(parts, members.ring.expired(days))

    async def _drop(self, *, again: bool) -> None:
        """Take what has expired off this disk."""
        parts = self._parts
        if not parts.rules.expired_hidden:
            return
        days = parts.members.ring.settings.expiry_days
        for collection, day in sorted(days.items()):
            if again or self._dropped.get(collection) != day:
                await parts.engine.expire(collection, day)
        self._dropped = days

    def _follow(self, _change: RingChange) -> None:
        self._changed.set()
