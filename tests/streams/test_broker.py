"""The development broker: one command starts it, keeps its messages and says what is wrong."""

import subprocess
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.streams.broker import ANSWER_DEADLINE_S, COMMAND, Broker


def _say(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60.0)
    return done.returncode, done.stderr


def test_messages_outlive_a_restart_and_a_kill(kafka_42: Broker) -> None:
    kafka_42.create_topic("kept")
    kafka_42.produce("kept", [b"before"])
    kafka_42.restart()
    kafka_42.produce("kept", [b"between"])
    kafka_42.kill()
    kafka_42.start()
    kafka_42.produce("kept", [b"after"])
    consumer = Consumer({"bootstrap.servers": kafka_42.address, "group.id": "kept"})
    consumer.assign([TopicPartition("kept", 0, 0)])
    found = []
    while len(found) < 3:
        message = consumer.poll(ANSWER_DEADLINE_S)
        assert message is not None, found
        if message.error() is None:
            found.append(message.value())
    consumer.close()
    assert found == [b"before", b"between", b"after"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "say start, stop, status or fetch"),
        (("begin",), "begin is not one of"),
        (("start", "--version", "2.8"), "--version 2.8 is not one of 3.9, 4.2"),
        (("start", "--port"), "--port needs a value"),
        (("status", "--data", "nowhere"), "no broker runs on nowhere"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: tuple[str, ...], reason: str) -> None:
    code, errors = _say(*arguments)
    assert code == 1
    assert reason in errors


def test_a_second_broker_on_the_same_port_is_refused(kafka_39: Broker, tmp_path: Path) -> None:
    port = kafka_39.address.rpartition(":")[2]
    code, errors = _say("start", "--port", port, "--data", str(tmp_path))
    assert code == 1
    assert f"port {port} is taken" in errors
