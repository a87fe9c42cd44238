"""The writer thread: the only one that changes the store.

It drains its queue, applies all jobs in one write transaction, commits (LMDB returns after
fdatasync), publishes what readers may now see and tells all callers with one wake-up of the
event loop. When a transaction does not fit, its jobs are tried one by one, so that only those
that do not fit are refused.
"""

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from node.errors import NodeError, StoreDamaged
from node.records import Rows
from node.storage.tables import Tables, TranslatedErrors

JOBS_MAX = 1_000
"""Jobs of one commit; the bytes limit is usually reached first."""


@dataclass(slots=True)
class Job:
    """One piece of work for the writer thread.

    Attributes:
        apply: changes tables inside the transaction. May raise NodeError: refused, others go on.
        publish: run after the commit; what it returns is the job's result.
        batches: rows to show to readers after the commit, before `publish`.
        size_bytes: what it adds to the commit.
        alone: in a transaction of its own, so that it sees what was written before it.
    """

    apply: Callable[[Any], None]
    publish: Callable[[], Any]
    batches: "Batches" = ()
    size_bytes: int = 0
    alone: bool = False
    future: "concurrent.futures.Future[Any]" = field(default_factory=concurrent.futures.Future)
    loop: asyncio.AbstractEventLoop | None = None
    waiting: "asyncio.Future[Any] | None" = None


Batches = Sequence[tuple[str, Rows]]
Outcome = tuple[Job, Any, BaseException | None]


class Writer:
    """Runs jobs in groups on its own thread until closed.

    Args:
        show: lets readers see batches; called with all of neighbouring jobs at once.
    """

    def __init__(self, tables: Tables, show: Callable[[Batches], None]) -> None:
        self._tables = tables
        self._show = show
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="zring-store-writer", daemon=True)
        self.commits = 0
        self.failure: BaseException | None = None
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job behind those that are waiting; from any thread."""
        self._queue.put(job)

    def call(self, job: Job) -> Any:
        """Submit and wait; from the merger's thread, never from the event loop."""
        self.submit(job)
        return job.future.result()

    def close(self) -> None:
        """Finish what is queued and end the thread; blocks for one commit."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            jobs, last = self._drain()
            for group in _groups(jobs):
                self._resolve(self._commit(group))
            if last:
                return

    def _drain(self) -> tuple[list[Job], bool]:
        """Wait for a job, then take what is there; (jobs, whether to stop after them)."""
        job = self._queue.get()
        jobs: list[Job] = []
        size_bytes = 0
        while job is not None:
            jobs.append(job)
            size_bytes += job.size_bytes
            if size_bytes >= self._tables.settings.commit_bytes_max or len(jobs) >= JOBS_MAX:
                return jobs, False
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True

    def _commit(self, jobs: list[Job]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        applied: list[Job] = []
        self._tables.settings.on_step("commit-begin")
        try:
            with TranslatedErrors(), self._tables.env.begin(write=True) as txn:
                for job in jobs:
                    job.apply(txn)
                    applied.append(job)
                self._tables.settings.on_step("commit-before")
        except NodeError as error:
            # The transaction is undone as a whole; alone, each job gets its own answer.
            if isinstance(error, StoreDamaged):
                self._tables.note.write(error)
            if len(jobs) == 1:
                return [(jobs[0], None, error)]
            for job in jobs:
                outcomes += self._commit([job])
            return outcomes
        self.commits += 1
        self._tables.settings.on_step("commit-durable")
        return self._publish(applied)

    def _publish(self, jobs: list[Job]) -> list[Outcome]:
        """Results of the jobs in their order: what looks at the rows finds those before it."""
        outcomes: list[Outcome] = []
        for has_rows, group in groupby(jobs, key=lambda job: bool(job.batches)):
            neighbours = list(group)
            if has_rows:
                self._show([batch for job in neighbours for batch in job.batches])
            outcomes += [(job, job.publish(), None) for job in neighbours]
        return outcomes

    def _resolve(self, outcomes: list[Outcome]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
        for outcome in outcomes:
            job, result, error = outcome
            if job.loop is not None:
                by_loop.setdefault(job.loop, []).append(outcome)
            elif error is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(error)
        for loop, found in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve_on_loop, found)


def _groups(jobs: list[Job]) -> Iterator[list[Job]]:
    """The jobs of each transaction: all in one, but those that must be alone."""
    for alone, group in groupby(jobs, key=lambda job: job.alone):
        if alone:
            yield from ([job] for job in group)
        else:
            yield list(group)


def _resolve_on_loop(outcomes: list[Outcome]) -> None:
    for job, result, error in outcomes:
        assert job.waiting is not None, "a job of the loop without its future"
        if job.waiting.done():
            continue
        if error is None:
            job.waiting.set_result(result)
        else:
            job.waiting.set_exception(error)
