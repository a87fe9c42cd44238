"""One node's service: everything that the HTTP door, the commands and the tests may ask of it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType

from node.clock import Clock
from node.config import LAN, Limits, LinkPreset, MoverSettings
from node.errors import NodeError, Overloaded
from node.peer.transport import Transport
from node.protocol.expiry import kept_from_us
from node.protocol.flip import Turn
from node.protocol.rules import ALL_RULES, Rules
from node.protocol.word import Life
from node.query import (
    TIME_MIN,
    AggregateAnswer,
    AggregateQuery,
    Answer,
    Coverage,
    Query,
    WriteLevel,
    WriteReply,
)
from node.records import Rows
from node.service.aggregate import Aggregator
from node.service.arrivals import Arrivals
from node.service.audit import Audit, NoAudit
from node.service.catalogue import Catalogue
from node.service.cluster_tasks import TaskBoard
from node.service.counters import Counters
from node.service.delivery import Delivery
from node.service.expiring import Expiring
from node.service.filled import Filling
from node.service.flip import Flipping
from node.service.following import Streams
from node.service.forgetting import Forgetting
from node.service.gate import Gate
from node.service.gossip import Gossip
from node.service.handlers import Handlers
from node.service.ingest_process import IngestProcess, IngestStatus
from node.service.latest import Latest
from node.service.leaving import Leaving, LeftOver
from node.service.links import Links
from node.service.members import Members
from node.service.mover.answers import Answers
from node.service.mover.mover import Mover, MoverStatistics
from node.service.parts import Parts
from node.service.peers import Peers
from node.service.plans import Plans
from node.service.read import Reader
from node.service.repairs import Repairs
from node.service.status import ClusterStatus, coverage_everywhere, look
from node.service.tasks import Tasks
from node.service.write import Batch, Writer
from node.storage.engine import CollectionStatistics, Engine
from zring.domain import Domain
from zring.ring import Ring
from zring.span import EVERYTHING, Spans

CATCH_UP_PERIODS = 4
"""Probe periods for which a start waits for the words of others: one to be heard, one to hear."""
CATCH_UP_LOOK_MS = 50


class Service:
    """A node without its doors.

    Args:
        node_id: made once, does not depend on addresses.
        ring: the founding ring, or any later one; what the engine remembers is merged into it.
        engine: opened; `stop` does not close it.
        transport: not yet started.
        link: how members keep in touch.
        seeds: peer addresses to find the others by.
        client_url: where clients reach this node; told to the others.
        peer_address: where peers reach this node.
        location: where it stands (lon, lat; e7); told to the others, for plans.
        rules: all of them, but for what the simulation switches off.
        audit: where administrative calls and refusals are written; None keeps nothing.
    """

    def __init__(
        self,
        *,
        node_id: str,
        ring: Ring,
        engine: Engine,
        transport: Transport,
        clock: Clock,
        limits: Limits | None = None,
        link: LinkPreset = LAN,
        mover: MoverSettings | None = None,
        seeds: tuple[str, ...] = (),
        client_url: str = "",
        peer_address: str = "",
        location: tuple[int, int] | None = None,
        rules: Rules = ALL_RULES,
        audit: Audit | None = None,
    ) -> None:
        limits = _on_link(limits or Limits(), link)
        mover = mover or MoverSettings()
        counters = Counters()
        self._tasks = Tasks()
        self.audit: Audit = audit or NoAudit()
        self._transport = transport
        self._started_us = clock.now_us()
        members = Members(
            node_id=node_id,
            ring=ring,
            seeds=seeds,
            url=client_url,
            address=peer_address,
            location=location,
            engine=engine,
            clock=clock,
            link=link,
            counters=counters,
            rules=rules,
        )
        peers = Peers(
            node_id=node_id,
            transport=transport,
            clock=clock,
            limits=limits,
            counters=counters,
            members=members,
        )
        self._parts = Parts(
            node_id=node_id,
            domain=members.ring.domain,
            engine=engine,
            clock=clock,
            limits=limits,
            members=members,
            peers=peers,
            counters=counters,
            tasks=self._tasks,
            rules=rules,
        )
        links = Links(mover.link_bytes_per_s_max)
        self._delivery = Delivery(self._parts, links)
        self._catalogue = Catalogue(self._parts)
        self._reader = Reader(self._parts)
        gate = Gate(clock)
        self.streams = Streams(self._parts, Arrivals(self._parts))
        """Streams of what arrives anywhere in the cluster."""
        self._writer = Writer(self._parts, self._delivery, gate, self.streams.arrivals)
        self._aggregator = Aggregator(self._parts)
        self._latest = Latest(self._parts, self._catalogue)
        self._mover = Mover(self._parts, links, mover)
        self._gossip = Gossip(self._parts, self._mover)
        self._filling = Filling(self._parts)
        self._flipping = Flipping(self._parts, gate, self._mover)
        self._expiring = Expiring(self._parts)
        self._leaving = Leaving(self._parts, self._mover, self._delivery)
        self.plans = Plans(
            self._parts, self._mover, link_bytes_per_s_max=mover.link_bytes_per_s_max
        )
        """Plans and commits changes of the ring."""
        self.tasks = TaskBoard(
            self._parts, mover=self._mover, filling=self._filling, flipping=self._flipping
        )
        """What is under way, here and at the others."""
        self.repairs = Repairs(self._parts, mover=self._mover, filling=self._filling)
        """Comparisons that somebody asks for, and losses that somebody accepts."""
        self._handlers = self._make_handlers()
        self._queries = _Queries(self._parts)
        self._ingest: IngestProcess | None = None
        self._ingesting: asyncio.Task[None] | None = None

    def _make_handlers(self) -> Handlers:
        return Handlers(
            self._parts,
            plans=self.plans,
            writer=self._writer,
            aggregator=self._aggregator,
            latest=self._latest,
            gossip=self._gossip,
            mover=self._mover,
            answers=Answers(self._parts, self._mover),
            filling=self._filling,
            leaving=self._leaving,
            tasks=self.tasks,
            repairs=self.repairs,
            streams=self.streams,
        )

    @property
    def forgetting(self) -> Forgetting:
        """Giving up members that died."""
        return Forgetting(self._parts)

    @property
    def node_id(self) -> str:
        """This node's name."""
        return self._parts.node_id

    @property
    def ring(self) -> Ring:
        """The ring in force."""
        return self._parts.members.ring

    @property
    def domain(self) -> Domain:
        """The cluster's domain."""
        return self._parts.domain

    @property
    def engine(self) -> Engine:
        """This node's store, for statistics and metrics."""
        return self._parts.engine

    @property
    def counters(self) -> Mapping[str, int]:
        """What this node has done since it started."""
        return self._parts.counters.frozen()

    @property
    def running(self) -> bool:
        """Whether the node works; false before `start`, after `stop`, and when a task failed."""
        return self._tasks.running

    async def start(self) -> None:
        """Begin to receive, greet the others once, and keep watching them."""
        parts = self._parts
        await self._tasks.start()
        await parts.members.holding.store_first()
        await self._transport.start(self._handlers.handle, parts.members.health.felt)
        await self._gossip.first_round()
        self._tasks.spawn(self._gossip.run(), name="gossip")
        await self._catch_up()
        with suppress(NodeError):  # a full disk: its own turns try it again
            await self._filling.judge()
        parts.members.life = "serving"
        self._tasks.spawn(self._filling.run(), name="filling")
        self._tasks.spawn(self._flipping.run(), name="flipping")
        self._tasks.spawn(self._expiring.run(), name="expiring")

    async def _catch_up(self) -> None:
        """Hear from those in contact which ring is in force, and what they know of this store."""
        parts = self._parts
        most_ms = CATCH_UP_PERIODS * parts.members.link.period_ms
        end_ms = parts.clock.now_ms() + most_ms
        while True:
            if parts.members.caught_up() or parts.clock.now_ms() >= end_ms:
                return
            await asyncio.sleep(CATCH_UP_LOOK_MS / 1_000)

    @property
    def life(self) -> Life:
        """Starting, serving, draining, or left: out of the ring and without a record."""
        return self._parts.members.word().life

    async def drain(self) -> LeftOver:
        """Take no more writes and hand over what only this node has; `stop` comes next.

        Bounded in time; returns what could not be handed over.
        """
        return await self._leaving.drain()

    async def stop(self) -> None:
        """Stop receiving, end every task; what was acknowledged is durable already."""
        await self._transport.close()
        await self._tasks.stop()

    def start_ingest(self, process: IngestProcess) -> None:
        """Keep a process running that brings records in; it needs this node's doors open."""
        assert self._ingest is None, "one process carries all sources"
        self._ingest = process
        self._ingesting = self._tasks.spawn(process.run(), name="ingest")

    async def stop_ingest(self) -> None:
        """End it, before the doors are closed: what is in flight is still taken."""
        if self._ingesting is not None:
            self._ingesting.cancel()
            await asyncio.wait((self._ingesting,))
            self._ingesting = None

    def ingest_status(self) -> IngestStatus | None:
        """How the process that brings records in is; None where this node has no sources."""
        return None if self._ingest is None else self._ingest.status()

    async def write(
        self,
        collection: str,
        rows: Rows,
        w: WriteLevel = "one",
        timeout_ms: int | None = None,
        *,
        replace: bool = False,
    ) -> WriteReply:
        """Store rows of the domain, here or wherever they belong.

        Args:
            rows: validated, with codes of this domain.
            w: on how many disks each record must be before the reply says `acknowledged`.
            replace: these are corrections: they get a version above all that came before.
        Returns:
            What is durable now; records that are on fewer disks than `w` asks for get there
            without another request.
        Raises:
            Unavailable and its subclasses: nothing is known to be stored; send it again.
        """
        self._leaving.check_writable()
        timeout_ms = timeout_ms or self._parts.limits.query_timeout_ms
        deadline_ms = self._parts.clock.now_ms() + timeout_ms
        batch = Batch(collection, rows, w, deadline_ms)
        if replace:
            return await self._writer.write_correction(batch)
        return await self._writer.write(batch)

    async def read(self, query: Query) -> Answer:
        """Rows of a query in key order: one page when it has a limit, else all of them.

        Raises:
            NotFound: no node knows the collection. Overloaded, DeadlineExceeded, CoverageTooLow,
            TooLarge (more rows than one answer may have), BadRequest.
        """
        with self._queries:
            answer = await self._reader.read(query)
            return await self._finished(query, answer)

    async def stream(self, query: Query) -> AsyncIterator[Answer]:
        """The same in bounded parts, in key order; `limit` bounds each reader's page only.

        Raises:
            CoverageTooLow: coverage became worse after the first part; what was sent before must
                not be taken for the whole answer.
        """
        with self._queries:
            count = 0
            async for part in self._reader.stream(query):
                count += len(part.rows)
                self._parts.counters.rows_returned += len(part.rows)
                if part.resume is None and not count and query.after is None:
                    await self._catalogue.check_known(query.collection)
                yield part

    async def aggregate(self, query: AggregateQuery) -> AggregateAnswer:
        """Count and statistics of values per cell and time step."""
        with self._queries:
            answer = await self._aggregator.aggregate(query)
            if not len(answer.table):
                await self._catalogue.check_known(query.query.collection)
            return answer

    async def latest(self, query: Query) -> Answer:
        """The newest record of each sensor in the query's time, in key order.

        Without a time: of the 24 hours before the newest record of the collection that is not
        in the future.
        """
        with self._queries:
            return await self._finished(query, await self._latest.latest(query))

    async def nearest(self, query: Query, *, lon: int, lat: int, count: int) -> Answer:
        """The `count` sensors whose newest record lies nearest to a position (e7), nearest first.

        `distances_m` of the answer holds the distances. Time as in `latest`.
        """
        with self._queries:
            answer = await self._latest.nearest(query, lon=lon, lat=lat, count=count)
            return await self._finished(query, answer)

    async def explain(self, query: Query) -> dict[str, object]:
        """Run a query and tell who read what, instead of the rows."""
        started_us = self._parts.clock.now_us()
        answer = await self.read(query)
        coverage = answer.coverage
        return {
            "node": self.node_id,
            "elapsed_us": self._parts.clock.now_us() - started_us,
            "rows": len(answer.rows),
            "coverage": coverage.state,
            "away": dict(coverage.away),
            "ring_digest": f"{self.ring.digest():016x}",
            "readers": [
                {
                    "node": report.node,
                    "spans": report.spans,
                    "rows": report.rows,
                    "rows_read": report.rows_read,
                    "blocks_read": report.blocks_read,
                    "elapsed_us": report.elapsed_us,
                }
                for report in answer.readers
            ],
        }

    async def collections(self) -> Mapping[str, CollectionStatistics]:
        """Every collection that a node in contact knows, sorted by name."""
        return await self._catalogue.collections()

    def hand_overs(self) -> Mapping[str, Turn]:
        """Target → what this node is to hand over to it, and why that waits."""
        return self._flipping.turns()

    async def accept_loss(self, spans: Spans = EVERYTHING) -> Spans:
        """A person gives up what may be missing here: this node counts as filled again.

        Returns:
            The codes accepted: those that this node holds and for which no node in contact is
            filled; what others still have of them comes here as it always does.
        """
        return await self._filling.accept_loss(spans)

    def kept_from_us(self, collection: str) -> int:
        """The first moment (microseconds) whose records are kept; what is older is refused."""
        if not self._parts.rules.expired_refused:
            return TIME_MIN
        return kept_from_us(self.ring.settings, collection)

    def status(self) -> ClusterStatus:
        """The cluster as this node sees it now."""
        return look(self._parts, started_us=self._started_us)

    def coverage(self) -> Coverage:
        """What an answer from the whole domain would say now."""
        return coverage_everywhere(self._parts)

    def mover_statistics(self) -> MoverStatistics:
        """What is being moved to whom, and what it waits for."""
        return self._mover.statistics()

    def is_settled(self) -> bool:
        """Whether this node owes no holder in contact a copy; for tests and `doctor`."""
        contact = self._parts.members.view().standing.contact
        owed = self._parts.members.outstanding.counts()
        return (
            self._mover.idle
            and not self._delivery.bytes_queued
            and not any(holder in contact for holder in owed)
        )

    async def _finished(self, query: Query, answer: Answer) -> Answer:
        if not len(answer.rows) and query.after is None:
            await self._catalogue.check_known(query.collection)
        self._parts.counters.rows_returned += len(answer.rows)
        return answer


def _on_link(limits: Limits, link: LinkPreset) -> Limits:
    """The limits with the patience that slow lines need."""
    least = link.peer_timeout_ms_min
    return limits if limits.peer_timeout_ms >= least else replace(limits, peer_timeout_ms=least)


class _Queries:
    """The queries at work: entered by each, which counts it and keeps to the limit of all."""

    def __init__(self, parts: Parts) -> None:
        self._limits = parts.limits
        self._counters = parts.counters
        self._at_work = 0

    def __enter__(self) -> None:
        most = self._limits.queries_max
        if self._at_work >= most:
            raise Overloaded(f"queries_max={most} queries are at work; repeat in a moment")
        self._at_work += 1
        self._counters.queries += 1
        self._counters.served += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._at_work -= 1
        if kind is None:
            return
        if issubclass(kind, asyncio.CancelledError):
            self._counters.queries_cancelled += 1
        else:
            self._counters.queries_failed += 1
