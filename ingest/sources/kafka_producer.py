"""Messages to a Kafka topic, each confirmed by all replicas or counted as failed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingest.errors import SourceLost
from ingest.sources.kafka_cluster import check_topics, error_text, made_or_refused, raise_refusal
from ingest.sources.kafka_settings import KafkaSettings

DELIVERY_DEADLINE_S = 60.0
"""How long a message is tried; a broker that restarts is back sooner."""
ROOM_WAIT_S = 0.5
MESSAGE_BYTES_MAX = 16 << 20
DEFAULTS: Mapping[str, str] = {
    "client.id": "zring",
    "linger.ms": "5",
    "queue.buffering.max.messages": "200000",
    "queue.buffering.max.kbytes": str(64 << 10),
    "message.max.bytes": str(MESSAGE_BYTES_MAX),
    "delivery.timeout.ms": str(int(DELIVERY_DEADLINE_S * 1000)),
    "log_level": "0",
}
OURS: Mapping[str, str] = {"acks": "all", "enable.idempotence": "true"}
"""No message is lost, and none doubled by a retry."""


class KafkaProducer:
    """Sends to one topic of `settings`; used by one thread.

    Attributes:
        delivered: messages that the brokers confirmed.
        failed: reason → messages that they did not.
    """

    def __init__(self, settings: KafkaSettings, topic: str, *, who: str) -> None:
        self._settings, self._topic, self._who = settings, topic, who
        self._errors: list[KafkaError] = []
        self._producer: Producer | None = None
        self.delivered = 0
        self.failed: Counter[str] = Counter()

    def open(self) -> None:
        """Connect, unless that is done.

        Raises:
            SourceRefused: broker, topic or user do not exist, or a setting is wrong.
        """
        if self._producer is not None:
            return
        told: dict[str, Any] = {
            **DEFAULTS,
            **self._settings.options,
            **self._settings.librdkafka(),
            **OURS,
            "error_cb": self._errors.append,
        }
        made: Any = made_or_refused(lambda: Producer(told), who=self._who)
        check_topics(made, [self._topic], self._settings, who=self._who, errors=self._errors)
        self._producer = made

    def send(
        self,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Hand one message over; waits while the queue is full.

        Raises:
            SourceRefused: the broker does not take messages from us.
        """
        assert self._producer is not None, "open() comes first"
        while True:
            try:
                self._producer.produce(
                    self._topic, value, key, headers=list(headers), on_delivery=self._count
                )
            except BufferError:
                self._producer.poll(ROOM_WAIT_S)
                raise_refusal(self._errors, self._settings, who=self._who)
            except KafkaException as error:
                self.failed[error_text(error)] += 1
                return
            else:
                return

    def serve(self) -> None:
        """Let delivery reports come in; call it now and then."""
        assert self._producer is not None, "open() comes first"
        self._producer.poll(0)

    def flush(self, *, timeout_s: float = DELIVERY_DEADLINE_S + 5.0) -> None:
        """Wait until every message is confirmed or has failed.

        Raises:
            SourceLost: some are neither after the time-out.
            SourceRefused: the broker does not take messages from us.
        """
        if self._producer is None:
            return
        left = self._producer.flush(timeout_s)
        raise_refusal(self._errors, self._settings, who=self._who)
        if left:
            reason = error_text(self._errors[-1]) if self._errors else "no answer"
            raise SourceLost(f"{self._who}: {left} messages are not confirmed: {reason}")

    def close(self) -> None:
        """Give up what is not confirmed, and let go; safe to call twice."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(1.0)

    def _count(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.failed[error_text(error)] += 1
