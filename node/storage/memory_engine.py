"""The obviously right engine: all rows in lists, sorted when somebody looks.

It is the twin against which the real engine is tested and the store of simulated nodes. What
survives a crash lives on a `MemoryDisk`; an engine opened on it later sees everything that was
synced before. There is no thread, no clock and no randomness.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from node.errors import StoreFull, Unavailable
from node.records import Bools, Key, Places, Rows, empty_rows
from node.storage.bucket_digests import DAY_US, NO_DIGESTS, BucketDigests, summed
from node.storage.bucket_set import Bucket, BucketSet
from node.storage.collection import widened, with_records
from node.storage.engine import CollectionStatistics, EngineStatistics, Scan, Step
from node.storage.memory_rows import MemoryRows
from node.storage.selection import (
    inside_spans,
    matching,
    select_columns,
    sensor_hashes,
    without_sensor_names,
)
from zring.domain import Domain
from zring.morton import CODE_BITS
from zring.span import Spans

Batches = Sequence[tuple[str, Rows]]
STEP_ROWS_MAX = 50_000
"""Rows of one step; small values in tests make many steps."""
KEEP_SHARE = 8 / 9
"""Part of a full store that records for other nodes may fill: as 80 % are of 90 %."""
NO_ROWS = empty_rows()


@dataclass(slots=True)
class _Removal:
    """What one call of `remove` or `expire` takes away; worked out when it becomes durable.

    Attributes:
        day_stop: everything before this day goes too.
        removed: the outcome, once there is one; the same each time that a disk is read again.
    """

    collection: str
    buckets: Sequence[Bucket] = ()
    expected_meta: Mapping[str, bytes] = field(default_factory=dict)
    day_stop: int | None = None
    removed: tuple[bool, ...] | None = None


@dataclass(slots=True)
class _Entry:
    """One transaction."""

    batches: Batches = ()
    meta: Mapping[str, bytes] = field(default_factory=dict)
    removal: _Removal | None = None


@dataclass(slots=True)
class MemoryDisk:
    """A simulated disk: what was appended becomes durable with the next finished sync.

    Attributes:
        store_id: as the real store's; give another one to simulate a wiped disk.
        renewals: how often the id was renewed; a copy of a disk must not fall behind in it.
        wait: awaited by every sync; the simulator's delay. None yields to the loop once.
        bytes_max: writes beyond this are refused; None has no limit.
        durable: entries that survive a crash. pending: those that do not.
        generation: rises with every crash, so that engines of a former life write nothing.
    """

    store_id: str = "memory"
    wait: Callable[[], Awaitable[None]] | None = None
    bytes_max: int | None = None
    durable: list[_Entry] = field(default_factory=list)
    pending: list[_Entry] = field(default_factory=list)
    bytes_used: int = 0
    generation: int = 0
    renewals: int = 0

    def append(self, entry: _Entry) -> None:
        """Hand an entry to the disk; it is not durable yet."""
        self.pending.append(entry)
        self.bytes_used += _entry_bytes(entry)

    async def sync(self) -> None:
        """Make everything durable that was appended before the call.

        Raises:
            Unavailable: the disk crashed meanwhile; what was pending is gone.
        """
        generation, covered = self.generation, list(self.pending)
        await (asyncio.sleep(0) if self.wait is None else self.wait())
        if generation != self.generation:
            raise Unavailable("the disk crashed before the sync was finished; write again")
        # Another sync may have covered some of them; order of appending is order of durability.
        for entry in covered:
            if self.pending and self.pending[0] is entry:
                self.durable.append(self.pending.pop(0))

    def crash(self) -> None:
        """Lose what no sync has covered, and cut off the engines that are open."""
        self.generation += 1
        self.bytes_used -= sum(_entry_bytes(entry) for entry in self.pending)
        self.pending.clear()


def _rows_at(rows: Rows, places: Places) -> Rows:
    """The rows at rising places; what stands together is not copied."""
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return rows.slice(int(places[0]), int(places[-1]) + 1)
    return rows.take(places)


def _entry_bytes(entry: _Entry) -> int:
    return sum(rows.nbytes() for _, rows in entry.batches)


class MemoryEngine:
    """`Engine` over lists; see `node.storage.engine` for the contract.

    Args:
        disk: the durable part; a new one when not given.
        step_rows_max: rows that one step of a scan returns at most.
    """

    def __init__(
        self,
        *,
        domain: Domain,
        disk: MemoryDisk | None = None,
        step_rows_max: int = STEP_ROWS_MAX,
    ) -> None:
        self.domain = domain
        self.disk = MemoryDisk() if disk is None else disk
        self._generation = self.disk.generation
        self._step_rows_max = step_rows_max
        self._seen = 0
        self._kept: dict[str, MemoryRows] = {}
        self._statistics: dict[str, CollectionStatistics] = {}
        self._meta: dict[str, bytes] = {}
        self._counters = dict.fromkeys(("commits", "merges", "rows_written"), 0)

    @property
    def store_id(self) -> str:
        """Made once; see `Engine`."""
        return self.disk.store_id

    @property
    def sequence(self) -> int:
        """Number of the last durable log entry."""
        return len(self.disk.durable)

    @property
    def records(self) -> int:
        """A record counts for each of its versions until somebody looks."""
        self._catch_up()
        return sum(map(len, self._kept.values()))

    async def write(
        self,
        batches: Batches,
        *,
        meta: Mapping[str, bytes] | None = None,
        foreign: bool = False,
    ) -> int:
        """Store in one transaction; see `Engine`."""
        self._check_alive()
        entry = _Entry(tuple((name, rows) for name, rows in batches if len(rows)), dict(meta or {}))
        if self._is_full(_entry_bytes(entry), foreign=foreign):
            whose = "records of other nodes' areas" if foreign else "records"
            raise StoreFull(
                f"the store holds {self.disk.bytes_used} of {self.disk.bytes_max} bytes and takes "
                f"no more {whose}; "
                "free space, then write again"
            )
        await self._commit(entry)
        return self.sequence

    async def _commit(self, entry: _Entry) -> None:
        self.disk.append(entry)
        await self.disk.sync()
        self._counters["commits"] += 1

    def scan(self, scan: Scan, *, after: Key | None = None, rows_max: int | None = None) -> Step:
        """One step; see `Engine`."""
        self._check_alive()
        rows = self._collection_rows(scan.collection)
        found = np.flatnonzero(matching(scan, rows, sensor_hashes(scan), after))
        count = min(self._step_rows_max, max(rows_max or self._step_rows_max, 1))
        part = found[:count]
        resume = rows.key(int(part[-1])) if len(found) > count else None
        wanted = _rows_at(rows, part if scan.deletions else part[~rows.deleted[part]])
        wanted = select_columns(wanted, scan.columns, scan.metadata)
        if not scan.sensor_names:
            wanted = without_sensor_names(wanted)
        return Step(wanted, resume, rows_read=len(rows))

    def newest_time(self, collection: str, *, until: int) -> int | None:
        """Look at all times; see `Engine`."""
        self._check_alive()
        times = self._collection_rows(collection).time
        return max(times[times <= until].tolist(), default=None)

    async def digests(
        self,
        collection: str,
        *,
        level: int,
        spans: Spans,
        day_start: int,
        day_stop: int,
        by_day: bool,
    ) -> BucketDigests:
        """Of all rows, at once; see `Engine`."""
        self._check_alive()
        rows = self._collection_rows(collection)
        if not len(rows):
            return NO_DIGESTS
        mask = (rows.time >= day_start * DAY_US) & (rows.time < day_stop * DAY_US)
        mask &= inside_spans(rows.code, spans)
        found = mask.nonzero()[0]
        days = rows.time[found] // DAY_US if by_day else np.zeros(len(found), np.int64)
        cells = rows.code[found] >> (CODE_BITS - 2 * level)
        totals = self._kept[collection].digests()[found]
        return summed(cells, days, totals, np.ones(len(found), np.int64))

    async def remove(
        self,
        collection: str,
        buckets: Sequence[Bucket],
        *,
        expected_meta: Mapping[str, bytes],
        meta: Mapping[str, bytes] | None = None,
    ) -> tuple[bool, ...]:
        """Compare and delete when the entry becomes durable; see `Engine`."""
        self._check_alive()
        if not buckets:
            return ()
        removal = _Removal(collection, tuple(buckets), dict(expected_meta))
        await self._commit(_Entry(meta=dict(meta or {}), removal=removal))
        self._catch_up()
        assert removal.removed is not None, "a removal that was synced and not carried out"
        return removal.removed

    async def expire(self, collection: str, day: int) -> None:
        """All at once; see `Engine`."""
        self._check_alive()
        if (self._collection_rows(collection).time < day * DAY_US).any():
            await self._commit(_Entry(removal=_Removal(collection, day_stop=day)))

    async def renew_store_id(self) -> str:
        """Another id on the disk; see `Engine`."""
        self._check_alive()
        await self.disk.sync()
        self._check_alive()
        self.disk.renewals += 1
        self.disk.store_id = f"{self.disk.store_id.partition('+')[0]}+{self.disk.renewals}"
        return self.disk.store_id

    def read_meta(self, name: str) -> bytes | None:
        """A setting as last written durably."""
        self._catch_up()
        return self._meta.get(name)

    def statistics(self) -> EngineStatistics:
        """See `Engine`; records are exact here."""
        self._catch_up()
        collections = {
            name: with_records(known, len(self._kept[name].rows()))
            for name, known in sorted(self._statistics.items())
        }
        return EngineStatistics(
            store_id=self.store_id,
            sequence=self.sequence,
            collections=collections,
            records=sum(known.records for known in collections.values()),
            log_records=0,
            blocks=0,
            bytes_live=self.disk.bytes_used,
            bytes_map_max=self.disk.bytes_max or 0,
            full=self._is_full(0),
            counters=dict(self._counters),
        )

    async def merge(self) -> None:
        """Nothing is ever unmerged here."""
        self._counters["merges"] += 1

    async def close(self) -> None:
        """Let go of the disk."""
        self._generation = -1

    def _check_alive(self) -> None:
        if self._generation != self.disk.generation:
            raise Unavailable("this engine is closed or its disk has crashed; open another one")

    def _is_full(self, more_bytes: int, *, foreign: bool = False) -> bool:
        limit = self.disk.bytes_max
        if limit is None:
            return False
        limit = int(limit * KEEP_SHARE) if foreign else limit
        return self.disk.bytes_used + more_bytes > limit

    def _catch_up(self) -> None:
        """Take over what has become durable, also through engines of a former life."""
        while self._seen < len(self.disk.durable):
            entry = self.disk.durable[self._seen]
            self._seen += 1
            for name, rows in entry.batches:
                if name not in self._kept:
                    self._kept[name] = MemoryRows(name)
                self._kept[name].add(rows)
                self._statistics[name] = widened(self._statistics.get(name), rows)
                self._counters["rows_written"] += len(rows)
            if entry.removal is None or self._carry_out(entry.removal):
                self._meta.update(entry.meta)

    def _carry_out(self, removal: _Removal) -> bool:
        """Take away what a removal asks for, as far as the rows are what it says."""
        kept = self._kept.get(removal.collection) or MemoryRows(removal.collection)
        rows = kept.rows()
        going: Bools = np.zeros(len(rows), np.bool_)
        removed: tuple[bool, ...] = (False,) * len(removal.buckets)
        if removal.day_stop is not None:
            going = rows.time < removal.day_stop * DAY_US
        elif all(self._meta.get(name) == value for name, value in removal.expected_meta.items()):
            wanted = BucketSet.of(removal.buckets)
            places = wanted.places_of_rows(rows)
            found = wanted.digests_of(places, kept.digests(), np.ones(len(rows), np.int64))
            removed = tuple(
                digest == bucket.digest
                for digest, bucket in zip(found, removal.buckets, strict=True)
            )
            going = (places >= 0) & np.array(removed)[places]
        if going.any():
            before = rows.nbytes()
            kept.keep(~going)
            if removal.removed is None:
                self.disk.bytes_used -= before - kept.rows().nbytes()
            if not len(kept.rows()):
                del self._kept[removal.collection], self._statistics[removal.collection]
        removal.removed = removed
        return any(removed)

    def _collection_rows(self, collection: str) -> Rows:
        """The newest version of everything, in key order, deletions included."""
        self._catch_up()
        kept = self._kept.get(collection)
        return NO_ROWS if kept is None else kept.rows()
