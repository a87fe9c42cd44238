"""The arrival log: what this node stored lately, for streams at any node, in bounded memory.

Each batch is one line: `own` where this node took it first, a copy with the origin and its line
there, or moved, with the node that sent it. Moved records are logged only where this node's store
was filled: what a filled store lacked came late, the rest is an area that changes hands.

Small batches are put together when somebody looks, or when there are many. What was met here
before is not fresh: a client that repeats its request, at this node or at a holder, makes no news.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from node.errors import BadRequest
from node.filter import filter_mask
from node.metadata import chosen_values
from node.peer.rows import bytes_to_rows, rows_to_bytes
from node.peer.transport import Message
from node.protocol.news import Position, Seen, plain_to_positions
from node.query import Query
from node.records import Bools, Rows, concat_rows, empty_rows, record_digests
from node.service.parts import Parts
from node.service.selection import header_to_query
from zring.digest import UInt64s, hash_text
from zring.morton import Int64s
from zring.span import contains, intersect

ENTRY_BYTES = 4_096
"""What a batch takes besides its columns: single records are dear until they are put together."""
LOOSE_MAX = 256
"""Batches that are put together at the latest."""
LINGER_MS = 10
"""Between the first news and the answer: what comes meanwhile goes with it."""
WAIT_MS_MAX = 30_000


@dataclass(slots=True)
class Entry:
    """Some batches of one kind.

    Attributes:
        lines: int64[n], of this log. origin, instance, places: int64[n], where they were first
            taken, and their lines there.
        moved: the origin is who sent them, and they have no lines there.
        digests, fresh: once somebody has looked.
    """

    collection: str
    rows: Rows
    lines: Int64s
    origin: str
    instance: int
    places: Int64s
    moved: bool
    at_us: int
    digests: UInt64s | None = None
    fresh: Bools | None = None

    @property
    def last_line(self) -> int:
        """The greatest line."""
        return int(self.lines[-1])

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return ENTRY_BYTES + self.rows.nbytes() + 25 * len(self.rows)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one stream asks of one log.

    Attributes:
        after: the last line that it has; None: from `since_us` on, or from now where that is None.
        lend: origins that do not answer → their last line that it has; their copies are wanted.
        caught: those of them for which this log was read up to `after`.
        followed: nodes that it follows: what these moved here it has from them.
    """

    query: Query
    after: Position | None
    since_us: int | None
    lend: dict[str, Position]
    caught: frozenset[str]
    followed: frozenset[str]


@dataclass(frozen=True, slots=True)
class News:
    """What one log had: rows that pass, their digests, and how far it was read.

    Attributes:
        gap: reason why lines before may be missing; "" when none are.
        gap_until_us: when the first line came that is surely here.
    """

    rows: Rows
    digests: UInt64s
    position: Position
    gap: str = ""
    gap_until_us: int = 0


class Arrivals:
    """The log of this process, and the answers from it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._entries: deque[Entry] = deque()
        self._loose: list[Entry] = []
        self._bytes = 0
        self._line = 0
        self._lost_line = 0
        self._lost_until_us = parts.clock.now_us()
        self._seen = Seen()
        self._changed = asyncio.Event()

    @property
    def position(self) -> Position:
        """The last line."""
        return Position(self._parts.members.instance, self._line)

    def own(self, collection: str, rows: Rows) -> int:
        """Log what this node took first; returns the line."""
        line = self._line + 1
        self._append(collection, rows, self._parts.node_id, self.position.instance, line)
        return self._line

    def copied(self, collection: str, rows: Rows, stored: Rows, message: Message) -> None:
        """Log what another node sent here after it had stored it.

        Args:
            stored: those of the rows that have not expired.
        """
        header = message.header
        origin, instance = str(header.get("from", "")), header.get("instance", 0)
        if type(instance) is not int:
            raise BadRequest(f"instance={instance!r} is no number", field="instance")
        if header.get("moved"):
            holding = self._parts.members.holding
            late = contains(intersect(holding.held, holding.filled.spans), stored.code)
            self._append(collection, stored.where(late), origin, 0, 0, moved=True)
            return
        places = np.repeat(*_lines_of(header.get("lines"), len(rows)))
        if len(stored) < len(rows):
            # Expired ones are missing: all lines that are left are as new as the newest.
            places = np.full(len(stored), places.max(), np.int64)
        self._append(collection, stored, origin, instance, places)

    def _append(
        self,
        collection: str,
        rows: Rows,
        origin: str,
        instance: int,
        places: Int64s | int,
        *,
        moved: bool = False,
    ) -> None:
        if not len(rows):
            return
        self._line += 1
        count = len(rows)
        entry = Entry(
            collection,
            rows,
            np.full(count, self._line, np.int64),
            origin,
            instance,
            np.full(count, places, np.int64) if isinstance(places, int) else places,
            moved,
            self._parts.clock.now_us(),
        )
        self._loose.append(entry)
        self._bytes += entry.size
        if len(self._loose) >= LOOSE_MAX:
            self._put_together()
        self._bound()
        if not self._changed.is_set():
            self._changed.set()

    def _put_together(self) -> None:
        def kind(entry: Entry) -> tuple[str, str, int, bool]:
            return entry.collection, entry.origin, entry.instance, entry.moved

        loose, self._loose = sorted(self._loose, key=kind), []
        joined = [_joined(list(group)) for _, group in groupby(loose, key=kind)]
        joined.sort(key=lambda entry: entry.last_line)
        self._bytes += sum(entry.size for entry in joined) - sum(entry.size for entry in loose)
        self._entries.extend(joined)

    def _bound(self) -> None:
        most = self._parts.limits.stream_log_bytes_max
        while self._bytes > most and (self._entries or self._loose):
            gone = self._entries.popleft() if self._entries else self._loose.pop(0)
            self._bytes -= gone.size
            self._lost_line = max(self._lost_line, gone.last_line)
            self._lost_until_us = max(self._lost_until_us, gone.at_us)

    def _look(self) -> None:
        """Put together what is loose, and tell what is fresh of it."""
        self._put_together()
        for entry in reversed(self._entries):
            if entry.digests is not None:
                break
            entry.digests = record_digests(entry.collection, entry.rows)
            entry.fresh = self._seen.add(entry.digests) & ~entry.rows.deleted

    async def read(self, wanted: Wanted, *, wait_ms: int) -> News:
        """What is behind the position; waits for the first of it."""
        after, gap = self._begin(wanted)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + wait_ms / 1_000
        behind = wanted.lend.keys() - wanted.caught
        while True:
            rows, digests = self._collect(wanted, after, catch_up=frozenset(behind))
            position = self.position
            left_s = end_s - loop.time()
            if len(rows) or gap or behind or wanted.after is None or left_s <= 0:
                return News(rows, digests, position, gap, self._lost_until_us)
            after = position.line  # nothing of it is wanted
            self._changed.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(min(LINGER_MS / 1_000, left_s))

    def known(self, origins: dict[str, Position], until: Position, collection: str) -> UInt64s:
        """Digests of copies of these origins up to a line: what another node has given out."""
        if until.instance != self.position.instance:
            return np.empty(0, np.uint64)
        self._look()
        found = [
            entry.digests[(entry.lines <= until.line) & _behind(entry, origins[entry.origin])]
            for entry in self._entries
            if entry.collection == collection and entry.origin in origins and not entry.moved
            if entry.digests is not None
        ]
        return np.concatenate(found) if found else np.empty(0, np.uint64)

    def _begin(self, wanted: Wanted) -> tuple[int, str]:
        """The line to go on after, and why lines behind it may be missing."""
        if wanted.after is None and wanted.since_us is None:
            return self._line, ""
        if wanted.after is None:
            since_us = wanted.since_us or 0
            since = (e for e in (*self._entries, *self._loose) if e.at_us >= since_us)
            first = next(since, None)
            after = self._line if first is None else int(first.lines[0]) - 1
            return after, "late" if self._lost_until_us > since_us else ""
        if wanted.after.instance != self.position.instance:
            return 0, "restarted"
        if wanted.after.line < self._lost_line:
            return self._lost_line, "overflow"
        return wanted.after.line, ""

    def _collect(
        self, wanted: Wanted, after: int, *, catch_up: frozenset[str]
    ) -> tuple[Rows, UInt64s]:
        self._look()
        parts: list[Rows] = []
        digests: list[UInt64s] = []
        for entry in reversed(self._entries):
            if entry.last_line <= after and not catch_up:
                break
            mask = self._wants(wanted, entry, after, catch_up)
            if mask is not None and mask.any():
                assert entry.digests is not None, "an entry that nobody looked at"
                parts.append(entry.rows.where(mask))
                digests.append(entry.digests[mask])
        if not parts:
            return empty_rows(), np.empty(0, np.uint64)
        return _passing(wanted.query, concat_rows(parts[::-1]), np.concatenate(digests[::-1]))

    def _wants(
        self, wanted: Wanted, entry: Entry, after: int, catch_up: frozenset[str]
    ) -> Bools | None:
        if entry.collection != wanted.query.collection or entry.fresh is None:
            return None
        new: Bools = entry.fresh & (entry.lines > after)
        if entry.moved:
            return None if entry.origin in wanted.followed else new
        if entry.origin == self._parts.node_id:
            return new
        if entry.origin not in wanted.lend:
            return None
        behind = _behind(entry, wanted.lend[entry.origin])
        return behind & (entry.fresh if entry.origin in catch_up else new)


def _behind(entry: Entry, position: Position) -> Bools:
    """Which rows were taken at their origin after a position; of another process all."""
    if entry.instance != position.instance:
        return np.ones(len(entry.rows), np.bool_)
    mask: Bools = entry.places > position.line
    return mask


def _joined(entries: list[Entry]) -> Entry:
    first = entries[0]
    if len(entries) == 1:
        return first
    return Entry(
        first.collection,
        concat_rows([entry.rows for entry in entries]),
        np.concatenate([entry.lines for entry in entries]),
        first.origin,
        first.instance,
        np.concatenate([entry.places for entry in entries]),
        first.moved,
        first.at_us,
    )


def _passing(query: Query, rows: Rows, digests: UInt64s) -> tuple[Rows, UInt64s]:
    """The rows that a stream wants, with the values that it wants."""
    mask = np.ones(len(rows), np.bool_)
    if query.area is not None:
        mask &= query.area.contains(lon=rows.lon, lat=rows.lat)
    if query.sensors is not None:
        wanted = np.array(sorted(map(hash_text, query.sensors)), np.uint64)
        mask &= np.isin(rows.sensor_hash, wanted)
    if query.filter is not None:
        mask &= filter_mask(rows, query.filter)
    rows = rows.where(mask)
    metadata = None if query.metadata else ()
    return rows.with_values(chosen_values(rows.values, query.columns, metadata)), digests[mask]


def _lines_of(plain: Any, count: int) -> tuple[Int64s, Int64s]:
    """Lines and how many rows each has, from a message of copies; line 0 where none are told."""
    if plain is None:
        return np.zeros(1, np.int64), np.array([count])
    try:
        lines, counts = np.array(plain, np.int64).reshape(-1, 2).T
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequest(f"lines are malformed: {error}", field="lines") from None
    if (counts < 0).any() or int(counts.sum()) != count:
        raise BadRequest("lines count other rows than came", field="lines")
    return lines, counts


def wanted_to_header(wanted: Wanted, plain_query: dict[str, Any]) -> dict[str, Any]:
    """As plain values."""
    return {
        **plain_query,
        "after": None if wanted.after is None else list(wanted.after),
        "since_us": wanted.since_us,
        "lend": {origin: list(at) for origin, at in sorted(wanted.lend.items())},
        "caught": sorted(wanted.caught),
        "followed": sorted(wanted.followed),
    }


def header_to_wanted(header: Any) -> Wanted:
    """Undo `wanted_to_header`.

    Raises:
        BadRequest: a field is absent or of another type.
    """
    query = header_to_query({**header, "after": None})
    try:
        after = header["after"]
        return Wanted(
            query,
            None if after is None else Position(int(after[0]), int(after[1])),
            None if header["since_us"] is None else int(header["since_us"]),
            plain_to_positions(header["lend"]),
            frozenset(map(str, header["caught"])),
            frozenset(map(str, header["followed"])),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadRequest(f"question for arrivals is malformed: {error}", field="after") from None


def news_to_message(news: News) -> tuple[dict[str, Any], bytes]:
    """Header and body of an answer."""
    header = {
        "position": list(news.position),
        "rows": len(news.rows),
        "gap": news.gap,
        "gap_until_us": news.gap_until_us,
    }
    return header, news.digests.tobytes() + bytes(rows_to_bytes(news.rows))


def message_to_news(message: Message) -> News:
    """Undo `news_to_message`."""
    header = message.header
    body = memoryview(message.body)
    size = 8 * int(header["rows"])
    return News(
        bytes_to_rows(body[size:]),
        np.frombuffer(body[:size], np.uint64),
        Position(*header["position"]),
        str(header["gap"]),
        int(header["gap_until_us"]),
    )
