"""From a source to the nodes: poll, decode, store, keep dead letters, acknowledge, in this order.

The next batch is decoded while the last ones are stored; they are settled in the order in which
they were polled. A message is acknowledged when every record of it is durable in the store or in
its dead letter, never before. While nothing can be stored nothing more is polled than fits into
the bounded number of batches, and the source is kept alive.
"""

import threading
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import numpy as np

from ingest.account import Account, AccountStatistics
from ingest.deadletters import DeadLetter, DeadLetterSink
from ingest.errors import DeadLettersRefused, SourceLost
from ingest.messages import DecodedMessages, MessageDecoder, RecordPart, Refusal
from ingest.provenance import with_metadata
from ingest.sources.source import Lag, Messages, Source
from ingest.storing import Abandoned, NodeRefusal, Storer, Write
from node.clock import Clock
from zring.morton import Int64s

BATCHES_MAX = 4
"""Batches in flight: one is decoded, the others keep the disks of the nodes busy."""
BYTES_MAX = 32 << 20
"""Payload bytes in flight; as columns and requests they take some four times as much."""
POLL_S = 0.5
POLL_IN_FLIGHT_S = 0.02
"""A poll waits so long while batches may be done: acknowledgements should not wait for it."""
PAUSE_S = 0.05
KEEP_ALIVE_MS = 1_000
LOST_PAUSE_FIRST_MS, LOST_PAUSE_MAX_MS = 200, 5_000
DRAIN_MS = 15_000
"""How long a pump that is told to stop waits for what is in flight; the rest comes again."""
REFUSED_BY_NODE = "refused-by-node"


@dataclass(frozen=True, slots=True)
class PumpStatistics:
    """A pump at one moment.

    Attributes:
        source: its name.
        account: what became of the messages, by stream.
        lag: as the source says it.
        batches, batch_bytes: in flight now.
        retries: tries to store a batch that were not the first.
        trouble: why it stands still: the store, the source or the dead letters; None when it
            does not.
        is_away: whether that is the source.
        left_out: single values dropped by rule, by reason.
        lost: streams given to another process so far.
    """

    source: str
    account: AccountStatistics
    lag: Lag
    batches: int
    batch_bytes: int
    retries: int
    trouble: str | None
    is_away: bool
    left_out: dict[str, int]
    lost: int


@dataclass(slots=True)
class _Batch:
    """Messages of one poll on their way.

    Attributes:
        starts: int64[blocks + 1], where each of `polled` begins among the messages.
        given_up: set when all of its streams belong to another process.
    """

    polled: Sequence[Messages]
    starts: Int64s
    decoded: DecodedMessages
    size: int
    given_up: threading.Event = field(default_factory=threading.Event)
    futures: list["Future[list[NodeRefusal]]"] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)

    def is_done(self) -> bool:
        return all(future.done() for future in self.futures)


class Pump:
    """Carries the messages of one source into collections; `run` is called once, by one thread.

    Args:
        source: not open yet.
        decoder: of its messages.
        collection: for records without a topic; the others go to `<collection>.<topic>`.
        write: stores a batch with the wanted `w`, within a deadline.
        dead_letters: takes what cannot be stored.
        clock: machine's clocks.
    """

    def __init__(
        self,
        source: Source,
        *,
        decoder: MessageDecoder,
        collection: str,
        write: Write,
        dead_letters: DeadLetterSink,
        clock: Clock,
        batches_max: int = BATCHES_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        self._source, self._decoder, self._collection = source, decoder, collection
        self._dead_letters, self._clock = dead_letters, clock
        self._batches_max, self._bytes_max = batches_max, bytes_max
        self._abandoned = threading.Event()
        self._storer = Storer(write, abandoned=self._abandoned)
        self._account = Account()
        self._in_flight: deque[_Batch] = deque()
        self._threads = ThreadPoolExecutor(batches_max, thread_name_prefix="pump")
        self._lag = Lag(None, {})
        self._left_out: Counter[str] = Counter()
        self._source_trouble: str | None = None
        self._letters_trouble: str | None = None
        self._lost = 0
        self._poll_from_ms = self._settle_from_ms = self._alive_ms = 0
        self._lost_pause_ms = LOST_PAUSE_FIRST_MS

    @property
    def source_name(self) -> str:
        """As the settings call the source."""
        return self._source.name

    def run(self, stop: threading.Event) -> None:
        """Carry messages until `stop` is set or the source has ended.

        Raises:
            SourceRefused: the source cannot go on without a person.
            NodeError: the nodes will not take anything without one.
        What was not acknowledged comes again.
        """
        try:
            self._source.open()
            while not stop.is_set():
                self._settle_done()
                self._drop_lost()
                if self._is_full():
                    self._wait_first(stop)
                    self._keep_alive()
                elif self._clock.now_ms() < self._poll_from_ms:
                    stop.wait(PAUSE_S)
                elif not self._source.is_at_end():
                    self._poll()
                elif self._in_flight:
                    self._wait_first(stop)
                else:
                    break
            self._drain(stop)
        finally:
            self._abandoned.set()
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._source.close()
            self._dead_letters.close()

    def statistics(self) -> PumpStatistics:
        """How it stands; from any thread."""
        in_flight = list(self._in_flight)
        return PumpStatistics(
            source=self._source.name,
            account=self._account.statistics(),
            lag=self._lag,
            batches=len(in_flight),
            batch_bytes=sum(batch.size for batch in in_flight),
            retries=self._storer.state.retries,
            trouble=self._source_trouble or self._letters_trouble or self._storer.state.trouble,
            is_away=self._source_trouble is not None,
            left_out=dict(self._left_out),
            lost=self._lost,
        )

    # Into flight

    def _is_full(self) -> bool:
        if len(self._in_flight) >= self._batches_max:
            return True
        return sum(batch.size for batch in self._in_flight) >= self._bytes_max

    def _poll(self) -> None:
        try:
            polled = self._source.poll(POLL_IN_FLIGHT_S if self._in_flight else POLL_S)
        except SourceLost as error:
            self._pause(str(error))
            return
        self._source_trouble, self._lost_pause_ms = None, LOST_PAUSE_FIRST_MS
        self._alive_ms = self._clock.now_ms()
        self._lag = self._source.lag()
        polled = [messages for messages in polled if len(messages)]
        if polled:
            self._start(polled)

    def _start(self, polled: Sequence[Messages]) -> None:
        for messages in polled:
            self._account.polled(messages)
        lengths = [len(messages) for messages in polled]
        bodies = [body for messages in polled for body in messages.payloads]
        batch = _Batch(
            polled=polled,
            starts=np.cumsum([0, *lengths]),
            decoded=self._decoder.decode(bodies, _Names(polled)),
            size=sum(len(body) for body in bodies if body is not None),
        )
        self._left_out.update(batch.decoded.left_out)
        for part in batch.decoded.parts:
            batch.futures.append(self._threads.submit(self._store, part, batch))
        self._in_flight.append(batch)

    def _store(self, part: RecordPart, batch: _Batch) -> list[NodeRefusal]:
        collection = f"{self._collection}.{part.topic}" if part.topic else self._collection
        records = with_metadata(
            part, batch.polled, source=self._source.name, now_us=self._clock.now_us()
        )
        return self._storer.store(collection, records, given_up=batch.given_up)

    # Waiting

    def _pause(self, trouble: str) -> None:
        self._source_trouble = trouble
        self._poll_from_ms = self._clock.now_ms() + self._lost_pause_ms
        self._lost_pause_ms = min(2 * self._lost_pause_ms, LOST_PAUSE_MAX_MS)

    def _wait_first(self, stop: threading.Event) -> None:
        if self._letters_trouble is None:
            wait(self._in_flight[0].futures, timeout=2 * PAUSE_S)
        else:
            stop.wait(PAUSE_S)

    def _keep_alive(self) -> None:
        now_ms = self._clock.now_ms()
        if now_ms - self._alive_ms < KEEP_ALIVE_MS:
            return
        self._alive_ms = now_ms
        try:
            self._source.keep_alive()
        except SourceLost as error:
            self._pause(str(error))

    def _drain(self, stop: threading.Event) -> None:
        until_ms = self._clock.now_ms() + DRAIN_MS
        while self._in_flight and self._clock.now_ms() < until_ms:
            if self._storer.state.trouble is not None or self._letters_trouble is not None:
                return  # nobody knows how long that takes
            self._wait_first(stop)
            self._settle_done()

    # Out of flight

    def _drop_lost(self) -> None:
        lost = self._source.lost_streams()
        self._lost += len(lost)
        for batch in self._in_flight:
            batch.lost.update(lost)
            if batch.lost.issuperset(messages.stream for messages in batch.polled):
                batch.given_up.set()

    def _settle_done(self) -> None:
        """Settle the first batches as far as they are stored."""
        if self._clock.now_ms() < self._settle_from_ms:
            return
        while self._in_flight and self._in_flight[0].is_done():
            try:
                self._settle(self._in_flight[0])
            except DeadLettersRefused as error:
                self._letters_trouble = str(error)
                self._settle_from_ms = self._clock.now_ms() + KEEP_ALIVE_MS
                return
            except Abandoned:
                pass  # its streams belong to another process, which gets the messages
            self._letters_trouble = None
            self._in_flight.popleft()

    def _settle(self, batch: _Batch) -> None:
        refused = list(batch.decoded.refusals)
        for part, future in zip(batch.decoded.parts, batch.futures, strict=True):
            refused += [
                Refusal(int(part.message[entry.index]), None, REFUSED_BY_NODE, entry.detail)
                for entry in future.result()
            ]
        letters = self._letters(batch, refused)
        if letters:
            self._dead_letters.add(letters)
        self._count(batch, refused, letters)
        for messages in batch.polled:
            if messages.stream not in batch.lost:
                self._source.acknowledge(messages)

    def _letters(self, batch: _Batch, refused: Sequence[Refusal]) -> list[DeadLetter]:
        """One letter for each message of which something was refused, in order."""
        firsts: dict[int, Refusal] = {}
        counts: Counter[int] = Counter()
        for entry in refused:
            firsts.setdefault(entry.message, entry)
            counts[entry.message] += 1
        letters = []
        for message in sorted(firsts):
            block = int(np.searchsorted(batch.starts, message, side="right")) - 1
            messages, at = batch.polled[block], message - int(batch.starts[block])
            if messages.stream in batch.lost:
                continue  # the process that gets it again writes the letter
            letters.append(
                DeadLetter(
                    source=self._source.name,
                    stream=messages.stream,
                    sequence=int(messages.sequences[at]),
                    key=messages.keys[at] if messages.keys else None,
                    produced_ms=int(messages.produced_ms[at]),
                    dead_us=self._clock.now_us(),
                    reason=firsts[message].reason,
                    detail=firsts[message].detail,
                    records=counts[message],
                    payload=messages.payloads[at],
                )
            )
        return letters

    def _count(
        self, batch: _Batch, refused: Sequence[Refusal], letters: Sequence[DeadLetter]
    ) -> None:
        blocks = len(batch.polled)
        rejected = _per_block(batch.starts, [entry.message for entry in refused], blocks)
        at_node = [entry.message for entry in refused if entry.reason == REFUSED_BY_NODE]
        stored = -_per_block(batch.starts, at_node, blocks)
        for part in batch.decoded.parts:
            stored += _per_block(batch.starts, part.message, blocks)
            self._account.stored(part.rows.time, now_us=self._clock.now_us())
        dead = Counter(letter.stream for letter in letters)
        self._account.rejected(Counter(entry.reason for entry in refused))
        for at, messages in enumerate(batch.polled):
            self._account.settled(
                messages.stream,
                done=0 if messages.stream in batch.lost else len(messages),
                dead=dead.pop(messages.stream, 0),
                stored=int(stored[at]),
                rejected=int(rejected[at]),
            )


class _Names:
    """What each message is called: its key, else its stream."""

    def __init__(self, polled: Sequence[Messages]) -> None:
        self._polled = polled

    def __call__(self, message: int) -> str:
        for messages in self._polled:
            if message < len(messages):
                key = messages.keys[message] if messages.keys else None
                return messages.stream if not key else key.decode("utf-8", "replace")
            message -= len(messages)
        raise AssertionError("a message of another batch")


def _per_block(starts: Int64s, messages: Sequence[int] | Int64s, blocks: int) -> Int64s:
    places = np.searchsorted(starts, np.asarray(messages, np.int64), side="right") - 1
    counts: Int64s = np.bincount(places, minlength=blocks)
    return counts
