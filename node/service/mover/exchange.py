"""Sending a peer what it lacks of a chunk: whole pieces, or what it picks from an offer."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import replace
from itertools import chain
from types import TracebackType
from typing import Any, Self

import numpy as np

from node.errors import NodeError
from node.protocol.comparison import Pieces, Slice, slices_of
from node.protocol.hash_ranges import RangeDigests, places_in_ranges, windows_of
from node.protocol.hash_ranges import Window as HashWindow
from node.query import TIME_MAX, TIME_MIN
from node.records import Bools, Key, Rows, concat_rows
from node.service.mover.compare import Chunk
from node.service.mover.link import Link
from node.service.mover.region import Region
from node.service.parts import Parts
from node.storage.engine import Engine, Scan
from zring.morton import CODE_BITS
from zring.span import Span, Spans, intersect

SCAN_ROWS = 20_000
"""Rows of one scan: a few megabytes, and a step of the event loop that nobody notices."""
OFFER_ROWS = 10_000
"""Rows of one offer: 400 kB."""
OFFER_ROW_BYTES = 40
IN_FLIGHT_MAX = 4
"""Messages under way to one peer: the next are read and packed while it stores the last, and a
link of one second's delay is kept busy."""


class Window:
    """At most `IN_FLIGHT_MAX` messages at once; the first that fails ends the sending."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._room = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._error: NodeError | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._group.__aexit__(kind, error, trace)
        if self._error is not None:
            raise self._error

    async def send(self, work: Coroutine[Any, Any, None]) -> bool:
        """Start it as soon as there is room; False once one has failed: stop sending."""
        try:
            await self._room.acquire()
        except asyncio.CancelledError:
            work.close()
            raise
        if self._error is not None:
            work.close()
            return False
        self._group.create_task(self._run(work))
        return True

    async def wait_quiet(self) -> None:
        """Until nothing is under way."""
        for _ in range(IN_FLIGHT_MAX):
            await self._room.acquire()
        for _ in range(IN_FLIGHT_MAX):
            self._room.release()

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except NodeError as error:
            self._error = self._error or error
        finally:
            self._room.release()


class Exchange:
    """Everything that one region's chunks need."""

    def __init__(self, parts: Parts, link: Link, region: Region, spans: Spans) -> None:
        self._parts = parts
        self._link = link
        self._region = region
        self._collection = region.collection
        self._spans = spans

    async def carry(self, chunk: Chunk) -> None:
        """Send what the peer lacks; all of it is on its disk when this returns.

        Raises:
            NodeError: the peer, or the way to it, failed.
        """
        async with Window() as window:
            await self._send(window, self._read(chunk.absent), offered=False)
            await self._send(window, self._read(chunk.offer), offered=True)
            for pieces in chunk.large:
                for piece in pieces.each():
                    await self._carry_large(window, piece)

    async def _carry_large(self, window: Window, piece: Pieces) -> None:
        """Of one large bucket: offer what lies in ranges of hashes that differ."""
        shift = CODE_BITS - 2 * piece.level
        cell, day = int(piece.cells[0]), int(piece.days[0])
        span = (cell << shift, (cell + 1) << shift)
        for part in windows_of(day, records=piece.records()):
            scan = bucket_scan(self._collection, self._spans, span, part)
            differing = await self._differing(scan, span, part)
            if not differing.any():
                continue
            found = [
                rows.where(differing[places_in_ranges(rows, bits=part.bits)])
                async for rows in scanned(self._parts.engine, replace(scan, sensor_names=True))
            ]
            await self._send(window, iter([rows for rows in found if len(rows)]), offered=True)

    async def _differing(self, scan: Scan, span: Span, part: HashWindow) -> Bools:
        """bool[2**bits]: ranges of one window in which the peer may lack something."""
        theirs = await self._link.ranges(self._region, span, part)
        if theirs is None:
            # It was not upgraded yet: all of the bucket is offered, as its version does.
            return np.ones(1 << part.bits, np.bool_)
        mine = await own_ranges(self._parts.engine, scan, bits=part.bits)
        return mine.lacking(*theirs)

    async def _send(self, window: Window, found: Iterator[Rows], *, offered: bool) -> None:
        """Send rows in messages of the size that suits the link."""
        clock = self._parts.clock
        waiting: list[Rows] = []
        size = 0
        began_ms = clock.now_ms()
        for rows in chain(found, (None,)):
            step = self._link.step_bytes
            if rows is not None:
                waiting.append(rows)
                size += OFFER_ROW_BYTES * len(rows) if offered else rows.nbytes()
                if size < step and sum(map(len, waiting)) < OFFER_ROWS:
                    continue
            if not waiting:
                break
            for part in _messages(concat_rows(waiting), size, step_bytes=step):
                work = self._offer(part) if offered else self._link.copy(self._collection, part)
                if not await window.send(work):
                    return
                if self._link.is_busy():
                    # One message after the other, so that the rest comes after each.
                    await window.wait_quiet()
                await self._link.pace(clock.now_ms() - began_ms)
                began_ms = clock.now_ms()
            waiting, size = [], 0

    async def _offer(self, rows: Rows) -> None:
        lacking = await self._link.offer(self._collection, rows)
        if not lacking.any():
            return
        wanted = rows.where(lacking)
        for part in _messages(wanted, wanted.nbytes(), step_bytes=self._link.step_bytes):
            await self._link.copy(self._collection, part)

    @property
    def _rows_at_once(self) -> int:
        return min(SCAN_ROWS, self._link.step_rows)

    def _read(self, pieces: tuple[Pieces, ...]) -> Iterator[Rows]:
        """Newest first, in parts that fill a message."""
        for slice_ in slices_of(pieces, rows_max=self._rows_at_once):
            for time_start, time_stop in slice_.windows(rows=self._rows_at_once):
                scan = self._scan(slice_, time_start, time_stop)
                after: Key | None = None
                while True:
                    step = self._parts.engine.scan(scan, after=after, rows_max=self._rows_at_once)
                    if len(step.rows):
                        yield step.rows
                    after = step.resume
                    if after is None:
                        break

    def _scan(self, slice_: Slice, time_start: int, time_stop: int) -> Scan:
        return Scan(
            self._collection,
            time_start=max(TIME_MIN, time_start),
            time_stop=min(TIME_MAX, time_stop),
            spans=intersect(self._spans, slice_.spans),
            deletions=True,
        )


def bucket_scan(collection: str, spans: Spans, span: Span, window: HashWindow) -> Scan:
    """What one window of a large bucket has in some codes."""
    return Scan(
        collection,
        time_start=max(TIME_MIN, window.time_start),
        time_stop=min(TIME_MAX, window.time_stop),
        spans=intersect(spans, (span,)),
        deletions=True,
        sensor_names=False,
        ordered=False,
    )


async def scanned(engine: Engine, scan: Scan) -> AsyncIterator[Rows]:
    """All rows of a scan, with a turn for everybody else between its steps."""
    after: Key | None = None
    while True:
        step = engine.scan(scan, after=after, rows_max=SCAN_ROWS)
        if len(step.rows):
            yield step.rows
        after = step.resume
        if after is None:
            return
        await asyncio.sleep(0)


async def own_ranges(engine: Engine, scan: Scan, *, bits: int) -> RangeDigests:
    """This node's digests of a window by ranges of hashes.

    Not of one moment: what changes meanwhile may be counted either way. What was there before and
    still is, is counted, so ranges that agree leave nothing out that was there when it began.
    """
    digests = RangeDigests(bits)
    if scan.spans:
        async for rows in scanned(engine, scan):
            digests.add(scan.collection, rows)
    return digests


def _messages(rows: Rows, size: int, *, step_bytes: int) -> Iterator[Rows]:
    """The rows in messages of about `step_bytes`; the newest first where there are several."""
    count = -(-size // step_bytes)
    if count <= 1:
        yield rows
        return
    order = np.argsort(-rows.time, kind="stable")
    most = -(-len(rows) // count)
    for start in range(0, len(rows), most):
        yield rows.take(order[start : start + most])
