"""Repair on request: every member compares, and a person may give up what nobody has any more."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from node.errors import BadRequest, NodeError
from node.peer.transport import Message
from node.protocol.word import plain_to_spans, spans_to_plain
from node.service.filled import Filling
from node.service.mover.mover import Mover
from node.service.parts import Parts
from node.storage.bucket_digests import DAY_MAX, DAY_MIN
from zring.span import EVERYTHING, Spans, intersect, union


@dataclass(frozen=True, slots=True)
class LostNode:
    """A node that had what nobody in contact is known to have now.

    Attributes:
        in_contact: it answers, and its store is not filled there (it lost its disk).
        since_us: when it was last heard; None while it is in contact.
        spans: where it was filled, or holds without being filled.
    """

    node: str
    in_contact: bool
    since_us: int | None
    spans: Spans


@dataclass(frozen=True, slots=True)
class Losses:
    """What would be given up: codes without a filled node in contact, and who had them."""

    spans: Spans
    nodes: tuple[LostNode, ...] = ()


@dataclass(frozen=True, slots=True)
class RepairReply:
    """What a repair has begun.

    Attributes:
        told: members that compare now, this one included.
        silent: member → why it was not told; it compares when it is in contact again only where
            something is outstanding.
        losses: what is missing, before anything was accepted.
        accepted: node → codes for which it counts as filled from now on.
    """

    told: tuple[str, ...]
    silent: Mapping[str, str]
    losses: Losses
    accepted: Mapping[str, Spans] = field(default_factory=dict)


class Repairs:
    """Carries out what operators ask for."""

    def __init__(self, parts: Parts, *, mover: Mover, filling: Filling) -> None:
        self._parts = parts
        self._mover = mover
        self._filling = filling

    def losses(self, spans: Spans = EVERYTHING) -> Losses:
        """What nobody in contact is filled for, and which nodes had it; nothing is changed."""
        members = self._parts.members
        view = members.view()
        missing = intersect(view.readers.route_spans(EVERYTHING).missing, spans)
        nodes: list[LostNode] = []
        for node in sorted({*view.holders.nodes, *members.health.members}) if missing else ():
            in_contact = node in view.standing.contact
            had = view.holders.spans_of(node)
            if not in_contact:
                had = union(had, members.filled_of(node))
            lost = intersect(had, missing)
            if lost:
                since_us = None if in_contact else members.last_contact_us(node)
                nodes.append(LostNode(node, in_contact, since_us, lost))
        return Losses(missing, tuple(nodes))

    async def repair(
        self,
        spans: Spans = EVERYTHING,
        *,
        day_start: int = DAY_MIN,
        day_stop: int = DAY_MAX,
        accept_loss: bool = False,
    ) -> RepairReply:
        """Have every member in contact compare, and give up what is lost where that is wanted.

        Every member marks what it compares before anybody counts as filled, so that answers say
        `settling` until the members have exchanged what each of them still has.
        """
        losses = self.losses(spans)
        header: dict[str, Any] = {"spans": spans_to_plain(spans)}
        if (day_start, day_stop) != (DAY_MIN, DAY_MAX):
            header["days"] = [day_start, day_stop]
        self._mover.repair(spans, day_start=day_start, day_stop=day_stop)
        replies, silent = await self._tell_all("repair", header)
        accepted: dict[str, Spans] = {}
        if accept_loss and losses.spans:
            wanted = losses.spans
            accepted[self._parts.node_id] = await self._filling.accept_loss(wanted)
            answers, also_silent = await self._tell_all(
                "accept_loss", {"spans": spans_to_plain(wanted)}
            )
            silent = {**also_silent, **silent}
            for node, reply in answers.items():
                try:
                    accepted[node] = plain_to_spans(reply.header.get("accepted"))
                except BadRequest as error:
                    silent[node] = f"does not answer ({error})"
        return RepairReply(
            told=tuple(sorted({*replies, self._parts.node_id})),
            silent=dict(sorted(silent.items())),
            losses=losses,
            accepted={node: given for node, given in sorted(accepted.items()) if given},
        )

    async def answer_accept_loss(self, spans: Spans) -> dict[str, object]:
        """This node's part, for another node."""
        accepted = await self._filling.accept_loss(spans)
        return {"accepted": spans_to_plain(accepted)}

    async def _tell_all(
        self, kind: str, header: dict[str, Any]
    ) -> tuple[dict[str, Message], dict[str, str]]:
        """Tell every member in contact; returns replies, and why others gave none."""
        parts = self._parts
        view = parts.members.view()
        silent = dict.fromkeys(view.away, "is away")
        replies: dict[str, Message] = {}

        async def tell(node: str) -> None:
            deadline_ms = parts.clock.now_ms() + parts.limits.peer_timeout_ms
            try:
                replies[node] = await parts.peers.call(
                    parts.members.address_of(node), kind, dict(header), deadline_ms=deadline_ms
                )
            except NodeError as error:
                silent[node] = f"does not answer ({error})"

        names = sorted(view.standing.contact - {parts.node_id})
        await asyncio.gather(*(tell(node) for node in names))
        return replies, silent
