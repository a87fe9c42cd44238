"""Changing the ring on request: weigh, plan, commit, abort (PROTOCOL 4).

Nothing is kept between the steps: a plan is a value that travels to whoever looks at it and back,
and it is refused when the ring has changed since. Committing makes the first change only; owners
make the second one when the new owners are filled. Every step may be repeated.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import msgpack
import numpy as np

from node.errors import BadRequest, NodeError
from node.peer.transport import Message
from node.protocol.planning import PlanRequest, make_plan, objections
from node.service.mover.mover import Mover
from node.service.parts import Parts
from node.service.publishing import publish
from node.storage.bucket_digests import DAY_MAX, DAY_MIN
from zring.errors import InvalidPlan
from zring.load import Load
from zring.morton import Int64s
from zring.plan import Plan, apply_first, apply_second
from zring.ring import Ring
from zring.span import EVERYTHING, Spans, intersect, normalise

DEFAULT_BYTES_PER_S = 4_000_000
"""Where nothing was measured and no limit is set: 100,000 records of 40 bytes a second."""
RECORD_BYTES = 40.0
"""What a record takes on the wire while nothing is stored that could be measured."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a plan will take.

    Attributes:
        seconds: with everything sent over one link; several in parallel need less.
        rate_is: where the rate comes from: `measured` (by the movers lately), `limit` (of each
            link, by the settings) or `default`.
    """

    seconds: float
    bytes_per_s: int
    rate_is: Literal["measured", "limit", "default"]


@dataclass(frozen=True, slots=True)
class Weighed:
    """A plan, and how long it will take."""

    plan: Plan
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class _NodeLoad:
    """What one node has: records by grain, what one takes, and how fast its mover was."""

    grains: Int64s
    records: Int64s
    record_bytes: float
    bytes_per_s: int


class Plans:
    """The planner and committer of one node."""

    def __init__(self, parts: Parts, mover: Mover, *, link_bytes_per_s_max: int) -> None:
        self._parts = parts
        self._mover = mover
        self._link_bytes_per_s_max = link_bytes_per_s_max

    async def load(self) -> tuple[Load, int]:
        """Records by grain over the cluster: of each grain the most that a node has; and how fast
        the fastest mover was lately, in bytes a second.
        """
        parts = self._parts
        contact = sorted(parts.members.view().standing.contact - {parts.node_id})
        answers = await asyncio.gather(*(self._ask(node) for node in contact))
        found = [await self._own(), *(answer for answer in answers if answer is not None)]
        every = np.unique(np.concatenate([part.grains for part in found]))
        most = np.zeros(len(every), np.int64)
        for part in found:
            at = np.searchsorted(every, part.grains)
            most[at] = np.maximum(most[at], part.records)
        sizes_known = [part.record_bytes for part in found if part.record_bytes]
        record_bytes = sum(sizes_known) / len(sizes_known) if sizes_known else RECORD_BYTES
        return Load(every, most, record_bytes), max(part.bytes_per_s for part in found)

    async def make(self, request: PlanRequest) -> Weighed:
        """A plan on the ring in force and how long it will take; nothing moves.

        Raises:
            InvalidPlan, OutsideDomain, InvalidDocument: says what would help.
        """
        if request.kind == "join" and request.lon is None and request.lat is None:
            request = self._placed(request)
        load, measured = await self.load()
        plan = make_plan(request, self._parts.members.ring, load)
        return Weighed(plan, self._estimate(plan, measured))

    def _estimate(self, plan: Plan, measured: int) -> Estimate:
        limit = self._link_bytes_per_s_max
        if measured:
            return Estimate(plan.bytes / measured, measured, "measured")
        if limit:
            return Estimate(plan.bytes / limit, limit, "limit")
        return Estimate(plan.bytes / DEFAULT_BYTES_PER_S, DEFAULT_BYTES_PER_S, "default")

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
        return await publish(self._parts, first)

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
        return await publish(self._parts, ring.announce(waiting, next=None)), waiting

    async def answer_load(self) -> tuple[dict[str, object], bytes]:
        """This node's part of `load`, for another node."""
        own = await self._own()
        body = msgpack.packb(
            [own.grains.astype("<i8").tobytes(), own.records.astype("<i8").tobytes()]
        )
        return {"record_bytes": own.record_bytes, "bytes_per_s": own.bytes_per_s}, bytes(body)

    def _placed(self, request: PlanRequest) -> PlanRequest:
        """The request with the position that the node tells of itself, where that helps."""
        members = self._parts.members
        location = members.location_of(request.node)
        if location is None or request.archive or request.policy == "halve":
            return request
        lon, lat = location
        domain = self._parts.domain
        if not (domain.west <= lon <= domain.east and domain.south <= lat <= domain.north):
            return request
        return replace(request, lon=lon, lat=lat)

    async def _own(self) -> _NodeLoad:
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
        peers = self._mover.statistics().peers.values()
        rate = max((progress.bytes_per_s for progress in peers), default=0)
        return _NodeLoad(grains, records, size, rate)

    async def _ask(self, node: str) -> _NodeLoad | None:
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


def _read_load(reply: Message) -> _NodeLoad:
    try:
        grains, records = (
            np.frombuffer(column, "<i8").astype(np.int64) for column in msgpack.unpackb(reply.body)
        )
        record_bytes = float(reply.header["record_bytes"])
        bytes_per_s = int(reply.header.get("bytes_per_s", 0))
    except (ValueError, TypeError, KeyError, msgpack.UnpackException):
        raise BadRequest("the node's load cannot be read", field="load") from None
    if len(grains) != len(records):
        raise BadRequest("the node's load has columns of different length", field="load")
    return _NodeLoad(grains, records, record_bytes, max(0, bytes_per_s))
