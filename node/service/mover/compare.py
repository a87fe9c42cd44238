"""Comparing one region with a peer, coarse to fine and newest days first."""

from dataclasses import dataclass

import numpy as np

from node.protocol.comparison import Pieces, cells_of, children_of, compare, finer_level
from node.service.mover.link import Link
from node.service.mover.region import Region
from node.storage.bucket_digests import NO_DIGESTS, BucketDigests
from node.storage.engine import Engine
from zring.span import Spans, intersect

DAYS_ASKED_MAX = 4_096
"""Days of one question: 80 kB of answer."""
PARENTS_ASKED_MAX = 1_024
"""Pieces of one question below the day: at most 16 times as many digests, 330 kB."""
CHUNK_DAYS_MAX = 64
CHUNK_RECORDS = 100_000
"""A chunk ends with the day that reaches this: a second of work, so that other collections, and
what has become newer, get their turn."""
_DIGEST_BYTES = 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some days of a region: pieces that the peer has nothing of, pieces that differ, and among
    those the ones that are too large to be offered."""

    absent: tuple[Pieces, ...]
    offer: tuple[Pieces, ...]
    large: tuple[Pieces, ...]
    records: int

    @property
    def buckets(self) -> int:
        """How many pieces there are."""
        return sum(len(pieces) for pieces in (*self.absent, *self.offer, *self.large))


async def own_digests(
    engine: Engine,
    region: Region,
    spans: Spans,
    *,
    level: int,
    by_day: bool = True,
    parents: Pieces | None = None,
) -> BucketDigests:
    """This node's answer to the question that `Link.digests` asks a peer."""
    day_start, day_stop = region.day_start, region.day_stop
    if parents is not None and len(parents):
        spans = intersect(spans, cells_of(parents))
        day_start = max(day_start, int(parents.days.min()))
        day_stop = min(day_stop, int(parents.days.max()) + 1)
    if not spans or day_start >= day_stop or (parents is not None and not len(parents)):
        return NO_DIGESTS
    digests = await engine.digests(
        region.collection,
        level=level,
        spans=spans,
        day_start=day_start,
        day_stop=day_stop,
        by_day=by_day,
    )
    return digests if parents is None else children_of(digests, parents, level=level)


class Comparison:
    """The comparison of one region; `start`, then `next_chunk` until `newest_day` is None."""

    def __init__(
        self, engine: Engine, link: Link, region: Region, spans: Spans, *, grain_level: int
    ) -> None:
        self._engine = engine
        self._link = link
        self._grain_level = grain_level
        self._unasked: list[Pieces] = []  # one day each, rising
        self._days: list[tuple[Pieces, str]] = []  # one differing day each, rising
        self._chunk_days = 1
        self.region = region
        self.spans = spans

    async def start(self) -> None:
        """Compare the totals; only where they differ is there anything to do."""
        mine = await self._mine(level=0, by_day=False)
        if not len(mine.cells):
            return
        theirs = await self._link.digests(self.region, level=0, by_day=False)
        if _equal(mine, theirs):
            return
        by_day = await self._mine(level=0)
        days = Pieces(0, by_day.days, by_day.cells, by_day.counts).each()
        if len(theirs.cells):
            self._unasked = days
            await self._ask_days()
        else:
            self._find([(day, "absent") for day in days])

    @property
    def newest_day(self) -> int | None:
        """The day with which the next chunk begins; None when all are done."""
        return int(self._days[-1][0].days[0]) if self._days else None

    @property
    def days_left(self) -> int:
        """Days that are known to differ and not in a chunk yet."""
        return len(self._days)

    async def next_chunk(self) -> Chunk:
        """The newest days that differ, down to what must be sent or offered."""
        absent: list[Pieces] = []
        offer: list[Pieces] = []
        large: list[Pieces] = []
        deeper: list[Pieces] = []
        records = 0
        while self._days and records < CHUNK_RECORDS and len(deeper) < self._chunk_days:
            day, kind = self._days.pop()
            kinds = {"absent": absent, "offer": offer, "large": large, "deeper": deeper}
            kinds[kind].append(day)
            records += day.records()
        self._chunk_days = min(CHUNK_DAYS_MAX, 2 * self._chunk_days)
        await self._descend(_joined(deeper[::-1]), absent, offer, large)
        if not self._days:
            await self._ask_days()
        return Chunk(tuple(absent), tuple(offer), tuple(large), records)

    async def _ask_days(self) -> None:
        """Ask for days until some differ, newest first."""
        most = max(16, min(DAYS_ASKED_MAX, self._link.step_bytes // _DIGEST_BYTES))
        while self._unasked and not self._days:
            asked, self._unasked = self._unasked[-most:], self._unasked[:-most]
            parents = _joined(asked)
            mine, theirs = await self._both(parents, level=0)
            found = compare(mine, theirs, level=0, grain_level=self._grain_level)
            kinds = (
                ("absent", found.absent),
                ("offer", found.offer),
                ("large", found.large),
                ("deeper", found.deeper),
            )
            days = [(piece, kind) for kind, pieces in kinds for piece in pieces.each()]
            self._find(sorted(days, key=lambda found: int(found[0].days[0])))

    def _find(self, days: list[tuple[Pieces, str]]) -> None:
        self._days = days
        self._link.progress.found(buckets=len(days), records=sum(day.records() for day, _ in days))

    async def _descend(
        self,
        parents: Pieces,
        absent: list[Pieces],
        offer: list[Pieces],
        large: list[Pieces],
    ) -> None:
        most = max(8, min(PARENTS_ASKED_MAX, self._link.step_bytes // (16 * _DIGEST_BYTES)))
        while len(parents):
            level = finer_level(parents.level, grain_level=self._grain_level)
            deeper: list[Pieces] = []
            for start in range(0, len(parents), most):
                some = parents.take(np.arange(len(parents)) // most == start // most)
                mine, theirs = await self._both(some, level=level)
                found = compare(mine, theirs, level=level, grain_level=self._grain_level)
                absent.append(found.absent)
                offer.append(found.offer)
                large.append(found.large)
                deeper.append(found.deeper)
            parents = _joined(deeper)

    async def _both(self, parents: Pieces, *, level: int) -> tuple[BucketDigests, BucketDigests]:
        theirs = await self._link.digests(self.region, level=level, parents=parents)
        return await self._mine(level=level, parents=parents), theirs

    async def _mine(
        self, *, level: int, by_day: bool = True, parents: Pieces | None = None
    ) -> BucketDigests:
        return await own_digests(
            self._engine, self.region, self.spans, level=level, by_day=by_day, parents=parents
        )


def _equal(mine: BucketDigests, theirs: BucketDigests) -> bool:
    return (
        np.array_equal(mine.cells, theirs.cells)
        and np.array_equal(mine.totals, theirs.totals)
        and np.array_equal(mine.counts, theirs.counts)
    )


def _joined(pieces: list[Pieces]) -> Pieces:
    """Pieces of one level in one; they follow each other."""
    if not pieces:
        none = np.empty(0, np.int64)
        return Pieces(0, none, none, none)
    return Pieces(
        pieces[0].level,
        np.concatenate([some.days for some in pieces]),
        np.concatenate([some.cells for some in pieces]),
        np.concatenate([some.counts for some in pieces]),
    )
