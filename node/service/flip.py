"""The second change of a move, carried out by the old owner (`node.protocol.flip` decides when).

Writes of the codes are held back, those under way are stored, the target gets the rest, and with
its confirmation the ring is changed, for all codes of that target in one transaction. Then the
writes go on under the new ring, and the others hear of it at once.
"""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Protocol

from node.errors import NodeError
from node.protocol.flip import HOLD_MS_MAX, Flips, Target, Turn, moves_from
from node.service.gate import Gate
from node.service.parts import Parts
from node.service.publishing import tell_ring
from zring.digest import hash_bytes
from zring.span import Spans


class Settling(Protocol):
    """Whoever sends holders what they lack."""

    async def settle(self, node: str, spans: Spans, *, deadline_ms: int) -> bool:
        """Bring a holder in step for some codes; True when it has confirmed everything that this
        node has there, False when that did not come about in time."""


class Flipping:
    """The hand-overs of one node, one at a time."""

    def __init__(self, parts: Parts, gate: Gate, settling: Settling) -> None:
        self._parts = parts
        self._gate = gate
        self._settling = settling
        self._flips = Flips()
        self._rng = Random(hash_bytes(parts.node_id.encode()))

    def turns(self) -> Mapping[str, Turn]:
        """Target → what is to be handed over to it, and why it waits; for status."""
        return dict(self._flips.turns)

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            for target in self._due():
                await self._hand_over(target)
            await asyncio.sleep(self._parts.members.link.turn_ms / 1_000)

    def _due(self) -> list[str]:
        parts = self._parts
        moves = moves_from(parts.members.ring, parts.node_id, rules=parts.rules)
        if not moves:
            self._flips.tick({}, {}, parts.clock.now_ms())
            return []
        targets = {node: self._target(node) for node in moves}
        return self._flips.tick(moves, targets, parts.clock.now_ms())

    def _target(self, node: str) -> Target:
        members = self._parts.members
        view, work = members.view(), members.outstanding.work(node)
        return Target(
            contact=node in view.standing.contact,
            same_ring=view.rings.get(node) == view.ring.digest(),
            filled=view.standing.filled.get(node, ()),
            uncompared=work.uncompared,
            failed=sum(len(spans) for slots in work.places.values() for spans in slots.values()),
        )

    async def _hand_over(self, target: str) -> None:
        parts = self._parts
        members = parts.members
        ring = members.ring
        spans = moves_from(ring, parts.node_id, rules=parts.rules).get(target)
        if not spans:
            return
        deadline_ms = parts.clock.now_ms() + HOLD_MS_MAX
        reason: str | None = None
        try:
            with self._gate.closed(spans):
                if parts.rules.writes_held_back:
                    reason = await self._bring_in_step(target, spans, deadline_ms=deadline_ms)
                if reason is None and members.ring.digest() != ring.digest():
                    reason = "the ring changed meanwhile"
                if reason is None:
                    await members.holding.change(ring.hand_over(spans))
        except NodeError as error:
            reason = str(error)
        if reason is not None:
            parts.counters.flips_failed += 1
            chance = self._rng.random()
            self._flips.failed(target, reason, now_ms=parts.clock.now_ms(), chance=chance)
            return
        parts.counters.flips_done += 1
        await tell_ring(parts, first=target)

    async def _bring_in_step(self, target: str, spans: Spans, *, deadline_ms: int) -> str | None:
        """Send what is left; returns why that did not come about in time."""
        if not await self._gate.wait_passed(spans, deadline_ms=deadline_ms):
            return "writes under way were not stored in time"
        if not await self._settling.settle(target, spans, deadline_ms=deadline_ms):
            return "the target did not confirm the rest in time"
        return None
