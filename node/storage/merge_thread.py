"""The merger's thread: decides when to merge and carries the swaps to the writer.

Names of the steps, for `settings.on_step`: merge-frozen, merge-encoded, blocks-put, swap-done,
blocks-deleted, log-trimmed (after a part of the entries), merge-done.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

from node.errors import NodeError, StoreFull, Unavailable
from node.records import Rows, empty_rows
from node.storage.block_cache import BlockCache
from node.storage.block_read import read_rows
from node.storage.freed_memory import release_freed, release_pooled
from node.storage.memtable import all_rows
from node.storage.merger import BlockNumbers, Swap, merge_slice, slice_to_join, slices_of
from node.storage.opening import INDEX_KEY, LogLevel
from node.storage.tables import KEY, Tables, TranslatedErrors
from node.storage.view import CollectionView, Views
from node.storage.writer import Job, Writer

PUT_BYTES_MAX = 2 << 20
"""Block bytes put in one transaction: a few milliseconds."""
TRIM_ENTRIES_MAX = 1_000
"""Log entries deleted in one transaction, for the same reason."""
JOIN_PAUSE_S = 0.2
"""Between two slices whose runs are joined: a few milliseconds of work, then others again."""
RELEASE_S = 1.0
"""Quiet after a merge before all freed memory goes back to the system: while a load goes on, the
next merge would only ask for the same pages again, and readers would wait meanwhile."""
Waiting = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]
Request = Waiting | bool | None
"""Somebody who waits for a merge; True: merge; False: end; None: there is something in the log."""


class MergeThread:
    """Merges the log when it is due or asked for; one merge at a time."""

    def __init__(
        self,
        tables: Tables,
        writer: Writer,
        views: Views,
        log: LogLevel,
        counters: dict[str, int],
        next_number: int,
    ) -> None:
        self._tables = tables
        self._settings = tables.settings
        self._writer = writer
        self._views = views
        self._log = log
        self._counters = counters
        self._numbers = BlockNumbers(next_number)
        # Rows are in log and blocks at once while they are merged: that must fit into the part
        # of the map which writes leave free.
        spare = self._settings.spare_bytes
        self._bytes_merge = min(self._settings.log_bytes_merge, spare // 4)
        self._bytes_max = min(self._settings.log_bytes_max, spare // 2)
        self._cache = BlockCache(tables)
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._first: list[Request] = []
        self._holds_freed = False
        self._is_asked = False
        self._is_resting = False
        self._room: list[Waiting] = []
        self._room_lock = threading.Lock()
        self._frozen_log = LogLevel()
        self.failure: NodeError | None = None
        self._thread = threading.Thread(target=self._run, name="zring-store-merger", daemon=True)
        self._thread.start()
        self.wake_if_due()

    async def merge(self) -> None:
        """Merge everything that is in the log now, and wait for it.

        Raises:
            StoreFull, StoreDamaged: it could not be merged; it stays in the log.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        self._requests.put((loop, waiting))
        await waiting

    def wake_if_due(self) -> None:
        """Start a merge when the log has reached a limit; from the writer's thread."""
        log, settings = self._log, self._settings
        due = (
            log.rows - self._frozen_log.rows >= settings.log_rows_merge
            or log.size_bytes - self._frozen_log.size_bytes >= self._bytes_merge
            or log.entries - self._frozen_log.entries >= settings.log_entries_merge
        )
        if due and not self._is_asked:
            self._is_asked = True
            self._requests.put(True)
        elif self._is_resting:
            self._is_resting = False
            self._requests.put(None)

    def _is_crowded(self) -> bool:
        log, settings = self._log, self._settings
        return log.rows >= settings.log_rows_max or log.size_bytes >= self._bytes_max

    async def wait_room(self) -> None:
        """Wait until the log has room for more.

        Raises:
            StoreFull: merging fails for lack of space, so that waiting would not help.
        """
        while self._is_crowded():
            loop = asyncio.get_running_loop()
            waiting: asyncio.Future[None] = loop.create_future()
            with self._room_lock:
                self._room.append((loop, waiting))
            self._requests.put(True)
            await waiting
            if self.failure is not None and self._is_crowded():
                raise StoreFull(f"the log is full and cannot be merged: {self.failure}")

    def close(self) -> None:
        """Finish the merge under way and end the thread."""
        self._requests.put(False)
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._release_when_idle()
            self._tidy_while_idle()
            requests = [one for one in self._drain() if one is not None]
            self._is_resting = False
            if not requests:
                continue
            failure: NodeError | None = None
            self._is_asked = False
            if False in requests:
                failure = Unavailable("the store is closing; merge after opening it again")
            else:
                failure = self.failure = self._try_merge()
                self._holds_freed = True
            with self._room_lock:
                room, self._room = self._room, []
            _wake(room, None)
            _wake([one for one in requests if not isinstance(one, bool)], failure)
            if False in requests:
                return

    def _release_when_idle(self) -> None:
        """After a merge: let go of what it has freed, all of it unless the next request is near."""
        if not self._holds_freed:
            return
        self._holds_freed = False
        release_pooled()
        if not self._has_request(RELEASE_S):
            release_freed()

    def _tidy_while_idle(self) -> None:
        """Until something is asked for: merge the log once nobody writes, then join runs.

        A log that is never left alone is merged when it is old. When there is nothing left to
        do, the thread rests until the next write.
        """
        settings = self._settings
        entries, since_s, pause_s = -1, time.monotonic(), settings.idle_s
        while not self._first and not self._has_request(pause_s):
            if self._log.entries:
                quiet, entries = self._log.entries == entries, self._log.entries
                if quiet or time.monotonic() - since_s >= settings.log_age_merge_s:
                    self._first.append(True)
                    return
                pause_s = settings.idle_s
            elif self._join_one():
                pause_s = JOIN_PAUSE_S
            else:
                self._release_when_idle()
                self._is_resting = True
                if not self._log.entries:  # nothing came before the flag was up
                    return

    def _join_one(self) -> bool:
        """Join the runs of one slice; False when there is nothing left to join."""
        for name in sorted(self._views):
            view = self._views[name]
            start = slice_to_join(view.index, self._settings)
            if start is not None:
                try:
                    self._merge_slice_of(name, start, empty_rows())
                except NodeError:
                    self._counters["merge_failures"] += 1
                    return False
                self._holds_freed = True
                return True
        return False

    def _has_request(self, within_s: float) -> bool:
        try:
            self._first.append(self._requests.get(timeout=within_s))
        except queue.Empty:
            return False
        return True

    def _drain(self) -> Iterator[Request]:
        yield self._first.pop() if self._first else self._requests.get()
        while True:
            try:
                yield self._requests.get_nowait()
            except queue.Empty:
                return

    def _try_merge(self) -> NodeError | None:
        try:
            self._merge()
        except NodeError as error:
            self._counters["merge_failures"] += 1
            return error
        self._counters["merges"] += 1
        return None

    def _merge(self) -> None:
        last, level = self._writer.call(Job(lambda txn: None, self._freeze))
        self._settings.on_step("merge-frozen")
        for name in sorted(self._views):
            view = self._views[name]
            if view.frozen:
                self._merge_collection(name, all_rows(view.frozen))
        self._trim(last)
        self._writer.call(Job(lambda txn: None, lambda: self._thaw(level)))
        self._settings.on_step("merge-done")

    def _freeze(self) -> tuple[bytes, LogLevel]:
        """On the writer's thread: what is in the log now is what will be merged."""
        for name, view in list(self._views.items()):
            if view.active:
                self._views[name] = view.changed(active=(), frozen=(*view.frozen, *view.active))
        self._frozen_log = self._log.copy()
        with self._tables.env.begin() as txn:
            cursor = txn.cursor(db=self._tables.log)
            return (cursor.key() if cursor.last() else b""), self._frozen_log

    def _thaw(self, level: LogLevel) -> None:
        """On the writer's thread: everything frozen is in blocks."""
        for name, view in list(self._views.items()):
            if view.frozen:
                self._views[name] = view.changed(frozen=())
        self._log.remove(level)
        self._frozen_log = LogLevel()

    def _merge_collection(self, name: str, rows: Rows) -> None:
        for slice_start, part in slices_of(rows, self._views[name].index):
            self._merge_slice_of(name, slice_start, part)

    def _merge_slice_of(self, name: str, slice_start: int, rows: Rows) -> None:
        view = self._views[name]
        swap = merge_slice(
            rows,
            slice_start,
            view.index,
            read_blocks=self._read_blocks,
            numbers=self._numbers,
            settings=self._settings,
        )
        self._carry_out(name, view.number, swap)
        self._counters["blocks_written"] += len(swap.added)
        self._counters["rows_merged"] += swap.rows
        self._counters["conflicts"] += swap.conflicts

    def _read_blocks(self, blocks: list[int]) -> list[Rows]:
        parts = []
        with TranslatedErrors(), self._tables.env.begin(buffers=True) as txn:
            for block in blocks:
                data, header = self._cache.read(txn, block)
                rows = read_rows(data, header, name=f"block {block}")
                assert rows is not None, f"block {block} is empty"
                parts.append(rows)
        return parts

    def _carry_out(self, name: str, number: int, swap: Swap) -> None:
        """Put blocks, swap the index, delete what was replaced; each step may be the last."""
        tables = self._tables
        for group in _grouped(swap.added):
            self._writer.call(Job(lambda txn, group=group: self._put(txn, group), lambda: None))  # type: ignore[misc]
            self._settings.on_step("blocks-put")

        def apply(txn: Any) -> None:
            for summary in swap.summaries:
                key = INDEX_KEY.pack(number, int(summary["block"]))
                txn.put(key, summary.tobytes(), db=tables.index)
            for block in swap.removed:
                txn.delete(INDEX_KEY.pack(number, int(block)), db=tables.index)

        def publish() -> None:
            view: CollectionView = self._views[name]
            index = view.index.replaced(swap.removed, swap.summaries)
            self._views[name] = view.changed(index=index)

        def delete(txn: Any) -> None:
            for block in swap.removed:
                txn.delete(KEY.pack(int(block)), db=tables.blocks)

        self._writer.call(Job(apply, publish))
        self._settings.on_step("swap-done")
        if len(swap.removed):
            self._writer.call(Job(delete, lambda: None))
            self._settings.on_step("blocks-deleted")

    def _put(self, txn: Any, group: list[tuple[int, bytes]]) -> None:
        txn.put(b"next", str(self._numbers.next).encode(), db=self._tables.store)
        for block, data in group:
            txn.put(KEY.pack(block), data, db=self._tables.blocks)

    def _trim(self, last: bytes) -> None:
        """Delete log entries up to `last`."""
        trimmed = TRIM_ENTRIES_MAX
        while last and trimmed == TRIM_ENTRIES_MAX:
            count = [0]
            self._writer.call(Job(lambda txn: self._delete_entries(txn, last, count), lambda: None))  # noqa: B023
            trimmed = count[0]
            self._settings.on_step("log-trimmed")

    def _delete_entries(self, txn: Any, last: bytes, count: list[int]) -> None:
        cursor = txn.cursor(db=self._tables.log)
        count[0] = 0
        while count[0] < TRIM_ENTRIES_MAX and cursor.first() and cursor.key() <= last:
            cursor.delete()
            count[0] += 1


def _grouped(added: list[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """Blocks in groups of at most `PUT_BYTES_MAX`, or of one."""
    group: list[tuple[int, bytes]] = []
    size_bytes = 0
    for block, data in added:
        if group and size_bytes + len(data) > PUT_BYTES_MAX:
            yield group
            group, size_bytes = [], 0
        group.append((block, data))
        size_bytes += len(data)
    if group:
        yield group


def _wake(waiting: list[Waiting], failure: NodeError | None) -> None:
    for loop, future in waiting:
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, future, failure)


def _settle(future: "asyncio.Future[None]", failure: NodeError | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)
