"""What every source is to the pump: messages come out in batches, acknowledgements go back in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from zring.morton import Int64s

POLL_MESSAGES_MAX = 10_000
"""Messages of one poll: enough for columns, little enough to store within a second."""
POLL_BYTES_MAX = 2 << 20
"""Payload bytes of one poll; a single larger message comes alone. As objects of Python they take
some twenty times as much until they are columns."""


@dataclass(frozen=True, slots=True)
class Messages:
    """n messages of one stream, in its order.

    Attributes:
        stream: where they stood: `TOPIC/KAFKA-PARTITION`, an MQTT topic, a Fluentd tag, a path.
        sequences: int64[n], rising within the stream: Kafka offsets, line numbers; a count of
            what this process received where the protocol numbers nothing.
        payloads: n bodies; None is a message without one.
        keys: n keys where the protocol has them, else empty.
        produced_ms: int64[n], milliseconds since the epoch, when the source took each message;
            the moment of the poll where the protocol does not say.
        receipt: what the source needs to acknowledge them; nobody else looks into it.
        expected: the sequence that should come first, by what was acknowledged before, also by
            another process; -1 where the source does not know. What lies between is missing.
    """

    stream: str
    sequences: Int64s
    payloads: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    produced_ms: Int64s
    receipt: object = None
    expected: int = -1

    def __len__(self) -> int:
        return len(self.payloads)


@dataclass(frozen=True, slots=True)
class Extent:
    """What a broker has of one stream, and how far that was acknowledged, by whomever.

    Attributes:
        begin, end: half-open range of the sequences that it still has.
        committed: the first sequence that is not acknowledged; None before any was.
        is_whole: whether the stream was read from its beginning; else nobody knows from where.
    """

    begin: int
    end: int
    committed: int | None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a source is behind; None where its protocol does not tell.

    Attributes:
        messages: not yet handed out, over all streams that this process reads.
        streams: stream → the same.
    """

    messages: int | None
    streams: dict[str, int]


class Source(Protocol):
    """Messages from outside, at least once each.

    One thread calls all methods, in any order after `open`. A message that was not acknowledged
    comes again, from here or from another process of the same group, after a crash, a
    reconnection or a rebalance; one that was acknowledged may come again. Nothing is buffered
    beyond the limits above and a bounded queue: who does not poll slows the sender.
    """

    @property
    def name(self) -> str:
        """How the settings call it; part of every record's metadata and of every metric."""
        ...

    def open(self) -> None:
        """Connect and subscribe, within seconds.

        Raises:
            SourceRefused: a topic, broker or credential does not exist; the message says which.
        """
        ...

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        """What has arrived, after at most `timeout_s` without anything; possibly nothing.

        Raises:
            SourceRefused: it cannot go on without a person.
            SourceLost: the connection is gone; `poll` again later reconnects.
        """
        ...

    def keep_alive(self) -> None:
        """Called once a second while the store takes nothing and nobody polls; never waits.

        Hands out nothing and loses nothing: it keeps membership of a group and connections
        (a paused Kafka consumer is polled). The next `poll` goes on where the last one ended.

        Raises:
            SourceRefused, SourceLost: as `poll`.
        """
        ...

    def acknowledge(self, messages: Messages) -> None:
        """All of these are durable in the store or kept as dead letters; never waits long.

        Batches of one stream are acknowledged in the order in which they were polled. For a
        stream that this process has lost meanwhile it does nothing.
        """
        ...

    def lost_streams(self) -> Sequence[str]:
        """Streams given to another process since the last call: drop what is in flight.

        A stream may come back at once, and begin again: while there is something to tell, `poll`
        hands out nothing, so that what is in flight is all of the old kind.
        """
        ...

    def lag(self) -> Lag:
        """How much waits; from what is known without asking anybody."""
        ...

    def is_at_end(self) -> bool:
        """Whether nothing will ever come again (files); False for everything that listens."""
        ...

    def close(self) -> None:
        """Send the acknowledgements that are still under way and let go; safe to call twice."""
        ...
