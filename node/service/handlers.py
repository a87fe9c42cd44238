"""Messages of other members: one handler for each kind.

Every message carries the digest of the ring it rests on; another one than this node's is
answered with `StaleRing` and this node's document, before anything is looked at. Only `gossip`
and those that bring or ask for a ring may come from a member that has not caught up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from node.errors import BadRequest, NotHeld, StaleRing
from node.peer.packing import unpack
from node.peer.rows import bytes_to_rows, rows_to_bytes
from node.peer.transport import Message
from node.protocol.word import plain_to_spans
from node.query import TIME_MAX, TIME_MIN, AggregateQuery
from node.service.aggregate import Aggregator, check_aggregate, partial_to_message
from node.service.catalogue import statistics_to_plain
from node.service.cluster_tasks import TaskBoard
from node.service.filled import Filling
from node.service.following import Streams
from node.service.gossip import Gossip
from node.service.latest import Latest
from node.service.leaving import Leaving
from node.service.local import read_page
from node.service.mover.answers import Answers
from node.service.mover.mover import Mover
from node.service.parts import Parts
from node.service.plans import Plans
from node.service.read import PAGE_BYTES_MAX, page_to_header
from node.service.repairs import Repairs
from node.service.selection import header_to_query, header_to_relied_on, select
from node.service.write import Batch, Writer, reply_to_header
from zring.errors import DifferentCluster
from zring.ring import to_document
from zring.span import subtract, union

SPREAD_SHARE = 0.8
"""Part of the sender's deadline that a spreader uses; the rest brings its answer back in time."""

_SERVING = ("store", "scan", "aggregate", "latest")
"""Kinds that somebody waits for: the mover rests while they are being answered."""
_READS = ("scan", "aggregate", "latest")
_WITHOUT_RING = ("gossip", "ring", "get_ring")
"""Kinds that bring, compare or ask for a ring, and so rest on none."""

_Reply = tuple[dict[str, Any], bytes | memoryview]


class Handlers:
    """Answers what the transport brings."""

    def __init__(
        self,
        parts: Parts,
        *,
        plans: Plans,
        writer: Writer,
        aggregator: Aggregator,
        latest: Latest,
        gossip: Gossip,
        filling: Filling,
        leaving: Leaving,
        mover: Mover,
        answers: Answers,
        tasks: TaskBoard,
        repairs: Repairs,
        streams: Streams,
    ) -> None:
        self._parts = parts
        self._plans = plans
        self._writer = writer
        self._aggregator = aggregator
        self._latest = latest
        self._gossip = gossip
        self._filling = filling
        self._leaving = leaving
        self._mover = mover
        self._tasks = tasks
        self._repairs = repairs
        self._by_kind: dict[str, Callable[[Message], Awaitable[_Reply]]] = {
            "gossip": self._talk,
            "ring": self._ring,
            "get_ring": self._get_ring,
            "store": self._store,
            "copy": self._copy,
            "scan": self._scan,
            "aggregate": self._aggregate,
            "latest": self._newest,
            "collections": self._collections,
            "in_step": self._in_step,
            "load": self._load,
            "digests": answers.digests,
            "ranges": answers.ranges,
            "offer": answers.offer,
            "repair": answers.repair,
            "accept_loss": self._accept_loss,
            "tasks": self._tell_tasks,
            "arrivals": streams.answer,
        }

    async def handle(self, message: Message) -> Message:
        """Answer one message; errors of `node.errors` are carried back by the transport."""
        parts = self._parts
        parts.counters.peer_requests += 1
        parts.counters.served += message.kind in _SERVING
        parts.counters.bytes_received += len(message.body)
        handler = self._by_kind.get(message.kind)
        if handler is None:
            raise BadRequest(
                f"kind={message.kind!r} is unknown to this node; its version is older than yours",
                field="kind",
            )
        ring = parts.members.ring
        if message.kind not in _WITHOUT_RING and message.header.get("ring") != ring.digest():
            raise StaleRing(
                "the request rests on another ring than this node's", document=to_document(ring)
            )
        try:
            header, body = await handler(message)
            if message.kind in _READS:
                self._check_relied_on(message)
        except asyncio.CancelledError:
            parts.counters.queries_cancelled += message.kind in _READS
            raise
        parts.counters.bytes_sent += len(body)
        if message.kind == "gossip":
            return Message("", header, body)  # its body says all, in fewer bytes
        common = {
            "ring": parts.members.ring_digest(),
            "node": parts.node_id,
            "store": parts.engine.store_id,
            "sequence": parts.engine.sequence,
            "instance": parts.members.instance,
        }
        return Message("", {**common, **header}, body)

    async def _talk(self, message: Message) -> _Reply:
        return {}, await self._gossip.answer(message.body)

    async def _ring(self, message: Message) -> _Reply:
        try:
            news = await self._parts.members.adopt(bytes(message.body))
        except DifferentCluster as error:
            raise BadRequest(str(error), field="ring") from None
        return {}, news or b""

    async def _get_ring(self, _message: Message) -> _Reply:
        return {}, to_document(self._parts.members.ring)

    async def _store(self, message: Message) -> _Reply:
        self._leaving.check_writable()
        rows = bytes_to_rows(message.body)
        header = message.header
        w = header.get("w")
        if w not in ("one", "quorum", "all"):
            raise BadRequest(f"w={w!r} is none of one, quorum, all", field="w")
        batch = Batch(
            collection=_text(header, "collection"),
            rows=rows,
            w=w,
            deadline_ms=self._deadline_ms(message, share=SPREAD_SHARE),
        )
        return reply_to_header(await self._writer.spread(batch)), b""

    async def _copy(self, message: Message) -> _Reply:
        rows = bytes_to_rows(unpack(message.body, message.header))
        absent = message.header.get("absent", [])
        if not isinstance(absent, list) or not all(isinstance(node, str) for node in absent):
            raise BadRequest(f"absent={absent!r} is no list of nodes", field="absent")
        await self._writer.store_copy(_text(message.header, "collection"), rows, absent, message)
        return {"busy": self._mover.busy()}, b""

    async def _scan(self, message: Message) -> _Reply:
        query = header_to_query(message.header)
        parts = self._parts
        page = await read_page(
            parts,
            select(query, query.spans, deletions=bool(message.header.get("deletions"))),
            after=query.after,
            limit=query.limit,
            bytes_max=PAGE_BYTES_MAX,
            deadline_ms=self._deadline_ms(message),
        )
        parts.counters.rows_read += page.rows_read
        return page_to_header(page), rows_to_bytes(page.rows)

    async def _aggregate(self, message: Message) -> _Reply:
        header = message.header
        wanted = AggregateQuery(
            header_to_query(header), level=header.get("level"), step_us=header.get("step_us")
        )
        check_aggregate(wanted)
        partial = await self._aggregator.partial(wanted, deadline_ms=self._deadline_ms(message))
        return partial_to_message(partial)

    async def _newest(self, message: Message) -> _Reply:
        query = header_to_query(message.header)
        newest = await self._latest.newest_here(query, deadline_ms=self._deadline_ms(message))
        report = newest.report
        header = {
            "rows": report.rows,
            "rows_read": report.rows_read,
            "blocks_read": report.blocks_read,
            "elapsed_us": report.elapsed_us,
        }
        return header, rows_to_bytes(newest.rows)

    async def _collections(self, message: Message) -> _Reply:
        engine, header = self._parts.engine, message.header
        if "newest_in" in header:
            until = header.get("until")
            if type(until) is not int or not TIME_MIN <= until <= TIME_MAX:
                raise BadRequest(f"until={until!r} is no time", field="until")
            return {"newest": engine.newest_time(_text(header, "newest_in"), until=until)}, b""
        collections = engine.statistics().collections
        plain = {name: statistics_to_plain(known) for name, known in sorted(collections.items())}
        return {"collections": plain}, b""

    async def _load(self, _message: Message) -> _Reply:
        return await self._plans.answer_load()

    async def _accept_loss(self, message: Message) -> _Reply:
        spans = plain_to_spans(message.header.get("spans"))
        return await self._repairs.answer_accept_loss(spans), b""

    async def _tell_tasks(self, _message: Message) -> _Reply:
        return self._tasks.answer(), b""

    async def _in_step(self, message: Message) -> _Reply:
        header = message.header
        spans = plain_to_spans(header.get("spans"))
        instance = header.get("instance", 0)
        if type(instance) is not int:
            raise BadRequest(f"instance={instance!r} is no number", field="instance")
        store = _text(header, "target_store"), instance
        await self._filling.noted(_text(header, "from"), store, spans)
        return {}, b""

    def _check_relied_on(self, message: Message) -> None:
        """Refuse an answer that is relied on for codes of which this node may have let go.

        Looked at after reading: what is neither held nor claimed now may have gone meanwhile.
        """
        relied_on = header_to_relied_on(message.header)
        holding = self._parts.members.holding
        if subtract(relied_on, union(holding.held, holding.filled.spans)):
            raise NotHeld(
                f"{self._parts.node_id} does not hold all of what is asked and may have let go "
                "of it; others have it"
            )

    def _deadline_ms(self, message: Message, *, share: float = 1.0) -> int:
        left = message.header.get("deadline_ms")
        if type(left) is not int or left < 0:
            raise BadRequest(f"deadline_ms={left!r} is no number above 0", field="deadline_ms")
        return self._parts.clock.now_ms() + int(left * share)


def _text(header: Any, name: str) -> str:
    value = header.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{name}={value!r} is no name", field=name)
    return value
