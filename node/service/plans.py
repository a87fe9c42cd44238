"""Changing the ring on request: weigh, plan, commit, abort (PROTOCOL 4).

Nothing is kept between the steps: a plan is a value that travels to whoever looks at it and back,
and it is refused when the ring has changed since. Committing makes the first change only; owners
make the second one when the new owners are filled. Every step may be repeated.
"""

import asyncio
from datetime import UTC, datetime

import msgpack
import numpy as np

from node.errors import BadRequest, NodeError
from node.peer.transport import Message
from node.protocol.planning import PlanRequest, make_plan, objections
from node.service.parts import Parts
from node.storage.bucket_digests import DAY_MAX, DAY_MIN
from zring.errors import InvalidPlan
from zring.load import Load
from zring.morton import Int64s
from zring.plan import Plan, apply_first, apply_second
from zring.ring import Ring, to_document
from zring.span import EVERYTHING, Spans, intersect, normalise

RECORD_BYTES = 40.0
"""What a record takes on the wire while nothing is stored that could be measured."""


class Plans:
    """The planner and committer of one node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def load(self) -> Load:
        """Records by grain over the cluster: of each grain the most that a node has."""
        parts = self._parts
        contact = sorted(parts.members.view().standing.contact - {parts.node_id})
        answers = await asyncio.gather(*(self._ask(node) for node in contact))
        grains, records, sizes = await self._own()
        sizes_known = [
            size for size in (sizes, *(answer[2] for answer in answers if answer)) if size
        ]
        found = [(grains, records), *((answer[0], answer[1]) for answer in answers if answer)]
        every = np.unique(np.concatenate([part[0] for part in found]))
        most = np.zeros(len(every), np.int64)
        for part_grains, part_records in found:
            at = np.searchsorted(every, part_grains)
            most[at] = np.maximum(most[at], part_records)
        record_bytes = sum(sizes_known) / len(sizes_known) if sizes_known else RECORD_BYTES
        return Load(every, most, record_bytes)

    async def make(self, request: PlanRequest) -> Plan:
        """A plan on the ring in force; nothing moves.

        Raises:
            InvalidPlan, OutsideDomain, InvalidDocument: says what would help.
        """
        return make_plan(request, self._parts.members.ring, await self.load())

    async def commit(self, plan: Plan, *, force: bool = False) -> Ring:
        """Make the first change of a plan and tell everybody in contact.

        Args:
            force: commit in spite of objections (a node that is away, a cluster of one).
        Returns:
            The ring now in force.
        Raises:
            InvalidPlan: the ring has changed since; or, without `force`, the objections.
        """
        members = self._parts.members
        before = members.ring
        first = apply_first(plan, before)
        view = members.view()
        away = {
            node: datetime.fromtimestamp(since_us / 1e6, UTC).isoformat(timespec="seconds")
            for node, since_us in view.away.items()
        }
        done = first if plan.kind == "remove" else apply_second(plan, first)
        found = objections(plan, before, done, contact=view.standing.contact, away=away)
        if found and not force:
            raise InvalidPlan("; ".join(found) + ". Nothing was changed; force it to do it anyway")
        return await self._publish(first)

    async def abort(self, spans: Spans = EVERYTHING) -> tuple[Ring, Spans]:
        """Stop every move within some spans that was not handed over yet.

        Returns:
            The ring now in force, and the spans whose move was stopped.
        """
        ring = self._parts.members.ring
        waiting = intersect(
            spans,
            normalise((span.start, span.stop) for span in ring.spans if span.next is not None),
        )
        if not waiting:
            return ring, ()
        return await self._publish(ring.announce(waiting, next=None)), waiting

    async def answer_load(self) -> tuple[dict[str, object], bytes]:
        """This node's part of `load`, for another node."""
        grains, records, record_bytes = await self._own()
        body = msgpack.packb([grains.astype("<i8").tobytes(), records.astype("<i8").tobytes()])
        return {"record_bytes": record_bytes}, bytes(body)

    async def _publish(self, ring: Ring) -> Ring:
        parts = self._parts
        document = to_document(ring)
        await parts.members.adopt(document)
        contact = sorted(parts.members.view().standing.contact - {parts.node_id})
        await asyncio.gather(*(self._tell(node, document) for node in contact))
        return parts.members.ring

    async def _tell(self, node: str, document: bytes) -> None:
        parts = self._parts
        deadline_ms = parts.clock.now_ms() + parts.limits.peer_timeout_ms
        try:
            await parts.peers.call(
                parts.members.address_of(node), "ring", {}, document, deadline_ms=deadline_ms
            )
        except NodeError:
            # It learns of the ring with the next exchange.
            return

    async def _own(self) -> tuple[Int64s, Int64s, float]:
        engine, ring = self._parts.engine, self._parts.members.ring
        grains, records = np.empty(0, np.int64), np.empty(0, np.int64)
        statistics = engine.statistics()
        for collection in sorted(statistics.collections):
            found = await engine.digests(
                collection,
                level=ring.grain_level,
                spans=EVERYTHING,
                day_start=DAY_MIN,
                day_stop=DAY_MAX,
                by_day=False,
            )
            both = np.union1d(grains, found.cells)
            sums = np.zeros(len(both), np.int64)
            sums[np.searchsorted(both, grains)] += records
            sums[np.searchsorted(both, found.cells)] += found.counts
            grains, records = both, sums
        size = statistics.bytes_live / statistics.records if statistics.records else 0.0
        return grains, records, size

    async def _ask(self, node: str) -> tuple[Int64s, Int64s, float] | None:
        parts = self._parts
        deadline_ms = parts.clock.now_ms() + parts.limits.peer_timeout_ms
        try:
            reply = await parts.peers.call(
                parts.members.address_of(node), "load", {}, deadline_ms=deadline_ms
            )
            return _read_load(reply)
        except NodeError:
            # Its records are counted at those who keep copies of them.
            return None


def _read_load(reply: Message) -> tuple[Int64s, Int64s, float]:
    try:
        grains, records = (
            np.frombuffer(column, "<i8").astype(np.int64) for column in msgpack.unpackb(reply.body)
        )
        record_bytes = float(reply.header["record_bytes"])
    except (ValueError, TypeError, KeyError, msgpack.UnpackException):
        raise BadRequest("the node's load cannot be read", field="load") from None
    if len(grains) != len(records):
        raise BadRequest("the node's load has columns of different length", field="load")
    return grains, records, record_bytes
