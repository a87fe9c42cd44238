"""Batches on their way to the nodes: the next one is decoded while the last one is stored."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pyarrow as pa

from node.client.writing import Written

SENDERS = 2
PENDING_MAX = 3
"""Batches that are neither stored nor refused; more would only fill memory."""

Write = Callable[[str, pa.RecordBatch], Written]
"""Stores records of a collection; raises a NodeError when that did not work in time."""
Settle = Callable[[Written], None]
"""Is told what became of a batch, in the order of sending, on the thread that sends."""


@dataclass(frozen=True, slots=True)
class _Pending:
    future: "Future[Written]"
    settle: Settle


class Sender:
    """Writes batches in the background; a failed write is raised by the next call."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._pending: deque[_Pending] = deque()
        self._threads = ThreadPoolExecutor(SENDERS, thread_name_prefix="sender")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.drain()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def send(self, collection: str, batch: pa.RecordBatch, settle: Settle) -> None:
        """Hand a batch over; waits while PENDING_MAX are under way.

        Raises:
            NodeError: an earlier batch could not be stored.
        """
        while len(self._pending) >= PENDING_MAX:
            self._settle_first()
        future = self._threads.submit(self._write, collection, batch)
        self._pending.append(_Pending(future, settle))

    def drain(self) -> None:
        """Wait until every batch is settled.

        Raises:
            NodeError: a batch could not be stored.
        """
        while self._pending:
            self._settle_first()

    def _settle_first(self) -> None:
        pending = self._pending.popleft()
        pending.settle(pending.future.result())
