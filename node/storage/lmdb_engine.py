"""The embedded engine: blocks in LMDB, the log in the same store and in memory.

Three threads touch it: the event loop reads and asks, the writer thread (`writer`) alone changes
tables and views, the merger thread (`merge_thread`) works out new blocks and hands them to the
writer. What readers see is one immutable `CollectionView` a collection.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import lmdb

from node.errors import StoreDamaged, StoreFull, Unavailable
from node.records import TYPE_NAMES, Key, Rows, concat_rows
from node.storage.block_cache import BlockCache, BlockMissing
from node.storage.bucket_digests import BucketDigests
from node.storage.bucket_set import Bucket
from node.storage.bucket_sums import Question
from node.storage.candidates import StepRequest
from node.storage.collection import joined_types, widened
from node.storage.damage import DamageNote, OnDamage, ignore_damage, set_aside
from node.storage.engine import EngineStatistics, Scan, Step
from node.storage.log_codec import encode_entry
from node.storage.memtable import with_rows
from node.storage.merge_thread import MergeThread
from node.storage.newest_time import newest_time
from node.storage.opening import LogLevel, Opened, load_views
from node.storage.scan_step import nothing, run_step, wanted_sensors
from node.storage.settings import EngineSettings
from node.storage.tables import DAMAGE, KEY, Tables, pack_collection, unpack_collection
from node.storage.view import CollectionView
from node.storage.writer import Batches, Job, Writer
from zring.domain import Domain
from zring.morton import AXIS_STOP
from zring.span import Spans

Found = TypeVar("Found")

VIEW_RETRIES_MAX = 100
"""Views taken before a missing block counts as damage; one retry is enough for each merge."""
FULL_MARGIN = 32
"""A store is called full when less than this part of the map (at most a commit) still fits."""
WIDE_DOMAIN_PADDING = 2
"""Where grid cells are wider than one e7 unit, versions of a record may differ by that much."""


class LmdbEngine:
    """`Engine` over LMDB; see `node.storage.engine` for the contract. Made by `open`."""

    def __init__(
        self, tables: Tables, domain: Domain, lock: int, store_id: str, opened: Opened
    ) -> None:
        self.domain = domain
        self._tables = tables
        self._lock = lock
        self._settings = tables.settings
        self._store_id = store_id
        self._views = opened.views
        self._log = opened.log
        self._sequence = opened.sequence
        self._counters = dict.fromkeys(
            ("commits", "writes", "rows_written", "merges", "blocks_written", "rows_merged"), 0
        )
        self._counters |= {"conflicts": 0, "merge_failures": 0}
        self._cache = BlockCache(tables)
        self._closed = False
        side = max(domain.east - domain.west, domain.north - domain.south)
        self._padding = WIDE_DOMAIN_PADDING if side > AXIS_STOP else 0
        self._numbers: dict[str, int] = {}
        self._writer = Writer(tables, self._show)
        self._merger = MergeThread(
            tables, self._writer, self._views, self._log, self._counters, opened.next_number
        )

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        domain: Domain,
        settings: EngineSettings | None = None,
        on_damage: OnDamage = ignore_damage,
    ) -> Self:
        """Open or create the store in a folder.

        A store that is damaged, or in which damage was found when it was last open, is set aside
        (`node.storage.damage`), and an empty one takes its place.

        Args:
            on_damage: told once when damage is found later, on the thread that found it: end the
                node, whose next start then sets the store aside.
        Raises:
            Unavailable: another process has it open.
            ConfigInvalid: the store was written by a newer program.
        """
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise Unavailable(f"{folder} is in use by another process; stop that one") from None
        note = DamageNote(folder, on_damage)
        settings = settings or EngineSettings()
        try:
            try:
                noted = note.read()
                if noted is not None:
                    raise StoreDamaged(noted)
                return cls(*_opened(folder, settings, note, domain, lock))
            except StoreDamaged as error:
                set_aside(folder, error)
                return cls(*_opened(folder, settings, note, domain, lock))
        except BaseException:
            os.close(lock)
            raise

    @property
    def store_id(self) -> str:
        """Made once when the store was created."""
        return self._store_id

    @property
    def sequence(self) -> int:
        """Number of the last durable log entry."""
        return self._sequence

    @property
    def records(self) -> int:
        """Of blocks and log: versions that were not merged yet count more than once."""
        return sum(view.index.rows + view.log_rows for view in self._views.values())

    def _show(self, batches: Batches) -> None:
        """Let readers see what is durable; each collection's view changes once a commit."""
        by_name: dict[str, list[Rows]] = {}
        for name, rows in batches:
            by_name.setdefault(name, []).append(rows)
        for name, parts in by_name.items():
            view = self._views.get(name)
            known = None if view is None else view.known
            for rows in parts:
                known = widened(known, rows)
            assert known is not None, "a collection without rows"
            if view is None:
                view = CollectionView(self._numbers[name], known)
            rows_max = self._settings.segment_rows_max
            active = with_rows(view.active, concat_rows(parts), rows_max=rows_max)
            self._views[name] = view.changed(known=known, active=active)

    async def write(
        self,
        batches: Sequence[tuple[str, Rows]],
        *,
        meta: Mapping[str, bytes] | None = None,
        foreign: bool = False,
    ) -> int:
        """Store in one transaction; see `Engine`."""
        self._check_open()
        batches = [(name, rows) for name, rows in batches if len(rows)]
        settings = dict(meta or {})
        if not batches and not settings:
            return self._sequence
        if batches:
            await self._merger.wait_room()
            self._check_open()
        write = _Write(self, batches, settings, foreign=foreign)
        job = Job(write.apply, write.publish, batches=batches, size_bytes=write.size_bytes)
        return int(await self._submit(job))

    def scan(self, scan: Scan, *, after: Key | None = None, rows_max: int | None = None) -> Step:
        """One step; see `Engine`."""
        self._check_open()
        request = self._request(scan, after, rows_max)
        if request.code_low > request.code_high:
            return nothing()

        def step(view: CollectionView, txn: Any) -> Step:
            return run_step(request, view, self._cache, txn, self._settings)

        return self._read(scan.collection, step) or nothing()

    def newest_time(self, collection: str, *, until: int) -> int | None:
        """From bounds and at most one slice; see `Engine`."""
        self._check_open()
        return self._read(
            collection, lambda view, txn: newest_time(view, self._cache, txn, until=until)
        )

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
        """From digest tables, and rows where those say too little; see `Engine`."""
        self._check_open()
        question = Question(level, spans, day_start, day_stop, by_day)
        return await self._merger.run(lambda work: work.digests(collection, question))

    async def remove(
        self,
        collection: str,
        buckets: Sequence[Bucket],
        *,
        expected_meta: Mapping[str, bytes],
        meta: Mapping[str, bytes] | None = None,
    ) -> tuple[bool, ...]:
        """Compare and delete; see `Engine`."""
        self._check_open()
        if not buckets:
            return ()
        expected, written = dict(expected_meta), dict(meta or {})
        return await self._merger.run(
            lambda work: work.remove(collection, buckets, expected, written)
        )

    async def expire(self, collection: str, day: int) -> None:
        """Drop what is older; see `Engine`."""
        self._check_open()
        await self._merger.run(lambda work: work.expire(collection, day))

    async def renew_store_id(self) -> str:
        """Another id; see `Engine`."""
        self._check_open()
        made: list[str] = []

        def apply(txn: Any) -> None:
            made[:] = [self._tables.renew_store(txn)]

        def publish() -> str:
            self._store_id = made[0]
            return made[0]

        return str(await self._submit(Job(apply, publish)))

    async def _submit(self, job: Job) -> Any:
        """Let the writer do a job and wait for what comes of it."""
        job.loop = asyncio.get_running_loop()
        job.waiting = job.loop.create_future()
        self._writer.submit(job)
        return await job.waiting

    def _read(
        self, collection: str, work: Callable[[CollectionView, Any], Found | None]
    ) -> Found | None:
        """Do something with a view and a transaction that fit; None without the collection."""
        for _ in range(VIEW_RETRIES_MAX):
            view = self._views.get(collection)
            if view is None:
                return None
            try:
                with self._tables.env.begin(buffers=True) as txn:
                    return work(view, txn)
            except BlockMissing as missing:
                gone = missing
            except (StoreDamaged, *DAMAGE) as error:
                raise self._noted(error) from error
        raise self._noted(StoreDamaged(f"the index names block {gone} but it is not there"))

    def _noted(self, error: Exception) -> StoreDamaged:
        """The damage as one error, noted for the next start."""
        damage = error if isinstance(error, StoreDamaged) else StoreDamaged(f"LMDB says: {error}")
        self._tables.note.write(damage)
        return damage

    def _request(self, scan: Scan, after: Key | None, rows_max: int | None) -> StepRequest:
        domain = self.domain
        west, south = max(scan.west, domain.west), max(scan.south, domain.south)
        east, north = min(scan.east, domain.east), min(scan.north, domain.north)
        low, high = 0, -1
        if west <= east and south <= north:
            # Codes rise with both axes, so the corners bound them.
            low = domain.position_to_code(lon=west, lat=south)
            high = domain.position_to_code(lon=east, lat=north)
        if scan.spans is not None:
            low = max(low, scan.spans[0][0]) if scan.spans else 0
            high = min(high, scan.spans[-1][1] - 1) if scan.spans else -1
        wanted = wanted_sensors(scan)
        if wanted is not None and not len(wanted):
            high = low - 1
        return StepRequest(scan, after, rows_max, wanted, low, high, self._padding)

    def read_meta(self, name: str) -> bytes | None:
        """A setting as last written durably."""
        self._check_open()
        try:
            with self._tables.env.begin() as txn:
                return self._tables.get(txn, self._tables.meta, name.encode())
        except (StoreDamaged, *DAMAGE) as error:
            raise self._noted(error) from error

    def statistics(self) -> EngineStatistics:
        """See `Engine`."""
        self._check_open()
        views = dict(sorted(self._views.items()))
        collections = {name: view.statistics() for name, view in views.items()}
        live_bytes = self._tables.live_bytes()
        disk = self._settings.disk_space(self._tables.path)
        return EngineStatistics(
            store_id=self._store_id,
            sequence=self._sequence,
            collections=collections,
            records=sum(known.records for known in collections.values()),
            log_records=sum(view.log_rows for view in views.values()),
            blocks=sum(len(view.index) for view in views.values()),
            bytes_live=live_bytes,
            bytes_map_max=self._settings.map_bytes_max,
            full=self._is_full(live_bytes, disk),
            disk_bytes=disk[0],
            disk_free_bytes=disk[1],
            counters={**self._counters, "commits": self._writer.commits},
        )

    def _is_full(self, live_bytes: int, disk: tuple[int, int]) -> bool:
        """Whether a batch of usual size would be refused now."""
        settings = self._settings
        usual = min(settings.commit_bytes_max, settings.map_bytes_max // FULL_MARGIN)
        try:
            self._tables.check_space(live_bytes, usual, *disk)
        except StoreFull:
            return True
        return False

    async def merge(self) -> None:
        """Merge what is now in the log and wait for it; see `Engine`."""
        self._check_open()
        await self._merger.merge()

    async def close(self) -> None:
        """Finish what is under way and release the disk."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._close_blocking)

    def _close_blocking(self) -> None:
        self._merger.close()
        self._writer.close()
        self._tables.env.close()
        os.close(self._lock)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed; open it again")


def _opened(
    folder: Path, settings: EngineSettings, note: DamageNote, domain: Domain, lock: int
) -> tuple[Tables, Domain, int, str, Opened]:
    """Everything that an engine begins with; nothing is left open when it cannot be read."""
    tables = Tables(folder, settings, note)
    try:
        return tables, domain, lock, tables.begin_store(), load_views(tables)
    except BaseException:
        tables.env.close()
        raise


class _Write:
    """One call of `write` on its way through the writer thread."""

    def __init__(
        self,
        engine: LmdbEngine,
        batches: Sequence[tuple[str, Rows]],
        meta: Mapping[str, bytes],
        *,
        foreign: bool,
    ) -> None:
        self._engine = engine
        self._foreign = foreign
        self._batches = batches
        self._meta = meta
        self._entry: bytes | None = None
        self._sequence = 0
        self.size_bytes = sum(rows.nbytes() for _, rows in batches)

    def apply(self, txn: Any) -> None:
        """Put the entry, the settings and what is new about collections."""
        tables = self._engine._tables
        if self._entry is None and self._batches:
            self._entry = encode_entry(self._batches)
        tables.take_space(txn, len(self._entry or b""), foreign=self._foreign)
        self._sequence = int(tables.get(txn, tables.store, b"sequence") or 0) + 1
        tables.put(txn, tables.store, b"sequence", str(self._sequence).encode())
        if self._entry is not None:
            txn.put(KEY.pack(self._sequence), self._entry, db=tables.log, append=True)
        for name, rows in self._batches:
            self._engine._numbers[name] = self._put_collection(txn, name, rows)
        for name in sorted(self._meta):
            tables.put(txn, tables.meta, name.encode(), self._meta[name])

    def _put_collection(self, txn: Any, name: str, rows: Rows) -> int:
        """Number of the collection; the table is asked only for what readers do not know yet."""
        types = {column: TYPE_NAMES[array.type] for column, array in rows.values.items()}
        view = self._engine._views.get(name)
        if view is not None and types.items() <= view.known.value_types.items():
            return view.number
        return _put_collection(txn, self._engine._tables, name, types)

    def publish(self) -> int:
        """Show the rows to readers; the commit has returned."""
        engine = self._engine
        engine._counters["rows_written"] += sum(len(rows) for _, rows in self._batches)
        engine._counters["writes"] += 1
        engine._sequence = self._sequence
        if self._batches:
            rows_count = sum(len(rows) for _, rows in self._batches)
            engine._log.add(LogLevel(rows_count, self.size_bytes, 1))
            engine._merger.wake_if_due()
        return self._sequence


def _put_collection(txn: lmdb.Transaction, tables: Tables, name: str, types: dict[str, str]) -> int:
    """Number of the collection; its entry is written when it or one of its types is new."""
    key = name.encode()
    found = tables.get(txn, tables.collections, key)
    if found is None:
        number = int(txn.stat(tables.collections)["entries"]) + 1
        tables.put(txn, tables.collections, key, pack_collection(number, types))
        return number
    number, known = unpack_collection(found)
    joined = joined_types(known, types)
    if joined != known:
        tables.put(txn, tables.collections, key, pack_collection(number, joined))
    return number
