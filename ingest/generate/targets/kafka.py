"""A topic of Kafka; messages of one sensor keep their order, because the sensor is the key."""

from collections import Counter
from collections.abc import Sequence

from ingest.generate.payloads import Message
from ingest.generate.targets.target import Place
from ingest.sources.kafka_producer import KafkaProducer
from ingest.sources.kafka_settings import KafkaSettings


class KafkaTarget:
    """See `MessageTarget`; a message is delivered when all replicas have it."""

    def __init__(self, place: Place) -> None:
        topic = place.need("topic", "kafka")
        settings = KafkaSettings(
            brokers=(place.need("address", "kafka"),), topics=(topic,), options=place.options
        )
        self._producer = KafkaProducer(settings, topic, who="generate")

    @property
    def delivered(self) -> int:
        """See `MessageTarget`."""
        return self._producer.delivered

    @property
    def failed(self) -> Counter[str]:
        """See `MessageTarget`."""
        return self._producer.failed

    def open(self) -> None:
        """See `MessageTarget`."""
        self._producer.open()

    def send(self, messages: Sequence[Message]) -> None:
        """See `MessageTarget`."""
        send = self._producer.send
        for message in messages:
            send(message.payload, message.key)
        self._producer.serve()

    def finish(self) -> None:
        """See `MessageTarget`."""
        try:
            self._producer.flush()
        finally:
            self._producer.close()
