"""What every source promises, as tests: each kind gives a `Case`, the rest is the same for all.

class TestFiles(SourceContract):
    @pytest.fixture
    def case(self, tmp_path): return FilesCase(tmp_path)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import pytest

from ingest.errors import SourceRefused
from ingest.sources import POLL_BYTES_MAX, POLL_MESSAGES_MAX, Messages, Source
from tests.streams.waiting import wait_until

POLL_S = 0.2
DEADLINE_S = 90.0


class Case(Protocol):
    """One kind under test, on a stream of its own.

    Attributes:
        redelivers: whether a message that was handed out and not acknowledged comes again when
            the process was restarted (ZeroMQ knows no acknowledgement).
        orders: whether messages of one stream come in the order in which they were produced.
    """

    redelivers: bool
    orders: bool

    def produce(self, bodies: Sequence[bytes]) -> None:
        """Send messages; returns when the broker has them, or when they are on their way where
        nothing stands in between."""

    def source(self) -> Source:
        """A new source that goes on where the last one that was closed had acknowledged."""

    def refused(self) -> Source:
        """A source that cannot work as it is set: a topic, address or file that does not exist."""


class SourceContract:
    """Tests of one kind; a subclass has the fixture `case`."""

    def test_messages_come_whole_and_in_order(self, case: Case) -> None:
        bodies = numbered(0, 300)
        with opened(case.source()) as source:
            case.produce(bodies)
            polled = poll_all(source, 300)
            found = payloads(polled)
            assert sorted(found) == sorted(bodies)
            if case.orders:
                assert found == bodies
            for stream in {messages.stream for messages in polled}:
                own = [messages for messages in polled if messages.stream == stream]
                sequences = [one for messages in own for one in messages.sequences.tolist()]
                assert sequences == sorted(set(sequences)), "sequences rise within a stream"
            for messages in polled:
                assert len(messages.produced_ms) == len(messages) == len(messages.sequences)
                assert not messages.keys or len(messages.keys) == len(messages)
                source.acknowledge(messages)

    def test_what_was_acknowledged_does_not_come_back(self, case: Case) -> None:
        first, second = numbered(0, 50), numbered(50, 100)
        with opened(case.source()) as source:
            case.produce(first)
            for messages in poll_all(source, 50):
                source.acknowledge(messages)
        with opened(case.source()) as source:
            case.produce(second)
            polled = poll_all(source, 50)
            assert sorted(payloads(polled)) == sorted(second)
            for messages in polled:
                source.acknowledge(messages)

    def test_what_was_not_acknowledged_comes_again(self, case: Case) -> None:
        if not case.redelivers:
            return
        bodies = numbered(0, 60)
        with opened(case.source()) as source:
            case.produce(bodies[:20])
            for messages in poll_all(source, 20):
                source.acknowledge(messages)
            case.produce(bodies[20:])
            poll_all(source, 40)
        with opened(case.source()) as source:
            polled = poll_all(source, 40)
            assert set(payloads(polled)) >= set(bodies[20:])
            assert not set(payloads(polled)) & set(bodies[:20])
            for messages in polled:
                source.acknowledge(messages)

    def test_acknowledging_the_first_batch_keeps_the_second(self, case: Case) -> None:
        if not case.redelivers:
            return
        with opened(case.source()) as source:
            case.produce(numbered(0, 10))
            first = poll_all(source, 10)
            case.produce(numbered(10, 20))
            poll_all(source, 10)
            for messages in first:
                source.acknowledge(messages)
        with opened(case.source()) as source:
            again = poll_all(source, 10)
            assert sorted(payloads(again)) == sorted(numbered(10, 20))
            for messages in again:
                source.acknowledge(messages)

    def test_a_poll_is_bounded(self, case: Case) -> None:
        large = [bytes([65 + at]) * (1 << 19) for at in range(24)]
        with opened(case.source()) as source:
            case.produce(large)
            left = len(large)
            while left:
                polled = [messages for messages in poll_some(source) if len(messages)]
                bodies = payloads(polled)
                size = sum(map(len, bodies))
                assert len(bodies) <= POLL_MESSAGES_MAX
                assert size <= POLL_BYTES_MAX or len(bodies) == 1
                left -= len(bodies)
                for messages in polled:
                    source.acknowledge(messages)

    def test_keeping_alive_hands_out_nothing_and_loses_nothing(self, case: Case) -> None:
        with opened(case.source()) as source:
            case.produce(numbered(0, 5))
            polled = poll_all(source, 5)
            case.produce(numbered(5, 10))
            for _ in range(3):
                source.keep_alive()
            for messages in polled:
                source.acknowledge(messages)
            rest = poll_all(source, 5)
            assert sorted(payloads(rest)) == sorted(numbered(5, 10))
            assert not source.lost_streams()
            for messages in rest:
                source.acknowledge(messages)

    def test_what_cannot_work_is_refused_soon_and_by_name(self, case: Case) -> None:
        source = case.refused()
        with pytest.raises(SourceRefused) as refusal, opened(source):
            wait_until(lambda: source.poll(POLL_S) and False, "the refusal", deadline_s=DEADLINE_S)
        assert len(str(refusal.value)) > 20, "the message says what and which"

    def test_closing_twice_is_safe(self, case: Case) -> None:
        source = case.source()
        source.open()
        source.lag()
        assert not source.lost_streams()
        source.close()
        source.close()


@contextmanager
def opened(source: Source) -> Iterator[Source]:
    """Open, and close whatever happens."""
    try:
        source.open()
        yield source
    finally:
        source.close()


def numbered(start: int, stop: int) -> list[bytes]:
    """Different bodies, each a line."""
    return [b'{"number": %d}' % number for number in range(start, stop)]


def payloads(polled: Sequence[Messages]) -> list[bytes]:
    """The bodies of batches."""
    return [body or b"" for messages in polled for body in messages.payloads]


def poll_some(source: Source) -> Sequence[Messages]:
    """The next batches that hold anything."""
    found: list[Messages] = []

    def has_polled() -> bool:
        found.extend(messages for messages in source.poll(POLL_S) if len(messages))
        return bool(found)

    wait_until(has_polled, "messages", deadline_s=DEADLINE_S)
    return found


def poll_all(source: Source, count: int) -> list[Messages]:
    """Poll until so many messages have come."""
    found: list[Messages] = []
    while sum(map(len, found)) < count:
        found += poll_some(source)
    return found
