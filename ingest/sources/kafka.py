"""The door of the Kafka sources: the settings say which client reads, and only that is imported."""

from ingest.sources.kafka_settings import KafkaSettings
from ingest.sources.source import Source


def make_kafka_source(name: str, settings: KafkaSettings) -> Source:
    """A source that is not open yet; its client's library must be installed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    if settings.client == "pykafka":
        from ingest.sources.kafka_pykafka import PykafkaSource

        return PykafkaSource(name, settings)
    from ingest.sources.kafka_confluent import ConfluentSource

    return ConfluentSource(name, settings)
