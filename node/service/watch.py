"""The health loop: probes members, tells the rules, persists what changed, wakes the mover."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from node.errors import BadRequest, NodeError
from node.peer.transport import Message
from node.protocol.health import Effect, Event, Failed, Heard, Probe, Replied
from node.protocol.word import plain_to_word, word_to_plain
from node.service.members import Members
from node.service.mover.mover import Mover
from node.service.parts import Parts

TURNS_PER_INTERVAL = 4
"""Looks at the clock between two probes of one member; spreads the probes a little."""


class Watch:
    """Keeps `Members` up to date."""

    def __init__(self, parts: Parts, mover: Mover) -> None:
        self._parts = parts
        self._mover = mover

    async def first_round(self) -> None:
        """Probe every known address once, so that the node starts with eyes open."""
        members = self._parts.members
        probes = members.health.tick(self._parts.clock.now_ms())
        await asyncio.gather(
            *(self._probe(effect.address) for effect in probes if isinstance(effect, Probe))
        )

    async def run(self) -> None:
        """Go on until cancelled."""
        parts = self._parts
        pause_s = parts.limits.probe_interval_ms / TURNS_PER_INTERVAL / 1_000
        turn = 0
        while True:
            self._carry_out(parts.members.health.tick(parts.clock.now_ms()))
            self._mover.start_due()
            turn += 1
            if turn % TURNS_PER_INTERVAL == 0:
                await self._persist()
            await asyncio.sleep(pause_s)

    def step(self, event: Event) -> None:
        """Tell the rules what happened and do what they say."""
        self._carry_out(self._parts.members.step(event))

    def heard(self, header: Mapping[str, Any]) -> None:
        """A member probed this node."""
        self.step(Heard(plain_to_word(header.get("word"))))

    async def _persist(self) -> None:
        meta = self._parts.members.changed_settings()
        if not meta:
            return
        try:
            await self._parts.engine.write([], meta=meta)
        except NodeError:
            # The disk is full or gone; addresses are learned again from the seeds.
            return

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Probe):
                self._parts.tasks.spawn(self._probe(effect.address), name=f"probe {effect.address}")

    async def _probe(self, address: str) -> None:
        parts = self._parts
        sent_us = parts.clock.now_us()
        timeout_ms = parts.limits.probe_timeout_ms
        try:
            reply: Message = await parts.peers.call(
                address,
                "probe",
                word_to_header(parts.members),
                deadline_ms=parts.clock.now_ms() + timeout_ms,
                timeout_ms=timeout_ms,
            )
            event: Event = _header_to_replied(address, reply.header, sent_us)
        except NodeError:
            event = Failed(address)
        self.step(event)


def word_to_header(members: Members) -> dict[str, Any]:
    """This node's word as the header of a probe or of the answer to one."""
    known = sorted(members.health.members.items())
    return {
        "cluster": members.ring.cluster_id,
        "word": word_to_plain(members.word()),
        "addresses": {node: member.address for node, member in known if member.address},
    }


def _header_to_replied(address: str, header: Mapping[str, Any], sent_us: int) -> Replied:
    """Undo `word_to_header`.

    Raises:
        BadRequest: a field is absent or of another type.
    """
    word = plain_to_word(header.get("word"))
    try:
        return Replied(
            address,
            word,
            sent_us,
            addresses={
                str(node): str(known) for node, known in header.get("addresses", {}).items()
            },
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise BadRequest(f"probe between nodes is malformed: {error}", field="word") from None
