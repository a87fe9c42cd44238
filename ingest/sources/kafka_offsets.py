"""How far a group has acknowledged a topic: what `zring ingest audit` compares with the store."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ingest.errors import SourceRefused
from ingest.sources.kafka_cluster import check_topics, error_text, made_or_refused
from ingest.sources.kafka_positions import stream_name
from ingest.sources.kafka_settings import KafkaSettings
from ingest.sources.source import Extent

ASK_DEADLINE_S = 10.0
PAUSE_S = 0.2
READ_MESSAGES_MAX = 10_000
READ_STEP_S = 0.5
PLACE = ("source", "stream", "sequence")
"""Headers that say where a dead letter's message stood."""
_PASSING = frozenset(
    (
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    )
)
"""What a broker says for a moment after it has begun."""
_WHO = "audit"


def ask_extents(settings: KafkaSettings) -> dict[str, Extent]:
    """Of each Kafka partition of the topics, for the group of the settings.

    Both clients commit to the same place, so this asks through librdkafka for either.

    Raises:
        SourceRefused: broker, topic or user do not exist.
    """
    extents = {}
    with _asking(settings) as (consumer, errors):
        topics = check_topics(consumer, settings.topics, settings, who=_WHO, errors=errors)
        places = [TopicPartition(topic, at) for topic, found in topics.items() for at in found]
        for place in _committed(consumer, places):
            asked = TopicPartition(place.topic, place.partition)
            begin, end = consumer.get_watermark_offsets(asked, timeout=ASK_DEADLINE_S)
            extents[stream_name((place.topic, place.partition))] = Extent(
                begin,
                end,
                place.offset if place.offset >= 0 else None,  # nothing committed is negative
                is_whole=settings.offset_reset == "earliest",
            )
    return extents


def letters_of_topic(settings: KafkaSettings, topic: str) -> list[tuple[str, str, int]]:
    """Source, stream and sequence of each dead letter in a topic; payloads are passed over.

    Raises:
        SourceRefused: broker, topic or user do not exist, or what is there cannot be read.
    """
    found: list[tuple[str, str, int]] = []
    with _asking(settings) as (consumer, errors):
        numbers = check_topics(consumer, [topic], settings, who=_WHO, errors=errors)[topic]
        for number in numbers:
            place = TopicPartition(topic, number)
            begin, end = consumer.get_watermark_offsets(place, timeout=ASK_DEADLINE_S)
            consumer.assign([TopicPartition(topic, number, begin)])
            found += _read_letters(consumer, topic, begin, end)
    return found


def _read_letters(
    consumer: Consumer, topic: str, begin: int, end: int
) -> Iterator[tuple[str, str, int]]:
    silent_s = time.monotonic() + ASK_DEADLINE_S
    while begin < end:
        for message in consumer.consume(READ_MESSAGES_MAX, READ_STEP_S):
            if message.error() is not None:
                raise KafkaException(message.error())
            begin = (message.offset() or 0) + 1
            silent_s = time.monotonic() + ASK_DEADLINE_S
            told: dict[str, Any] = dict(message.headers() or ())
            try:
                source, stream, sequence = (told[f"zring-{name}"].decode() for name in PLACE)
                yield source, stream, int(sequence)
            except (KeyError, ValueError, AttributeError):
                continue  # somebody else's
        begin = max(begin, consumer.position(consumer.assignment())[0].offset)
        if time.monotonic() > silent_s:
            raise SourceRefused(f"{_WHO}: topic {topic} could be read up to {begin} of {end} only")


@contextmanager
def _asking(settings: KafkaSettings) -> Iterator[tuple[Consumer, list[KafkaError]]]:
    """A consumer that joins no group, and the errors that it is told."""
    errors: list[KafkaError] = []
    told = {
        **settings.librdkafka(),
        "group.id": settings.group,
        "enable.auto.commit": False,
        "log_level": "0",
        "error_cb": errors.append,
    }
    made = made_or_refused(lambda: Consumer(told), who=_WHO)
    assert isinstance(made, Consumer)
    try:
        yield made, errors
    except KafkaException as error:
        raise SourceRefused(f"{_WHO}: {error_text(error)}") from None
    finally:
        made.close()


def _committed(consumer: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
    """The committed offsets, when the group has found its broker.

    Raises:
        KafkaException: it has not in time, or it is something else.
    """
    deadline_s = time.monotonic() + ASK_DEADLINE_S
    while True:
        try:
            return consumer.committed(places, timeout=ASK_DEADLINE_S)
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > deadline_s:
                raise
        time.sleep(PAUSE_S)
