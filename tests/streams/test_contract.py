"""MQTT, Fluentd and ZeroMQ keep what every source promises."""

from collections.abc import Iterator, Sequence
from itertools import count

import pytest
import zmq

from ingest.sources.fluentd import FluentdSettings, FluentdSource
from ingest.sources.mqtt import MqttSource
from ingest.sources.mqtt_settings import MqttSettings
from ingest.sources.zeromq import ZeromqSource
from ingest.sources.zeromq_settings import ZeromqSettings
from tests.cluster.material import free_ports
from tests.streams.contract import SourceContract
from tests.streams.forwarder import Forwarder
from tests.streams.mosquitto import Mosquitto

NUMBERS = count()


class MqttCase:
    redelivers = True
    orders = True

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self._name = f"contract-{next(NUMBERS)}"

    def produce(self, bodies: Sequence[bytes]) -> None:
        self._broker.publish(f"{self._name}/a", bodies)

    def source(self) -> MqttSource:
        settings = MqttSettings(broker=self._broker.address, topics=(f"{self._name}/#",))
        return MqttSource(self._name, settings)

    def refused(self) -> MqttSource:
        return MqttSource("refused", MqttSettings(broker="127.0.0.1:1", topics=("a",)))


class TestMqtt(SourceContract):
    @pytest.fixture
    def case(self, mosquitto: Mosquitto) -> MqttCase:
        return MqttCase(mosquitto)


class FluentdCase:
    redelivers = True
    orders = True

    def __init__(self) -> None:
        (self._port,) = free_ports(1)
        self.sender = Forwarder(("127.0.0.1", self._port))

    def produce(self, bodies: Sequence[bytes]) -> None:
        self.sender.send(bodies)

    def source(self) -> FluentdSource:
        return FluentdSource("events", FluentdSettings(listen=f"127.0.0.1:{self._port}"))

    def refused(self) -> FluentdSource:
        # An address that no machine has (set aside for documentation).
        settings = FluentdSettings(listen="192.0.2.1:24224", insecure=True)
        return FluentdSource("refused", settings)


class TestFluentd(SourceContract):
    @pytest.fixture
    def case(self) -> Iterator[FluentdCase]:
        made = FluentdCase()
        yield made
        made.sender.close()


class ZeromqCase:
    redelivers = False
    orders = True

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        (port,) = free_ports(1)
        self._endpoint = f"tcp://127.0.0.1:{port}"
        self._push: zmq.Socket[bytes] | None = None

    def produce(self, bodies: Sequence[bytes]) -> None:
        if self._push is None:
            self._push = self._context.socket(zmq.PUSH)
            self._push.set(zmq.SNDTIMEO, 60_000)
            self._push.connect(self._endpoint)
        for body in bodies:
            self._push.send(body)

    def source(self) -> ZeromqSource:
        # Each source has a sender of its own: the last one's line to a closed source may swallow.
        self.close_sender()
        return ZeromqSource("pull", ZeromqSettings(bind=(self._endpoint,)))

    def refused(self) -> ZeromqSource:
        return ZeromqSource("refused", ZeromqSettings(connect=("nowhere at all",)))

    def close_sender(self) -> None:
        if self._push is not None:
            self._push.close(linger=0)
            self._push = None

    def close(self) -> None:
        self.close_sender()
        self._context.term()


class TestZeromq(SourceContract):
    @pytest.fixture
    def case(self) -> Iterator[ZeromqCase]:
        made = ZeromqCase()
        yield made
        made.close()
