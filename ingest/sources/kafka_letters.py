"""Dead letters in a Kafka topic: the original bytes as the message, what is known of it in headers.

So a reader of the topic sees what the producer sent, and can send it again as it is.
"""

from collections.abc import Sequence
from dataclasses import replace

from ingest.deadletters import DeadLetter
from ingest.errors import DeadLettersRefused, SourceLost, SourceRefused
from ingest.sources.kafka_producer import KafkaProducer
from ingest.sources.kafka_settings import KafkaSettings

CONFIRM_DEADLINE_S = 20.0
"""The pump calls again with the same letters, so that a letter may be there twice."""


class KafkaLetters:
    """See `DeadLetterSink`; a letter is durable when all replicas have it.

    Headers, all texts: `zring-source`, `zring-stream`, `zring-sequence`, `zring-produced-ms`,
    `zring-dead-us`, `zring-reason`, `zring-detail`, `zring-records`.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        # Options are the consumer's; where and as whom is the same.
        place = replace(settings, topics=(topic,), options={})
        self._topic = topic
        self._producer = KafkaProducer(place, topic, who=f"dead letters in topic {topic}")

    def open(self) -> None:
        """See `DeadLetterSink.open`."""
        self._producer.open()

    def add(self, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetterSink.add`."""
        self._producer.failed.clear()
        try:
            self._producer.open()
            for letter in letters:
                self._producer.send(letter.payload, letter.key, _headers(letter))
            self._producer.flush(timeout_s=CONFIRM_DEADLINE_S)
        except (SourceLost, SourceRefused) as error:
            raise DeadLettersRefused(str(error)) from None
        if self._producer.failed:
            reason, count = self._producer.failed.most_common(1)[0]
            raise DeadLettersRefused(
                f"topic {self._topic} does not take {count} dead letters: {reason}"
            )

    def close(self) -> None:
        """See `DeadLetterSink.close`."""
        self._producer.close()


def _headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    values = {
        "source": letter.source,
        "stream": letter.stream,
        "sequence": letter.sequence,
        "produced-ms": letter.produced_ms,
        "dead-us": letter.dead_us,
        "reason": letter.reason,
        "detail": letter.detail,
        "records": letter.records,
    }
    return [(f"zring-{name}", str(value).encode()) for name, value in values.items()]
