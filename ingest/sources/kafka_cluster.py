"""What consumers, producers and audits of Kafka share: is the cluster there, does it know us?"""

import time
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from ingest.errors import SourceRefused
from ingest.sources.kafka_settings import KafkaSettings

OPEN_DEADLINE_S = 4.0
OPEN_STEP_S = 1.0
"""After each step the errors that came meanwhile are looked at: a wrong password is known soon."""

REFUSED = frozenset(
    (
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.INVALID_GROUP_ID,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.FENCED_INSTANCE_ID,
    )
)
"""Errors that stay until a person changes something."""
UNKNOWN_TOPIC = frozenset(
    (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
)


def check_topics(
    asker: Consumer | Producer,
    topics: Sequence[str],
    settings: KafkaSettings,
    *,
    who: str,
    errors: Sequence[KafkaError],
) -> dict[str, list[int]]:
    """Wait until the cluster answers; returns topic → numbers of its Kafka partitions.

    Args:
        who: begins every message.
        errors: grows while the client is polled: what its `error_cb` was told.

    Raises:
        SourceRefused: it does not answer in time, or does not know us or a topic.
    """
    deadline_s = time.monotonic() + OPEN_DEADLINE_S
    found = {}
    for topic in topics:
        while True:
            try:
                listed = asker.list_topics(topic, timeout=OPEN_STEP_S)
                break
            except KafkaException as error:
                asker.poll(0)  # lets the reasons be told
                raise_refusal(errors, settings, who=who)
                hopeless = any(one.code() == KafkaError._SSL for one in errors)
                if hopeless or time.monotonic() > deadline_s:
                    reasons = [error_text(one) for one in errors] or [error_text(error)]
                    raise SourceRefused(
                        f"{who}: no broker at {', '.join(settings.addresses())} answers "
                        f"({reasons[0]}); check --brokers, the network and whether it wants TLS "
                        "or SASL"
                    ) from None
        trouble = listed.topics[topic].error
        if trouble is not None:
            raise refusal(trouble, settings, who=who, topic=topic)
        found[topic] = sorted(listed.topics[topic].partitions)
    return found


def raise_refusal(errors: Sequence[KafkaError], settings: KafkaSettings, *, who: str) -> None:
    """Raise the first of the errors that will not mend itself.

    Raises:
        SourceRefused: there is one.
    """
    for error in errors:
        if error.code() in REFUSED or error.fatal():
            raise refusal(error, settings, who=who)


def refusal(
    error: KafkaError, settings: KafkaSettings, *, who: str, topic: str | None = None
) -> SourceRefused:
    """What a person must change, as one line."""
    if error.code() in UNKNOWN_TOPIC:
        return SourceRefused(
            f"{who}: topic {topic or ', '.join(settings.topics)} does not exist at "
            f"{', '.join(settings.addresses())}; create it or correct its name"
        )
    if error.code() in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
        return SourceRefused(
            f"{who}: the broker does not know this user or password "
            f"({settings.sasl_user or 'no user'}, {settings.sasl_mechanism or 'no SASL'}): "
            f"{error_text(error)}"
        )
    return SourceRefused(f"{who}: {error_text(error)}")


def made_or_refused(make: Callable[[], object], *, who: str) -> object:
    """A client, unless librdkafka does not accept its settings.

    Raises:
        SourceRefused: it does not; the message names the setting.
    """
    try:
        return make()
    except (KafkaException, ValueError, TypeError) as error:
        raise SourceRefused(f"{who}: {error_text(error)}") from None


def error_text(error: Exception | KafkaError) -> str:
    """What happened, as one line."""
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    text = inner.str() if isinstance(inner, KafkaError) else str(inner)
    return " ".join(text.split())
