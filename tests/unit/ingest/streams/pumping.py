"""A source in memory, a store that answers as told, and a pump between them."""

import threading
from collections.abc import Callable, Sequence

import numpy as np
import orjson
import pyarrow as pa

from ingest.deadletters import DeadLetter
from ingest.errors import DeadLettersRefused
from ingest.messages import MessageDecoder
from ingest.pump import Pump
from ingest.sources import Lag, Messages
from node.client.writing import Written
from node.clock import SystemClock
from node.errors import NodeError
from node.query import Rejection
from zring.domain import DEMO_DOMAIN


def body(number: int, **other: object) -> bytes:
    """A message with one record."""
    return orjson.dumps(
        {"sensor": "s", "time": number * 1_000_000, "lon": 135.5, "lat": 33.5, "n": number, **other}
    )


class MemorySource:
    """Hands out prepared polls; see `ingest.sources.source.Source`."""

    name = "memory"

    def __init__(self, polls: Sequence[Sequence[Messages] | Exception]) -> None:
        self._polls = list(polls)
        self.acknowledged: list[tuple[str, int]] = []
        self.lost: list[str] = []
        self.kept_alive = 0
        self.closed = False
        self.ended = threading.Event()
        self.ended.set()

    def open(self) -> None: ...

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        if not self._polls:
            return ()
        polled = self._polls.pop(0)
        if isinstance(polled, Exception):
            raise polled
        return polled

    def keep_alive(self) -> None:
        self.kept_alive += 1

    def acknowledge(self, messages: Messages) -> None:
        self.acknowledged += [(messages.stream, one) for one in messages.sequences.tolist()]

    def lost_streams(self) -> Sequence[str]:
        lost, self.lost = self.lost, []
        return lost

    def lag(self) -> Lag:
        return Lag(len(self._polls), {})

    def is_at_end(self) -> bool:
        return not self._polls and self.ended.is_set()

    def close(self) -> None:
        self.closed = True


def messages(*bodies: bytes | None, stream: str = "a", first: int = 0) -> Messages:
    """Messages of one stream."""
    count = len(bodies)
    return Messages(stream, np.arange(first, first + count), bodies, (), np.zeros(count, np.int64))


class Store:
    """Keeps records by what `n` says; `answers` may raise or reject before that.

    Attributes:
        stored: n → how often it was stored.
        batches: the `n` of each batch in the order of storing.
    """

    def __init__(self, answers: Callable[[pa.RecordBatch], Written | None] | None = None) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self.stored: dict[int, int] = {}
        self.batches: list[list[int]] = []
        self.metadata: list[dict[str, object]] = []

    def write(self, collection: str, batch: pa.RecordBatch) -> Written:
        with self._lock:
            answer = self._answers(batch) if self._answers is not None else None
            numbers = batch.column("n").to_pylist()
            refused = {entry.index for entry in answer.rejected} if answer else set()
            if answer is None or answer.acknowledged:
                self.batches.append(numbers)
            for at, number in enumerate(numbers):
                if at not in refused:
                    self.stored[number] = self.stored.get(number, 0) + 1
            names = [name for name in batch.schema.names if name.startswith("@")]
            self.metadata += batch.select(names).to_pylist()
            return answer or written(len(batch))


def written(
    received: int, *rejected: Rejection, count: int | None = None, acknowledged: bool = True
) -> Written:
    """The answer of the nodes."""
    refused = len(rejected) if count is None else count
    durable = 3 if acknowledged else 1
    return Written(received, received - refused, rejected, refused, {}, 3, durable, acknowledged)


class Letters:
    """Dead letters in memory; refuses the first `refusals` calls."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.letters: list[DeadLetter] = []

    def open(self) -> None: ...

    def add(self, letters: Sequence[DeadLetter]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise DeadLettersRefused("the disk is full; make room")
        self.letters += letters

    def close(self) -> None: ...


def make_pump(
    source: MemorySource, store: Store, letters: Letters | None = None, **limits: int
) -> Pump:
    """A pump between the two."""
    return Pump(
        source,
        decoder=MessageDecoder("json", domain=DEMO_DOMAIN),
        collection="c",
        write=store.write,
        dead_letters=letters or Letters(),
        clock=SystemClock(),
        **limits,
    )


def failing(error: NodeError, times: int) -> Callable[[pa.RecordBatch], None]:
    """An answer that fails so often, then stores."""
    left = [times]

    def answer(batch: pa.RecordBatch) -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return answer
