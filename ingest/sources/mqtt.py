"""MQTT 5: messages of a broker's topics, acknowledged one by one after the store has them.

How nothing is lost: the session outlives this process (a client id that stays the same, no clean
start), every message is asked for with QoS 1, and the broker hears PUBACK only when the pump has
settled the message. How memory stays bounded: the broker may have `in_flight_max` messages
unacknowledged (MQTT 5's receive maximum) and waits then; besides, the socket is not read while
`mqtt_arrivals.QUEUE_BYTES_MAX` wait here.

The stream of a message is the topic filter it came by, its key the topic itself: filters are few
and known, topics may be as many as there are sensors.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ingest.errors import SourceLost, SourceRefused
from ingest.sources.mqtt_arrivals import Arrival, Arrivals
from ingest.sources.mqtt_connection import PahoConnection
from ingest.sources.mqtt_settings import MqttSettings, matches
from ingest.sources.source import POLL_MESSAGES_MAX, Lag, Messages

TOPICS_REMEMBERED = 100_000
"""Topics whose filter is remembered; then the table begins anew."""
UNMATCHED = "unmatched"
"""Stream of messages that no filter asks for: of filters that the session has from earlier."""


@dataclass(slots=True)
class _Delivery:
    """One poll: its numbers at the broker, and how many of its streams are not yet settled."""

    connection: int
    numbers: list[int]
    unsettled: int


class MqttSource:
    """See `ingest.sources.Source`."""

    def __init__(self, name: str, settings: MqttSettings) -> None:
        self._name, self._settings = name, settings
        self._arrivals = Arrivals(settings.in_flight_max + POLL_MESSAGES_MAX)
        self._connection: PahoConnection | None = None
        self._deliveries: deque[_Delivery] = deque()
        self._streams: dict[bytes, str] = {}
        self._sequences: dict[str, int] = {}

    @property
    def name(self) -> str:
        return self._name

    def open(self) -> None:
        self._connection = PahoConnection(
            self._settings, self._settings.client_id or f"zring-{self._name}", self._arrivals
        )
        self._connection.start()

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        connection = self._connection
        assert connection is not None, "poll before open"
        arrivals = self._arrivals.take(
            timeout_s, lambda: isinstance(connection.trouble, SourceRefused)
        )
        if arrivals:
            return self._grouped(arrivals, connection.connection_count)
        trouble = connection.trouble
        if isinstance(trouble, SourceRefused):
            raise trouble
        if trouble is not None:
            raise SourceLost(str(trouble))
        return ()

    def _grouped(self, arrivals: list[Arrival], connection: int) -> list[Messages]:
        now_ms = time.time_ns() // 1_000_000
        groups: dict[str, list[Arrival]] = {}
        for arrival in arrivals:
            stream = self._streams.get(arrival[0])
            if stream is None:
                stream = self._stream_of(arrival[0])
            groups.setdefault(stream, []).append(arrival)
        numbers = [number for _, _, number in arrivals if number]
        delivery = _Delivery(connection, numbers, len(groups))
        self._deliveries.append(delivery)
        return [self._messages(name, group, now_ms, delivery) for name, group in groups.items()]

    def _messages(
        self, stream: str, group: list[Arrival], now_ms: int, delivery: _Delivery
    ) -> Messages:
        first = self._sequences.get(stream, 0)
        self._sequences[stream] = first + len(group)
        return Messages(
            stream,
            np.arange(first, first + len(group), dtype=np.int64),
            [payload or None for _, payload, _ in group],
            [topic for topic, _, _ in group],
            np.full(len(group), now_ms, np.int64),
            delivery,
        )

    def _stream_of(self, topic: bytes) -> str:
        if len(self._streams) >= TOPICS_REMEMBERED:
            self._streams.clear()
        text = topic.decode(errors="replace")
        found = next((name for name in self._settings.topics if matches(name, text)), UNMATCHED)
        self._streams[topic] = found
        return found

    def acknowledge(self, messages: Messages) -> None:
        delivery = messages.receipt
        assert isinstance(delivery, _Delivery) and delivery.unsettled > 0
        assert self._connection is not None
        delivery.unsettled -= 1
        # MQTT wants PUBACKs in the order of the messages, over all topics.
        while self._deliveries and not self._deliveries[0].unsettled:
            settled = self._deliveries.popleft()
            self._connection.send_acknowledgements(settled.connection, settled.numbers)

    def lost_streams(self) -> Sequence[str]:
        return ()

    def keep_alive(self) -> None:
        assert self._connection is not None
        if self._connection.trouble is not None and not len(self._arrivals):
            raise self._connection.trouble

    def lag(self) -> Lag:
        return Lag(None, {})

    def is_at_end(self) -> bool:
        return False

    def close(self) -> None:
        if self._connection is not None:
            self._connection.stop()
            self._connection = None
