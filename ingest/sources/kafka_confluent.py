"""Kafka through `confluent-kafka` (librdkafka): the default client, for brokers 0.11 to 4.x."""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from ingest.errors import SourceLost, SourceRefused
from ingest.sources.kafka_cluster import (
    UNKNOWN_TOPIC,
    check_topics,
    error_text,
    made_or_refused,
    raise_refusal,
)
from ingest.sources.kafka_positions import Place, Positions, Receipt, stream_name
from ingest.sources.kafka_settings import KafkaSettings
from ingest.sources.pieces import cut_pieces
from ingest.sources.source import POLL_BYTES_MAX, POLL_MESSAGES_MAX, Lag, Messages
from zring.morton import Int64s

ASK_DEADLINE_S = 5.0
LINGER_S = 0.02
"""How long a poll that has a message waits for more: the price in delay of larger batches."""
COMMIT_INTERVAL_S = 0.2
"""Commits are one small message to the broker each; a crash repeats what came in this time."""
SESSION_TIMEOUT_MS = 10_000
"""After this long a killed process has lost its Kafka partitions to the others."""
QUEUE_KIB = 16 << 10
"""What librdkafka reads ahead, whatever the backlog is; part of the memory bound of a process."""
FETCH_BYTES_MAX = 8 << 20

OURS: Mapping[str, str] = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "partition.assignment.strategy": "cooperative-sticky",
}
"""What the guarantees rest on; not to be changed by options."""
DEFAULTS: Mapping[str, str] = {
    "client.id": "zring",
    "session.timeout.ms": str(SESSION_TIMEOUT_MS),
    "heartbeat.interval.ms": "2000",
    "queued.max.messages.kbytes": str(QUEUE_KIB),
    "queued.min.messages": "100000",
    "fetch.max.bytes": str(FETCH_BYTES_MAX),
    # Of a full queue: the default of a second is a second without messages.
    "fetch.queue.backoff.ms": "20",
    "reconnect.backoff.max.ms": "1000",
    "topic.metadata.refresh.interval.ms": "30000",
    # Errors come through `error_cb` and are raised; the same as text on standard error is noise.
    "log_level": "0",
}

_UNREADABLE = frozenset((KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION))
"""Of one message or one batch of them, which the client passes over."""


class ConfluentSource:
    """One member of a consumer group; see `Source`.

    Guarantee: at least once. Offsets are committed after `acknowledge`, for each Kafka partition
    in its order, and never for one that was given to another member.
    """

    def __init__(self, name: str, settings: KafkaSettings) -> None:
        self._name, self._settings, self._who = name, settings, f"source {name}"
        self._positions = Positions()
        self._consumer: Consumer | None = None
        self._errors: list[KafkaError] = []
        self._waiting: list[Messages] = []
        self._message_bytes = 1_000.0
        self._is_paused = False
        self._committed_s = 0.0

    @property
    def name(self) -> str:
        """See `Source`."""
        return self._name

    def open(self) -> None:
        """See `Source`."""
        if self._consumer is not None:
            return
        told: dict[str, Any] = {
            **consumer_settings(self._settings),
            "error_cb": self._errors.append,
            "on_commit": self._commit_ended,
        }
        consumer: Any = made_or_refused(lambda: Consumer(told), who=self._who)
        self._errors.clear()
        self._consumer = consumer
        try:
            self._check_topics(consumer)
            consumer.subscribe(
                list(self._settings.topics),
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=self._lost,
            )
        except BaseException:
            self._consumer = None
            consumer.close()
            raise

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        """See `Source`."""
        consumer = self._opened()
        if self._is_paused:
            self._is_paused = False
            consumer.resume(self._assignment())
        if self._positions.has_lost():
            return ()
        if self._waiting:
            return [self._waiting.pop(0)]
        found = self._readable(self._consume(consumer, timeout_s))
        self._commit(consumer)
        if not found:
            # Only now: what came beside an error would be lost with it.
            self._raise_errors()
            return ()
        groups = _by_place(found)
        polled = [part for place, group in groups for part in self._messages(place, group)]
        if self._positions.has_lost():
            self._waiting = polled
            return ()
        self._waiting = _beyond(polled, POLL_BYTES_MAX)
        return polled

    def keep_alive(self) -> None:
        """See `Source`: nothing is fetched while the Kafka partitions are paused."""
        consumer = self._opened()
        if not self._is_paused:
            self._is_paused = True
            consumer.pause(self._assignment())
        message = consumer.poll(0)
        if message is not None and message.error() is None:
            for place, group in _by_place([message]):
                self._waiting += self._messages(place, group)
        self._raise_errors()
        self._commit(consumer)

    def acknowledge(self, messages: Messages) -> None:
        """See `Source`."""
        assert isinstance(messages.receipt, Receipt)
        self._positions.acknowledge(messages.receipt)
        if self._consumer is not None:
            self._commit(self._consumer)

    def lost_streams(self) -> Sequence[str]:
        """See `Source`."""
        return self._positions.take_lost()

    def lag(self) -> Lag:
        """See `Source`: from the high watermarks of the last answers."""
        streams: dict[str, int] = {}
        for place in self._positions.held() if self._consumer is not None else ():
            low, high = self._opened().get_watermark_offsets(TopicPartition(*place), cached=True)
            if high < 0:
                continue
            start = self._positions.next_offset(place)
            streams[stream_name(place)] = max(0, high - (max(low, 0) if start is None else start))
        return Lag(sum(streams.values()), streams)

    def is_at_end(self) -> bool:
        """See `Source`."""
        return False

    def close(self) -> None:
        """See `Source`."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        self._commit_now(consumer, None)
        self._positions.drop(self._positions.held())
        consumer.close()

    def _opened(self) -> Consumer:
        if self._consumer is None:
            raise SourceLost(f"source {self._name} is closed")
        return self._consumer

    def _raise_errors(self) -> None:
        """What the client reported since the last call; most of it mends itself."""
        if not self._errors:
            return
        raise_refusal(self._errors, self._settings, who=self._who)
        if any(error.code() in UNKNOWN_TOPIC for error in self._errors):
            # A broker that has just started may not know its topics yet: it is asked itself.
            self._check_topics(self._opened())
        away = [error for error in self._errors if error.code() == KafkaError._ALL_BROKERS_DOWN]
        self._errors.clear()
        if away:
            raise SourceLost(f"{self._who}: {error_text(away[0])}")

    def _check_topics(self, consumer: Consumer) -> None:
        check_topics(
            consumer, self._settings.topics, self._settings, who=self._who, errors=self._errors
        )

    def _consume(self, consumer: Consumer, timeout_s: float) -> list[Message]:
        """What is there, after one message at most LINGER_S longer."""
        wanted = int(min(max(POLL_BYTES_MAX / self._message_bytes, 1), POLL_MESSAGES_MAX))
        batch: list[Message] = []
        try:
            batch += consumer.consume(1, timeout_s)
            if batch and wanted > 1:
                batch += consumer.consume(wanted - 1, LINGER_S)
        except KafkaException as error:
            self._errors.append(error.args[0])
        return batch

    def _readable(self, batch: list[Message]) -> list[Message]:
        """Without the reports of errors that travel among the messages."""
        errors = list(map(Message.error, batch))
        if not any(error is not None for error in errors):
            return batch
        is_message = [error is None or error.code() in _UNREADABLE for error in errors]
        self._errors += [
            error for error, keep in zip(errors, is_message, strict=True) if error and not keep
        ]
        return list(compress(batch, is_message))

    def _messages(self, place: Place, group: list[Message]) -> list[Messages]:
        """Columns of one Kafka partition, in pieces of bounded bytes; none if it is not held."""
        payloads: list[bytes | None] = list(map(Message.value, group))
        if any(error is not None for error in map(Message.error, group)):
            payloads = [m.value() if m.error() is None else None for m in group]
        sizes = [0 if payload is None else len(payload) for payload in payloads]
        self._message_bytes = 0.5 * self._message_bytes + 0.5 * max(sum(sizes) / len(sizes), 1.0)
        keys = list(map(Message.key, group))
        sequences = np.fromiter(map(Message.offset, group), np.int64, len(group))
        produced_ms = _produced_ms(group)
        made = []
        for start, stop in cut_pieces(
            sizes, bytes_max=POLL_BYTES_MAX, messages_max=POLL_MESSAGES_MAX
        ):
            receipt = self._positions.hand_out(place, int(sequences[stop - 1]) + 1)
            if receipt is None:
                return []
            whole = slice(start, stop)
            made.append(
                Messages(
                    stream=stream_name(place),
                    sequences=sequences[whole],
                    payloads=payloads[whole],
                    keys=keys[whole],
                    produced_ms=produced_ms[whole],
                    receipt=receipt,
                    expected=receipt.expected,
                )
            )
        return made

    def _assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in self._positions.held()]

    def _assigned(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        """Called by the client within a poll."""
        starts = self._starts(consumer, given)
        consumer.incremental_assign(starts)
        for start in starts:
            known = start.offset if start.offset >= 0 else None
            self._positions.hold((start.topic, start.partition), known)
        if self._is_paused:
            consumer.pause([TopicPartition(one.topic, one.partition) for one in given])

    def _starts(self, consumer: Consumer, given: list[TopicPartition]) -> list[TopicPartition]:
        """With the committed offsets.

        A group that begins at the end commits where that was: should it fall before its first
        acknowledgement, it would otherwise begin at a later end, and miss what came meanwhile.
        """
        if not given:
            return given
        try:
            starts = consumer.committed(given, timeout=ASK_DEADLINE_S)
            fresh = [start for start in starts if start.offset == OFFSET_INVALID]
            if self._settings.offset_reset == "latest" and fresh:
                for start in fresh:
                    start.offset = consumer.get_watermark_offsets(start, timeout=ASK_DEADLINE_S)[1]
                consumer.commit(offsets=fresh, asynchronous=False)
        except KafkaException:
            return given  # librdkafka asks again by itself
        return list(starts)

    def _revoked(self, consumer: Consumer, taken: list[TopicPartition]) -> None:
        places = {(one.topic, one.partition) for one in taken}
        self._commit_now(consumer, places)
        self._forget(places)

    def _lost(self, _consumer: Consumer, taken: list[TopicPartition]) -> None:
        self._forget({(one.topic, one.partition) for one in taken})

    def _forget(self, places: set[Place]) -> None:
        self._positions.drop(sorted(places))
        names = {stream_name(place) for place in places}
        self._waiting = [part for part in self._waiting if part.stream not in names]

    def _commit(self, consumer: Consumer) -> None:
        """Send what was acknowledged to the broker, every now and then, without waiting."""
        now_s = time.monotonic()
        if now_s - self._committed_s < COMMIT_INTERVAL_S:
            return
        taken = self._positions.take_uncommitted()
        if not taken:
            return
        self._committed_s = now_s
        try:
            consumer.commit(offsets=_offsets(taken), asynchronous=True)
        except KafkaException:
            self._positions.put_back(taken)

    def _commit_ended(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """Called by the client within a poll: what the broker did not take is sent again."""
        failed = [one for one in offsets if error is not None or one.error is not None]
        self._positions.put_back(((one.topic, one.partition), one.offset) for one in failed)

    def _commit_now(self, consumer: Consumer, places: set[Place] | None) -> None:
        """The same and wait for the answer: before these Kafka partitions go elsewhere."""
        taken = self._positions.take_uncommitted()
        mine = [(place, offset) for place, offset in taken if places is None or place in places]
        self._positions.put_back(entry for entry in taken if entry not in mine)
        if mine:
            try:
                consumer.commit(offsets=_offsets(mine), asynchronous=False)
            except KafkaException:
                return  # their messages come again, to whoever holds them next


def consumer_settings(settings: KafkaSettings) -> dict[str, str]:
    """Everything that librdkafka is told.

    Raises:
        SourceRefused: an option that the guarantees rest on, or a password that cannot be read.
    """
    fixed = {
        **settings.librdkafka(),
        "group.id": settings.group,
        "auto.offset.reset": settings.offset_reset,
        **OURS,
    }
    for name in settings.options:
        if name in fixed:
            raise SourceRefused(f"kafka options: {name} is decided by zring; leave it out")
    return {**DEFAULTS, **settings.options, **fixed}


def _by_place(batch: list[Message]) -> Iterable[tuple[Place, list[Message]]]:
    """Groups of one Kafka partition each, in the order of their first messages."""
    numbers: list[Any] = list(map(Message.partition, batch))
    topics: list[Any] = list(map(Message.topic, batch))
    if numbers.count(numbers[0]) == len(batch) and topics.count(topics[0]) == len(batch):
        return [((topics[0], numbers[0]), batch)]
    groups: dict[Place, list[Message]] = {}
    for place, message in zip(zip(topics, numbers, strict=True), batch, strict=True):
        groups.setdefault(place, []).append(message)
    return groups.items()


def _produced_ms(group: list[Message]) -> Int64s:
    produced = np.fromiter((at for _, at in map(Message.timestamp, group)), np.int64, len(group))
    produced[produced < 0] = time.time_ns() // 1_000_000  # brokers before 0.10 do not say
    return produced


def _beyond(polled: list[Messages], bytes_max: int) -> list[Messages]:
    """Cut off and return what one poll should not hand out besides the rest."""
    held = 0
    for index, part in enumerate(polled):
        held += sum(len(payload) for payload in part.payloads if payload is not None)
        if held > bytes_max and index:
            rest = polled[index:]
            del polled[index:]
            return rest
    return []


def _offsets(taken: Iterable[tuple[Place, int]]) -> list[TopicPartition]:
    return [TopicPartition(topic, number, offset) for (topic, number), offset in taken]
