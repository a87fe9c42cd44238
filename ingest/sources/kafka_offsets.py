"""How far a group has acknowledged a topic: what `zring ingest audit` compares with the store."""

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ingest.errors import SourceRefused
from ingest.sources.kafka_cluster import check_topics, error_text, made_or_refused
from ingest.sources.kafka_positions import stream_name
from ingest.sources.kafka_settings import KafkaSettings

ASK_DEADLINE_S = 10.0
PAUSE_S = 0.2
_PASSING = frozenset(
    (
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    )
)
"""What a broker says for a moment after it has begun."""
_WHO = "audit"


def committed_sequences(settings: KafkaSettings) -> dict[str, tuple[int, int]] | None:
    """Stream → (first offset that the topic still has, committed offset), half-open.

    None for a group that began at the end of its topics: nobody knows any more where that was.
    Both clients commit to the same place, so this asks through librdkafka for either.

    Raises:
        SourceRefused: broker, topic or user do not exist.
    """
    if settings.offset_reset == "latest":
        return None
    errors: list[KafkaError] = []
    told = {
        **settings.librdkafka(),
        "group.id": settings.group,
        "log_level": "0",
        "error_cb": errors.append,
    }
    made = made_or_refused(lambda: Consumer(told), who=_WHO)
    assert isinstance(made, Consumer)
    try:
        topics = check_topics(made, settings.topics, settings, who=_WHO, errors=errors)
        places = [TopicPartition(topic, at) for topic, found in topics.items() for at in found]
        ranges = {}
        for place in _committed(made, places):
            asked = TopicPartition(place.topic, place.partition)
            first, _ = made.get_watermark_offsets(asked, timeout=ASK_DEADLINE_S)
            stop = max(first, place.offset)  # nothing committed is a negative offset
            ranges[stream_name((place.topic, place.partition))] = (first, stop)
        return ranges
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
