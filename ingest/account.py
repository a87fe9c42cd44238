"""What became of the messages of one source, stream by stream: the proof that none is missing."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ingest.sources.source import Messages
from zring.morton import Int64s

STREAMS_MAX = 10_000
"""Streams with an account of their own (some 5 MB); the rest share the one of `OTHER`."""
OTHER = "(other streams)"
LATENESS_S = (1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800)
"""Upper bounds of the histogram of lateness, seconds; the last bucket is open."""
AHEAD_S = 60
"""A record whose time is further ahead than this comes from a clock that is wrong."""


@dataclass(frozen=True, slots=True)
class StreamAccount:
    """One stream, since this process began.

    Attributes:
        first, last: sequences of the first and the greatest message; -1 before any.
        seen: messages that were handed out by the source.
        again: of those, messages that had been handed out before.
        gaps, missing: jumps of the sequence, and how many numbers they passed over (a broker may
            have deleted or never used them); where the source knows what was acknowledged before
            this process began (Kafka), also from there to the first message.
        done: messages that are acknowledged.
        dead: messages with a dead letter.
        stored, rejected: records.
    """

    first: int = -1
    last: int = -1
    seen: int = 0
    again: int = 0
    gaps: int = 0
    missing: int = 0
    done: int = 0
    dead: int = 0
    stored: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class AccountStatistics:
    """All streams of one source.

    Attributes:
        streams: stream → its account.
        rejected: records by reason.
        late: counts of stored records for each bucket of LATENESS_S and one above: how long
            after its own time a record was stored.
        late_s: their sum, seconds.
        ahead: stored records whose time is more than AHEAD_S ahead of this machine's clock.
    """

    streams: Mapping[str, StreamAccount]
    rejected: Mapping[str, int]
    late: tuple[int, ...]
    late_s: float
    ahead: int

    def total(self, name: str) -> int:
        """The sum of one count over all streams."""
        return sum(getattr(account, name) for account in self.streams.values())


@dataclass(slots=True)
class _Stream:
    first: int = -1
    last: int = -1
    counts: Counter[str] = field(default_factory=Counter)


class Account:
    """Counts what happens; one thread counts, any thread reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: dict[str, _Stream] = {}
        self._rejected: Counter[str] = Counter()
        self._late: Int64s = np.zeros(len(LATENESS_S) + 1, np.int64)
        self._late_s = 0.0
        self._ahead = 0

    def polled(self, messages: Messages) -> None:
        """Messages were handed out."""
        with self._lock:
            stream = self._stream(messages.stream)
            stream.counts["seen"] += len(messages)
            if stream is self._streams.get(OTHER) or not len(messages):
                return  # numbers of several streams say nothing together
            sequences = np.asarray(messages.sequences, np.int64)
            fresh = sequences[sequences > stream.last]
            stream.counts["again"] += len(sequences) - len(fresh)
            if not len(fresh):
                return
            before = stream.last
            if messages.expected >= 0:
                # Others may have gone on with the stream; and this process is not its beginning.
                before = max(before, messages.expected - 1)
            elif stream.first < 0:
                before = int(fresh[0]) - 1
            if stream.first < 0:
                stream.first = int(fresh[0])
            steps = np.diff(fresh, prepend=before)
            stream.counts["gaps"] += int((steps > 1).sum())
            stream.counts["missing"] += int(fresh[-1]) - before - len(fresh)
            stream.last = int(fresh[-1])

    def settled(self, stream: str, *, done: int, dead: int, stored: int, rejected: int) -> None:
        """Messages of a stream were stored or kept as dead letters, and acknowledged."""
        with self._lock:
            counts = self._stream(stream).counts
            counts["done"] += done
            counts["dead"] += dead
            counts["stored"] += stored
            counts["rejected"] += rejected

    def rejected(self, reasons: Mapping[str, int]) -> None:
        """Records were refused."""
        with self._lock:
            self._rejected.update(reasons)

    def stored(self, times: Int64s, *, now_us: int) -> None:
        """Records of these times (microseconds) are stored now."""
        if not len(times):
            return
        seconds = (now_us - times) / 1e6
        places = np.searchsorted(LATENESS_S, seconds, side="left")
        counts = np.bincount(places, minlength=len(LATENESS_S) + 1)
        with self._lock:
            self._late += counts
            self._late_s += float(seconds.sum())
            self._ahead += int((seconds < -AHEAD_S).sum())

    def statistics(self) -> AccountStatistics:
        """Everything until now."""
        with self._lock:
            streams = {
                name: StreamAccount(first=stream.first, last=stream.last, **stream.counts)
                for name, stream in sorted(self._streams.items())
            }
            return AccountStatistics(
                streams=streams,
                rejected=dict(self._rejected),
                late=tuple(self._late.tolist()),
                late_s=self._late_s,
                ahead=self._ahead,
            )

    def _stream(self, name: str) -> _Stream:
        stream = self._streams.get(name)
        if stream is None:
            name = name if len(self._streams) < STREAMS_MAX else OTHER
            stream = self._streams.setdefault(name, _Stream())
        return stream
