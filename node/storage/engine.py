"""The contract of a storage engine; every engine passes `tests/unit/node/storage/test_contract.py`.

An engine keeps the records of one node. It knows nothing of rings, peers or queries beyond
`Scan`. It is used from one event loop; only what is `async` waits for the disk or for long work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from node.records import Key, Rows
from node.storage.bucket_digests import BucketDigests
from node.storage.bucket_set import Bucket
from zring.span import Spans


@dataclass(frozen=True, slots=True)
class Scan:
    """Which rows of one collection are wanted, before any filter on values, and what of them.

    Attributes:
        time_start, time_stop: half-open, microseconds since the epoch.
        west, south, east, north: closed box in e7 units.
        spans: sorted, disjoint, half-open code intervals that rows must lie in; None is all.
        sensors: names that rows must have; None is all.
        columns: value names to return; None is all. Names that a block lacks come back absent.
        metadata: of the names that begin with "@", those to return where `columns` is None; None
            is all.
        deletions: return deleted records too (marked in `Rows.deleted`): where several nodes
            read one cell, a deletion at one must win over an older version at another.
        sensor_names: False where nobody looks at them: `Rows.sensor` then holds empty texts,
            while `Rows.sensor_hash`, and with it every key, is as always.
        ordered: False where any order will do within a step; steps still follow each other
            by key. Saves sorting what comes from several blocks.
    """

    collection: str
    time_start: int = -(1 << 62)
    time_stop: int = 1 << 62
    west: int = -(1 << 31)
    south: int = -(1 << 31)
    east: int = (1 << 31) - 1
    north: int = (1 << 31) - 1
    spans: tuple[tuple[int, int], ...] | None = None
    sensors: frozenset[str] | None = None
    columns: tuple[str, ...] | None = None
    deletions: bool = False
    sensor_names: bool = True
    ordered: bool = True
    metadata: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one bounded step of a scan.

    Attributes:
        rows: the newest version of each matching record between the given key and `resume`, in
            key order unless the scan needs none; deleted records are left out unless the scan
            asks for them.
        resume: pass it as `after` to go on; None when the scan is finished. May come with no
            rows. Every matching record with a key <= resume has been returned.
        rows_read: rows looked at (for `explain` and metrics).
        blocks_read: blocks looked at.
    """

    rows: Rows
    resume: Key | None
    rows_read: int = 0
    blocks_read: int = 0


@dataclass(frozen=True, slots=True)
class CollectionStatistics:
    """What an engine knows of a collection without reading it; bounds only ever widen.

    `records` may count a record twice while it is both merged and rewritten in the log.
    `value_types` maps each value name to "number", "text", "boolean", "bytes" or "json".
    """

    records: int
    time_min: int
    time_max: int
    west: int
    south: int
    east: int
    north: int
    value_types: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """A frozen look at an engine, for status pages, metrics and tests.

    Attributes:
        disk_bytes, disk_free_bytes: of the whole disk that holds the store; 0 where there is none.
    """

    store_id: str
    sequence: int
    collections: Mapping[str, CollectionStatistics]
    records: int
    log_records: int
    blocks: int
    bytes_live: int
    bytes_map_max: int
    full: bool
    disk_bytes: int = 0
    disk_free_bytes: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)


class Engine(Protocol):
    """Keeps rows; newest version wins; the same row again changes nothing."""

    @property
    def store_id(self) -> str:
        """Made when the store was created, and by `renew_store_id`; a wiped disk has another."""

    @property
    def sequence(self) -> int:
        """Number of the last durable log entry; never goes back within one store."""

    @property
    def records(self) -> int:
        """About as many as in `statistics`, 0 only of none; cheap enough for every message."""

    async def write(
        self,
        batches: Sequence[tuple[str, Rows]],
        *,
        meta: Mapping[str, bytes] | None = None,
        foreign: bool = False,
    ) -> int:
        """Store batches of (collection, rows) and settings in one transaction.

        Returns the log sequence once everything is durable (fdatasync has returned) and visible
        to `scan`. Concurrent calls share a commit. Cancelling the call does not undo it.

        Args:
            foreign: some rows are kept for other nodes: such a call is refused while there is
                still room for those that belong here.
        Raises:
            StoreFull: nothing of this call was stored.
        """

    def scan(self, scan: Scan, *, after: Key | None = None, rows_max: int | None = None) -> Step:
        """Do one bounded step (a few ms, no open transaction when it returns).

        Args:
            after: only keys greater than this one.
            rows_max: a hint that no more rows than this are needed; a step may return more or
                fewer, and is finished only when `resume` is None.
        """

    def newest_time(self, collection: str, *, until: int) -> int | None:
        """The greatest time <= `until` (microseconds) of a collection's records.

        Deleted records count: the answer says where to look, not what is there. None when there
        is no such record. Reads bounds, and at most the times of one slice's blocks.
        """

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
        """Set digests of the newest version of every record, deletions included.

        Exact at one moment during the call, also while records lie in the log. Never stops the
        event loop for more than about 10 ms.

        Args:
            level: of the cells that are told apart, 0 to 31; 0 takes everything together.
            spans: codes to look at.
            day_start, day_stop: half-open, days since the epoch (time // 86,400 s).
            by_day: whether days are told apart.
        Raises:
            StoreDamaged: nothing can be said.
        """

    async def remove(
        self,
        collection: str,
        buckets: Sequence[Bucket],
        *,
        expected_meta: Mapping[str, bytes],
        meta: Mapping[str, bytes] | None = None,
    ) -> tuple[bool, ...]:
        """Delete exactly the records of each bucket whose digest is still the given one.

        Everything is one transaction: either all of it is done or, after a crash, nothing. A
        bucket in which a record arrived, changed or went meanwhile keeps all that it has; so does
        one that is named with the wrong digest. An empty bucket with an empty digest is removed.
        A collection of which nothing is left is unknown afterwards.

        Buckets that lie side by side in code or time cost least in one call: each block that
        holds some of them is written again once a call.

        Args:
            buckets: their ranges of codes are equal or disjoint, each (range, day) comes once.
            expected_meta: settings that must have these values in the transaction; otherwise
                nothing is removed and nothing written.
            meta: settings written in the same transaction; not written when nothing is removed.
        Returns:
            For each bucket whether its records are gone, durably.
        Raises:
            StoreFull: there is no room even for what removing needs; nothing was removed.
            StoreDamaged: nothing was removed.
        """

    async def expire(self, collection: str, day: int) -> None:
        """Drop all records of days before `day` (days since the epoch), in bounded steps.

        Whole blocks go unread where they are old enough. May be done in part when it is broken
        off; what is left goes with the next call. What is written meanwhile may stay.
        """

    async def renew_store_id(self) -> str:
        """Give the store another id, durably, and return it: what it held was not kept whole.

        The sequence goes on. For a store that was found to be a restored image.
        """

    def read_meta(self, name: str) -> bytes | None:
        """A setting as last written durably."""

    def statistics(self) -> EngineStatistics:
        """Cheap; never reads blocks."""

    async def merge(self) -> None:
        """Merge everything that is now in the log into blocks, and wait for it."""

    async def close(self) -> None:
        """Finish what is under way and release the disk; the engine is unusable afterwards."""
