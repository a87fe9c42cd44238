"""Storing one batch whatever the nodes answer: wait, take it apart, or give up with the reason.

An error of a node gives three answers, and they decide: what may succeed later (`retryable`, or
the node's own trouble, status 500 and above) is tried again until it does; a request that is wrong
(400, 413, 422) is taken apart until the record at fault is alone, and that one is refused; what
only a person can change (a token, a role) ends the source. Whether the first try had written
something (`definite`) does not matter: a record that is sent again changes nothing.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import pyarrow as pa

from node.client.writing import Written
from node.errors import BadRequest, NodeError

PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0
"""Between tries: short enough to go on soon after the nodes are back."""
DESCRIBED_MAX = 1_000
"""Rejections that one reply describes; a batch with more is sent again in smaller pieces."""

Write = Callable[[str, pa.RecordBatch], Written]
"""Stores records of a collection within a deadline, or raises a NodeError."""


class Then(Enum):
    """What follows from an error."""

    WAIT = "wait"
    TAKE_APART = "take apart"
    STOP = "stop"


def what_follows(error: NodeError) -> Then:
    """What to do with a batch that was answered with an error."""
    if error.retryable or error.status >= 500:
        return Then.WAIT
    return Then.TAKE_APART if isinstance(error, BadRequest) else Then.STOP


@dataclass(slots=True)
class StoringState:
    """What the writers of one pump are doing; any thread may read it.

    Attributes:
        retries: tries that were not the first.
        trouble: why a batch is waiting now; None when none is.
    """

    retries: int = 0
    trouble: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def failed(self, trouble: str) -> None:
        """A try did not succeed and will be repeated."""
        with self._lock:
            self.retries += 1
            self.trouble = trouble

    def succeeded(self) -> None:
        """A batch is stored: whatever was in the way is not any more."""
        if self.trouble is not None:
            with self._lock:
                self.trouble = None


@dataclass(frozen=True, slots=True)
class NodeRefusal:
    """A record that the nodes refused: its index in the batch, and why."""

    index: int
    detail: str


class Abandoned(Exception):
    """Raised instead of waiting on: nobody wants the batch any more; it is not acknowledged."""


class Storer:
    """Stores batches for as long as it takes; used by several threads at once.

    Args:
        write: see `Write`.
        abandoned: set when waiting is to end.
    """

    def __init__(self, write: Write, *, abandoned: threading.Event) -> None:
        self._write, self._abandoned = write, abandoned
        self.state = StoringState()

    def store(
        self, collection: str, batch: pa.RecordBatch, *, given_up: threading.Event | None = None
    ) -> list[NodeRefusal]:
        """Store every record that can be; returns the others.

        Args:
            given_up: set when nobody wants this one batch any more.
        Raises:
            Abandoned: while waiting.
            NodeError: only a person can change what is wrong.
        """
        refused: list[NodeRefusal] = []
        waiting = [(0, batch)]
        while waiting:
            start, piece = waiting.pop()
            try:
                written = self._until_answered(collection, piece, given_up)
            except BadRequest as error:
                if len(piece) == 1:
                    refused.append(NodeRefusal(start, str(error)))
                else:
                    waiting += _halves(start, piece)
                continue
            if written.rejected_count > len(written.rejected) and len(piece) > DESCRIBED_MAX:
                waiting += _pieces(start, piece)
                continue
            refused += [
                NodeRefusal(start + rejection.index, rejection.reason)
                for rejection in written.rejected
            ]
        return refused

    def _until_answered(
        self, collection: str, batch: pa.RecordBatch, given_up: threading.Event | None
    ) -> Written:
        pause_s = PAUSE_FIRST_S
        while True:
            try:
                written = self._write(collection, batch)
                if written.acknowledged:
                    self.state.succeeded()
                    return written
                lacking = ", ".join(f"{node}: {why}" for node, why in written.lacking.items())
                trouble = (
                    f"on {written.copies_durable} of {written.copies_wanted} nodes, "
                    f"fewer than w asks for; lacking: {lacking or 'not said'}"
                )
            except NodeError as error:
                if what_follows(error) is not Then.WAIT:
                    raise
                trouble = str(error)
            self.state.failed(trouble)
            if self._abandoned.wait(pause_s) or (given_up is not None and given_up.is_set()):
                raise Abandoned
            pause_s = min(2 * pause_s, PAUSE_MAX_S)


def _halves(start: int, batch: pa.RecordBatch) -> list[tuple[int, pa.RecordBatch]]:
    middle = len(batch) // 2
    return [(start + middle, batch.slice(middle)), (start, batch.slice(0, middle))]


def _pieces(start: int, batch: pa.RecordBatch) -> list[tuple[int, pa.RecordBatch]]:
    return [
        (start + at, batch.slice(at, DESCRIBED_MAX)) for at in range(0, len(batch), DESCRIBED_MAX)
    ]
