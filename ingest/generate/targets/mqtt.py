"""A topic of an MQTT broker; `{sensor}` in it stands for the sensor of each message."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.errors import SourceRefused
from ingest.generate.payloads import Message
from ingest.generate.targets.target import Place
from ingest.sources.addresses import split_address
from ingest.sources.mqtt_settings import SCHEMES

SENSOR = "{sensor}"
WAITING_MAX = 2_000
"""Messages handed to the client and not confirmed; a broker takes some dozens of them at a time."""
CONNECT_TIMEOUT_S = 8.0
FINISH_TIMEOUT_S = 30.0


class MqttTarget:
    """See `MessageTarget`; QoS 1: a message is delivered when the broker has confirmed it."""

    def __init__(self, place: Place) -> None:
        self._address: str = place.need("address", "mqtt")
        self._topic: str = place.need("topic", "mqtt")
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5
        )
        if user := place.options.get("user"):
            client.username_pw_set(user, place.options.get("password"))
        client.max_inflight_messages_set(WAITING_MAX)
        client.on_publish = self._published
        client.on_connect = self._connected
        self._answer: str | None = None
        self._changed = threading.Condition()
        self._sent = 0
        self.delivered = 0
        self.failed: Counter[str] = Counter()

    def open(self) -> None:
        """See `MessageTarget`."""
        host, port = split_address(self._address, setting="--brokers", schemes=SCHEMES)
        if self._address.startswith("mqtts://"):
            self._client.tls_set()
        try:
            self._client.connect(host, port)
        except OSError as error:
            raise SourceRefused(f"--brokers {self._address} cannot be reached: {error}") from None
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._answer is not None, CONNECT_TIMEOUT_S)
        if self._answer != "":
            self._client.loop_stop()
            why = self._answer or "no answer of an MQTT 5 broker"
            raise SourceRefused(f"--brokers {self._address} refused the connection: {why}")

    def send(self, messages: Sequence[Message]) -> None:
        """See `MessageTarget`."""
        for message in messages:
            topic = self._topic.replace(SENSOR, message.key.decode(errors="replace"))
            self._client.publish(topic, message.payload, qos=1)
            self._sent += 1
            if self._sent - self.delivered >= WAITING_MAX:
                self._wait(WAITING_MAX // 2)

    def finish(self) -> None:
        """See `MessageTarget`."""
        self._wait(0)
        if lost := self._sent - self.delivered:
            self.failed["not confirmed by the broker"] += lost
        self._client.disconnect()
        self._client.loop_stop()

    def _wait(self, waiting_max: int) -> None:
        """Wait until so few messages are not confirmed, as long as there is some progress."""
        deadline_s, before = time.monotonic() + FINISH_TIMEOUT_S, self.delivered
        with self._changed:
            while self._sent - self.delivered > waiting_max and time.monotonic() < deadline_s:
                self._changed.wait(0.5)
                if self.delivered > before:
                    deadline_s, before = time.monotonic() + FINISH_TIMEOUT_S, self.delivered

    def _published(self, *_: Any) -> None:
        self.delivered += 1  # only the client's thread does
        if self.delivered == self._sent or self.delivered % 256 == 0:
            with self._changed:
                self._changed.notify_all()

    def _connected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        with self._changed:
            self._answer = str(reason) if reason.is_failure else ""
            self._changed.notify_all()
