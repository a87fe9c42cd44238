"""The health loop: probes members, tells the rules, persists what changed, starts hand-backs."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from node.errors import BadRequest, NodeError
from node.peer.transport import Message
from node.protocol.health import Effect, Event, Failed, Heard, Hello, Probe, Replied
from node.service.handback import Handback
from node.service.parts import Parts
from zring.span import normalise

TURNS_PER_INTERVAL = 4
"""Looks at the clock between two probes of one member; spreads the probes a little."""


class Watch:
    """Keeps `Members` up to date."""

    def __init__(self, parts: Parts, handback: Handback) -> None:
        self._parts = parts
        self._handback = handback

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
            self._handback.start_due()
            turn += 1
            if turn % TURNS_PER_INTERVAL == 0:
                parts.members.hints.tick()
                await self._persist()
            await asyncio.sleep(pause_s)

    def step(self, event: Event) -> None:
        """Tell the rules what happened and do what they say."""
        self._carry_out(self._parts.members.step(event))

    def heard(self, header: Mapping[str, Any]) -> None:
        """A member probed this node."""
        self.step(Heard(header_to_hello(header)))

    async def _persist(self) -> None:
        meta = self._parts.members.changed_settings()
        if not meta:
            return
        try:
            await self._parts.engine.write([], meta=meta)
        except NodeError:
            # The disk is full; what is on it says more is outstanding than is, which is safe.
            self._parts.members.hints.dirty = True

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
                "hello",
                hello_to_header(parts.members.hello()),
                deadline_ms=parts.clock.now_ms() + timeout_ms,
                timeout_ms=timeout_ms,
            )
            event: Event = Replied(address, header_to_hello(reply.header), sent_us)
        except NodeError:
            event = Failed(address)
        self.step(event)


def hello_to_header(hello: Hello) -> dict[str, Any]:
    """A hello as plain values."""
    return {
        "node": hello.node,
        "cluster": hello.cluster,
        "store": hello.store_id,
        "sequence": hello.sequence,
        "address": hello.address,
        "url": hello.url,
        "records": hello.records,
        "digest": hello.ring_digest,
        "owed": {
            holder: [list(span) for span in spans] for holder, spans in sorted(hello.owed.items())
        },
        "stores": dict(sorted(hello.stores.items())),
        "unfilled": list(hello.unfilled),
        "addresses": dict(sorted(hello.addresses.items())),
        "clock_us": hello.clock_us,
    }


def header_to_hello(header: Mapping[str, Any]) -> Hello:
    """Undo `hello_to_header`.

    Raises:
        BadRequest: a field is absent or of another type.
    """
    try:
        return Hello(
            node=str(header["node"]),
            cluster=str(header["cluster"]),
            store_id=str(header["store"]),
            sequence=int(header["sequence"]),
            address=str(header.get("address", "")),
            url=str(header.get("url", "")),
            records=int(header.get("records", 0)),
            ring_digest=int(header.get("digest", 0)),
            owed={
                str(holder): normalise((int(start), int(stop)) for start, stop in spans)
                for holder, spans in header.get("owed", {}).items()
            },
            stores={str(node): str(store) for node, store in header.get("stores", {}).items()},
            unfilled=tuple(str(node) for node in header.get("unfilled", ())),
            addresses={
                str(node): str(known) for node, known in header.get("addresses", {}).items()
            },
            clock_us=int(header.get("clock_us", 0)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise BadRequest(f"hello between nodes is malformed: {error}", field="hello") from None
