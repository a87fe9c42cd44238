"""Real brokers that the tests of one run share."""

from collections.abc import Iterator

import pytest

from tests.streams.broker import Broker
from tests.streams.mosquitto import Mosquitto


@pytest.fixture(scope="session")
def kafka_39(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Kafka 3.9, the last line that both clients speak with; a test makes topics of its own."""
    yield from _running("3.9", tmp_path_factory)


@pytest.fixture(scope="session")
def kafka_42(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Kafka 4.2; whoever stops it starts it again."""
    yield from _running("4.2", tmp_path_factory)


def _running(version: str, folders: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(version, folders.mktemp(f"kafka-{version}"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """An MQTT broker; a test uses topics and client ids of its own."""
    broker = Mosquitto(tmp_path_factory.mktemp("mosquitto"))
    broker.start()
    yield broker
    broker.stop()
