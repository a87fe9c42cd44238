"""Keeping in touch: carries out what the rules of membership say, and tells them what happened.

Probes are small and go out in every period; where a reply shows another ring, the documents are
exchanged and merged beside them, with the time that documents need. What is to be remembered is
written as soon as it has changed.
"""

import asyncio
from collections.abc import Iterable

from node.config import TURNS_PER_PERIOD
from node.errors import NodeError, PeerRefused, PeerUnreachable
from node.protocol.gossip_message import (
    bytes_to_reply,
    bytes_to_request,
    reply_to_bytes,
    request_to_bytes,
)
from node.protocol.membership import Refused, StoreLost
from node.protocol.swim import Answered, Call, Effect, Unanswered
from node.service.mover.mover import Mover
from node.service.parts import Parts
from zring.ring import to_document


class Gossip:
    """The membership of one node at work."""

    def __init__(self, parts: Parts, mover: Mover) -> None:
        self._parts = parts
        self._mover = mover
        self._swim = parts.members.health.swim
        self._exchanging: set[str] = set()

    async def first_round(self) -> None:
        """Greet the addresses that are known, so that the node starts with eyes open."""
        await self._persist()
        effects = self._swim.first(self._parts.clock.now_ms())
        calls = [effect for effect in effects if isinstance(effect, Call)]
        await asyncio.gather(*(self._call(call) for call in calls))

    async def run(self) -> None:
        """Go on until cancelled."""
        parts = self._parts
        pause_s = self._swim.link.turn_ms / 1_000
        turn = 0
        while True:
            parts.members.speak()
            self._carry_out(self._swim.tick(parts.clock.now_ms()))
            self._mover.start_due()
            turn += 1
            if turn % TURNS_PER_PERIOD == 0:
                await self._persist()
            await asyncio.sleep(pause_s)

    async def answer(self, body: bytes | memoryview) -> bytes:
        """The reply to a member's request.

        Raises:
            BadRequest: it is none. PeerRefused: from nobody that this node talks to.
        """
        parts, swim = self._parts, self._swim
        request = bytes_to_request(body)
        refused = swim.refusal(request, parts.clock.now_ms())
        if refused is not None:
            self._carry_out((refused,))
            raise PeerRefused(
                f"{parts.node_id} refuses {request.sender.node}: {refused.reason}",
                peer_reason=refused.reason,
            )
        reached: bool | None = None
        if request.relay is not None:
            node, address = request.relay
            call = swim.reach(node, address, parts.clock.now_ms())
            reached = await self._call(call)
        parts.members.speak()
        reply, effects = swim.answer(request, parts.clock.now_ms(), reached=reached)
        self._carry_out(effects)
        return reply_to_bytes(reply)

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        parts = self._parts
        for effect in effects:
            if isinstance(effect, Call):
                parts.tasks.spawn(self._answered(effect), name=f"probe {effect.address}")
            elif isinstance(effect, StoreLost):
                parts.members.lost_store()
            elif isinstance(effect, Refused):
                parts.members.refused(effect.address, effect.reason)
        parts.members.remember_stores()

    async def _answered(self, call: Call) -> None:
        await self._call(call)

    async def _call(self, call: Call) -> bool:
        """Send a request and tell the rules what came back; whether an answer did."""
        parts = self._parts
        try:
            body = await parts.peers.gossip(
                call.address, request_to_bytes(call.request), timeout_ms=call.timeout_ms
            )
            reply = bytes_to_reply(body)
        except PeerUnreachable:
            self._step(Unanswered(call.number))
            return False
        except NodeError as error:
            reason = getattr(error, "peer_reason", None) or str(error)
            self._step(Unanswered(call.number, reason=reason))
            return False
        self._step(Answered(call.number, reply))
        if reply.ring_digest != parts.members.ring_digest() and reply.ring_digest:
            self._exchange_rings(call.address)
        return True

    def _step(self, event: Answered | Unanswered) -> None:
        self._carry_out(self._swim.step(event, self._parts.clock.now_ms()))

    def _exchange_rings(self, address: str) -> None:
        if address not in self._exchanging:
            self._exchanging.add(address)
            self._parts.tasks.spawn(self._exchange(address), name=f"ring exchange {address}")

    async def _exchange(self, address: str) -> None:
        """Give this node's ring, take what the other lacked in it."""
        parts = self._parts
        try:
            reply = await parts.peers.call(
                address,
                "ring",
                {},
                to_document(parts.members.ring),
                deadline_ms=parts.clock.now_ms() + parts.limits.peer_timeout_ms,
            )
            if reply.body:
                await parts.members.adopt(bytes(reply.body))
        except NodeError:
            return  # the digests still differ at the next probe
        finally:
            self._exchanging.discard(address)

    async def _persist(self) -> None:
        meta = self._parts.members.changed_settings()
        if not meta:
            return
        try:
            await self._parts.engine.write([], meta=meta)
        except NodeError:
            # The disk is full or gone; addresses are learned again from the seeds.
            return
