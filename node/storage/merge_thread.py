"""The merger's thread: decides when to merge, and does long work on buckets between merges.

Names of the steps, for `settings.on_step`: merge-frozen, merge-encoded, blocks-put, swap-done,
blocks-deleted, log-trimmed (after a part of the entries), merge-done; slice-joining before those
of a join.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from node.errors import NodeError, StoreDamaged, StoreFull, Unavailable
from node.records import Rows, empty_rows
from node.storage.bucket_work import BucketWork
from node.storage.freed_memory import release_freed, release_pooled
from node.storage.memtable import above, pieces_of
from node.storage.merger import BlockNumbers, merge_slice, slice_to_join, slices_of
from node.storage.opening import LogLevel
from node.storage.swapper import Swapper
from node.storage.tables import Tables
from node.storage.view import Views
from node.storage.writer import Job, Writer

Result = TypeVar("Result")

TRIM_ENTRIES_MAX = 1_000
"""Log entries deleted in one transaction: a few milliseconds."""
JOIN_PAUSE_S = 0.2
"""Between two slices whose runs are joined: a few milliseconds of work, then others again."""
RELEASE_S = 1.0
"""Quiet after a merge before all freed memory goes back to the system: while a load goes on, the
next merge would only ask for the same pages again, and readers would wait meanwhile."""
Waiting = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


@dataclass(frozen=True, slots=True)
class _Task:
    """Something to be done on the thread, and who waits for it."""

    run: Callable[[BucketWork], Any]
    loop: asyncio.AbstractEventLoop
    waiting: "asyncio.Future[Any]"


Request = Waiting | _Task | bool | None
"""Somebody who waits for a merge; work on buckets; True: merge; False: end; None: there is
something in the log."""


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
        self._swapper = Swapper(tables, writer, views, BlockNumbers(next_number))
        self._work = BucketWork(
            tables,
            views,
            self._swapper,
            merge_log=self._merge_now,
            has_half_merged=lambda: self.failure is not None,
        )
        # Rows are in log and blocks at once while they are merged: that must fit into the part
        # of the map which writes leave free.
        spare = self._settings.spare_bytes
        self._bytes_merge = min(self._settings.log_bytes_merge, spare // 4)
        self._bytes_max = min(self._settings.log_bytes_max, spare // 2)
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

    async def run(self, work: Callable[[BucketWork], Result]) -> Result:
        """Do something with buckets between two merges, and wait for what comes of it.

        Raises:
            NodeError: what the work raised.
            Unavailable: the store is closing.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Result] = loop.create_future()
        self._requests.put(_Task(work, loop, waiting))
        return await waiting

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
            tasks = [one for one in requests if isinstance(one, _Task)]
            if len(tasks) < len(requests):
                self._serve_merges([one for one in requests if not isinstance(one, _Task)])
            for task in tasks:
                self._serve_task(task, is_closing=False in requests)
            if False in requests:
                return

    def _serve_merges(self, requests: Sequence[Request]) -> None:
        """Merge once for all who asked for it."""
        failure: NodeError | None
        self._is_asked = False
        if False in requests:
            failure = Unavailable("the store is closing; merge after opening it again")
        else:
            failure = self.failure = self._try_merge()
            self._holds_freed = True
        with self._room_lock:
            room, self._room = self._room, []
        _wake(room, None)
        _wake([one for one in requests if isinstance(one, tuple)], failure)

    def _serve_task(self, task: _Task, *, is_closing: bool) -> None:
        failure: NodeError | None = None
        result: Any = None
        self._holds_freed = True
        if is_closing:
            failure = Unavailable("the store is closing; ask again after opening it")
        else:
            try:
                result = task.run(self._work)
            except NodeError as error:
                self._note_damage(error)
                failure = error
            except BaseException as error:
                # A broken promise of this code ends the thread; nobody may wait for it any more.
                task.loop.call_soon_threadsafe(_settle, task.waiting, error, None)
                raise
        if not task.loop.is_closed():
            task.loop.call_soon_threadsafe(_settle, task.waiting, failure, result)

    def _merge_now(self) -> None:
        """For work that finds too much in the log.

        Raises:
            StoreFull, StoreDamaged: it could not be merged; it stays in the log.
        """
        failure = self.failure = self._try_merge()
        if failure is not None:
            raise failure

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
                self._settings.on_step("slice-joining")
                try:
                    self._merge_slice_of(name, start, empty_rows())
                except NodeError as error:
                    self._count_failure(error)
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
            self._count_failure(error)
            return error
        self._counters["merges"] += 1
        return None

    def _count_failure(self, error: NodeError) -> None:
        self._counters["merge_failures"] += 1
        self._note_damage(error)

    def _note_damage(self, error: NodeError) -> None:
        if isinstance(error, StoreDamaged):
            self._tables.note.write(error)

    def _merge(self) -> None:
        # Alone: what is committed with it and shown after it must not count as frozen.
        last, level = self._writer.call(Job(lambda txn: None, self._freeze, alone=True))
        self._settings.on_step("merge-frozen")
        for name in sorted(self._views):
            if self._views[name].frozen:
                self._merge_collection(name)
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

    def _merge_collection(self, name: str) -> None:
        settings = self._settings
        for done_until, piece in pieces_of(
            self._views[name].frozen,
            rows_max=settings.piece_rows_max,
            bytes_max=settings.slice_bytes,
        ):
            for slice_start, part in slices_of(piece, self._views[name].index):
                self._merge_slice_of(name, slice_start, part)
            if done_until is not None:
                self._let_go(name, done_until)

    def _let_go(self, name: str, done_until: int) -> None:
        """Drop frozen segments whose rows are all in blocks: memory shrinks as a merge goes on."""

        def publish() -> None:
            view = self._views[name]
            self._views[name] = view.changed(frozen=above(view.frozen, done_until))

        if len(above(self._views[name].frozen, done_until)) < len(self._views[name].frozen):
            self._writer.call(Job(lambda txn: None, publish))
        release_pooled()

    def _merge_slice_of(self, name: str, slice_start: int, rows: Rows) -> None:
        view = self._views[name]
        swap = merge_slice(
            name,
            rows,
            slice_start,
            view.index,
            read_blocks=self._swapper.read_blocks,
            numbers=self._swapper.numbers,
            settings=self._settings,
        )
        self._swapper.carry_out(name, swap)
        self._counters["blocks_written"] += len(swap.added)
        self._counters["rows_merged"] += swap.rows
        self._counters["conflicts"] += swap.conflicts

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


def _wake(waiting: list[Waiting], failure: NodeError | None) -> None:
    for loop, future in waiting:
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, future, failure, None)


def _settle(future: "asyncio.Future[Any]", failure: BaseException | None, result: Any) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
