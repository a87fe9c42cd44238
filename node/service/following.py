"""A stream of what arrives: the logs of all members in contact, read side by side.

One follower for each member asks for the next lines of its log and waits there for them. What
comes is queued, a bounded number of bytes: a slow reader stops the followers, the logs go on
without it, and where one has forgotten lines by then the stream says so (`Gap`). Followers run
ahead of the reader; the cursor tells what the reader has been given.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

import numpy as np

from node.errors import NodeError, Overloaded
from node.peer.transport import Message
from node.protocol.news import Cursor, Fence, Position, Seen, runs_of
from node.query import Coverage, Query
from node.records import Rows
from node.service.arrivals import (
    Arrivals,
    News,
    Wanted,
    header_to_wanted,
    message_to_news,
    news_to_message,
    wanted_to_header,
)
from node.service.parts import Parts
from node.service.scatter import plan_route
from node.service.selection import query_to_header
from zring.digest import UInt64s

LOOK_MS = 250
"""Between two looks at who is in contact, and before a member that failed is asked again."""
WAIT_MS = 1_000
"""A log without news answers after so long: then it hears whose copies are wanted by now."""
RECALL_MS = 2_000
"""For asking lenders what another node has already given out of their copies."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """Records that have arrived, each for the first time."""

    rows: Rows


@dataclass(frozen=True, slots=True)
class Crossed:
    """Records of sensors with which they came into the fence, or went out."""

    rows: Rows
    entered: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """What a node took between two moments (microseconds) may be missing.

    Attributes:
        reason: `restarted` (its log went with its process), `overflow` (the stream was too slow, or
            away too long), `late` (it was met after its log had begun anew), `fence` (the stream
            goes on without knowing who is inside).
    """

    node: str
    reason: str
    from_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes from here: go on at another node."""

    reason: str


Event = Arrived | Crossed | Gap | Coverage | Ended


@dataclass(slots=True)
class _Piece:
    """What one answer of a log adds, and how far the reader is once it has it."""

    node: str
    news: News
    caught: frozenset[str] = frozenset()
    returned: bool = False


@dataclass(slots=True)
class Streams:
    """The streams of one node: how many there may be."""

    parts: Parts
    arrivals: Arrivals
    open: int = 0

    def follow(self, query: Query, cursor: Cursor | None, *, fenced: bool) -> "Following":
        """A stream, to be entered.

        Raises:
            Overloaded: streams_max are open.
        """
        most = self.parts.limits.streams_max
        if self.open >= most:
            raise Overloaded(f"streams_max={most} streams are open here; ask another node")
        return Following(self, query, cursor, fenced=fenced)

    async def answer(self, message: Message) -> tuple[dict[str, object], bytes]:
        """What a stream at another node asks of this node's log."""
        wanted = header_to_wanted(message.header)
        recalled = message.header.get("recall")
        if recalled and wanted.after is not None:
            digests = self.arrivals.known(wanted.lend, wanted.after, wanted.query.collection)
            return {"digests": len(digests)}, digests.tobytes()
        wait_ms = min(int(message.header.get("wait_ms", 0)), WAIT_MS)
        return news_to_message(await self.arrivals.read(wanted, wait_ms=wait_ms))


@dataclass(slots=True)
class Following:
    """One stream; use it as `async with`, and read `events`."""

    streams: Streams
    query: Query
    given: Cursor | None
    fenced: bool = field(kw_only=True)
    cursor: Cursor = field(init=False)
    _queue: deque[_Piece | Event] = field(init=False, default_factory=deque)
    _queued: int = field(init=False, default=0)
    _news: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _room: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _tasks: dict[str, asyncio.Task[None]] = field(init=False, default_factory=dict)
    _read: dict[str, Position] = field(init=False, default_factory=dict)
    _caught: dict[str, set[str]] = field(init=False, default_factory=dict)
    _failing: set[str] = field(init=False, default_factory=set)
    _seen: Seen = field(init=False, default_factory=Seen)
    _fence: Fence | None = field(init=False, default=None)
    _told: tuple[object, ...] = field(init=False, default=())
    _heard_us: dict[str, int] = field(init=False, default_factory=dict)
    _from_us: int = field(init=False, default=0)
    _present: frozenset[str] = field(init=False, default=frozenset())

    async def __aenter__(self) -> Self:
        parts = self.streams.parts
        now_us = parts.clock.now_us()
        self.cursor = self.given or Cursor(now_us, now_us)
        self._from_us = self.cursor.at_us
        self._read = dict(self.cursor.positions)
        self._caught = {origin: set(nodes) for origin, nodes in self.cursor.lenders.items()}
        if self.fenced:
            self._fence = Fence(parts.limits.fence_sensors_max, self.cursor.inside)
            if self.given is not None and self.given.inside is None:
                gap = Gap(parts.node_id, "fence", self.given.at_us, now_us)
                self._queue.append(gap)
        self.streams.open += 1
        parts.counters.streams_opened += 1
        try:
            contact = parts.members.view().standing.contact
            self._failing = (set(parts.members.ring.members()) | set(self._read)) - contact
            if self.given is None:
                self._present = contact
            await self._recall()
            watch = parts.tasks.spawn(self._watch(), name="stream watch")
        except BaseException:
            self.streams.open -= 1
            raise
        self._tasks[""] = watch
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.streams.open -= 1
        for task in self._tasks.values():
            task.cancel()

    async def events(self, *, idle_ms: int) -> AsyncIterator[Event | None]:
        """What happens, in order; None when nothing has for `idle_ms`.

        `cursor` is right for each of them when it is given out.
        """
        most = self.streams.parts.limits.stream_queue_bytes_max
        loop = asyncio.get_running_loop()
        idle_at_s = loop.time() + idle_ms / 1_000
        while True:
            if loop.time() >= idle_at_s:
                yield None  # answers may have come, but nothing to tell
                idle_at_s = loop.time() + idle_ms / 1_000
            if not self._queue:
                self._news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(idle_at_s):
                        await self._news.wait()
                continue
            entry = self._queue.popleft()
            if isinstance(entry, _Piece):
                self._queued -= _size(entry)
                if self._queued < most:
                    self._room.set()
                found = self._taken(entry)
            else:
                found = [entry]
            for event in found:
                yield event
                idle_at_s = loop.time() + idle_ms / 1_000

    def text(self) -> str:
        """The cursor as it is now."""
        self.cursor.at_us = self.streams.parts.clock.now_us()
        return self.cursor.text()

    def _taken(self, piece: _Piece) -> list[Event]:
        """The events of an answer; the cursor passes it."""
        cursor, news = self.cursor, piece.news
        events: list[Event] = []
        if news.gap:
            # Two clocks: the reader's node says since when, the other one until when.
            since_us = min(self._heard_us.get(piece.node, self._from_us), news.gap_until_us)
            events.append(Gap(piece.node, news.gap, since_us, news.gap_until_us))
        self._heard_us[piece.node] = self.streams.parts.clock.now_us()
        cursor.positions[piece.node] = news.position
        for origin in piece.caught:
            cursor.lenders.setdefault(origin, set()).add(piece.node)
        if piece.returned:
            cursor.lenders.pop(piece.node, None)
        rows = news.rows.where(self._seen.add(news.digests))
        if not len(rows):
            return events
        if self._fence is None:
            self.streams.parts.counters.stream_records += len(rows)
            return [*events, Arrived(rows)]
        area = self.query.area
        assert area is not None, "a fence without an area"
        inside = area.contains(lon=rows.lon, lat=rows.lat)
        for run in runs_of(self._fence.cross(rows.sensor_hash, rows.time, inside)):
            places = np.array([crossing.place for crossing in run], np.intp)
            events.append(Crossed(rows.take(places), run[0].entered))
        cursor.inside = self._fence.inside()
        return events

    async def _watch(self) -> None:
        """Begin to follow members as they come into contact; tell who goes away."""
        parts = self.streams.parts
        while True:
            view = parts.members.view()
            for node in sorted(view.standing.contact - self._tasks.keys()):
                self._tasks[node] = parts.tasks.spawn(self._follow(node), name=f"stream {node}")
            route = plan_route(view.ring.domain, view.readers, self.query, here=parts.node_id)
            coverage = parts.members.coverage(view, route)
            told = (coverage.state, tuple(sorted(coverage.away)))
            if told != self._told:
                self._told = told
                self._put(coverage)
            if parts.members.life in ("draining", "left"):
                self._put(Ended("this node is shutting down"))
                return
            await asyncio.sleep(LOOK_MS / 1_000)

    def _put(self, entry: _Piece | Event) -> None:
        self._queue.append(entry)
        self._news.set()

    async def _follow(self, node: str) -> None:
        """Read one member's log, as long as the stream lives."""
        parts = self.streams.parts
        while True:
            while self._queued >= parts.limits.stream_queue_bytes_max:
                self._room.clear()
                await self._room.wait()
            wanted = self._wanted(node)
            try:
                if node != parts.node_id and node not in parts.members.view().standing.contact:
                    raise Overloaded(f"{node} is away")
                news = await self._ask(node, wanted)
            except NodeError:
                self._failing.add(node)
                await asyncio.sleep(LOOK_MS / 1_000)
                continue
            # Its own lines up to its last one are here: nobody has to lend them any more.
            returned = node in self._failing or node in self._caught
            self._failing.discard(node)
            if returned:
                self._caught.pop(node, None)
            self._read[node] = news.position
            caught = frozenset(wanted.lend) - wanted.caught
            for origin in caught & self._failing:
                self._caught.setdefault(origin, set()).add(node)
            piece = _Piece(node, news, caught, returned)
            self._queued += _size(piece)
            self._put(piece)

    def _wanted(self, node: str) -> Wanted:
        after = self._read.get(node)
        lend = {
            origin: self._read.get(origin, Position(0, 0))
            for origin in self._failing
            if origin != node
        }
        caught = {
            origin
            for origin in lend
            # What a member that was never met took before this log is read is none of ours.
            if node in self._caught.get(origin, ()) or origin not in self._read or after is None
        }
        followed = frozenset(self._tasks.keys() - self._failing)
        query = replace(self.query, area=None) if self.fenced else self.query
        since_us = None if node in self._present else self.cursor.begun_us
        return Wanted(query, after, since_us, lend, frozenset(caught), followed)

    async def _ask(self, node: str, wanted: Wanted) -> News:
        parts = self.streams.parts
        if node == parts.node_id:
            return await self.streams.arrivals.read(wanted, wait_ms=WAIT_MS)
        timeout_ms = WAIT_MS + parts.limits.peer_timeout_ms
        reply = await parts.peers.call(
            parts.members.address_of(node),
            "arrivals",
            {**wanted_to_header(wanted, query_to_header(wanted.query)), "wait_ms": WAIT_MS},
            deadline_ms=parts.clock.now_ms() + timeout_ms,
            timeout_ms=timeout_ms,
        )
        return message_to_news(reply)

    async def _recall(self) -> None:
        """Learn what the node before has given out of copies, so that it is not given again."""
        parts = self.streams.parts
        lenders = sorted({node for nodes in self._caught.values() for node in nodes})
        deadline_ms = parts.clock.now_ms() + RECALL_MS
        for node in lenders:
            after = self._read.get(node)
            origins = {
                origin: self._read.get(origin, Position(0, 0))
                for origin, nodes in self._caught.items()
                if node in nodes
            }
            if after is None:
                continue
            try:
                digests = await self._recalled(node, after, origins, deadline_ms)
            except NodeError:
                continue  # it is away, and so is what it lent
            self._seen.add(digests)

    async def _recalled(
        self, node: str, after: Position, origins: dict[str, Position], deadline_ms: int
    ) -> UInt64s:
        parts = self.streams.parts
        if node == parts.node_id:
            return self.streams.arrivals.known(origins, after, self.query.collection)
        wanted = Wanted(self.query, after, 0, origins, frozenset(), frozenset())
        reply = await parts.peers.call(
            parts.members.address_of(node),
            "arrivals",
            {**wanted_to_header(wanted, query_to_header(self.query)), "recall": True},
            deadline_ms=deadline_ms,
        )
        return np.frombuffer(reply.body, np.uint64)


def _size(piece: _Piece) -> int:
    return piece.news.rows.nbytes() + 1_024
