"""`zring generate` to a real broker and to a listener: everything is confirmed and arrives."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgpack
import orjson
import pytest
from click.testing import CliRunner

from ingest.generate.command import generate
from ingest.sources.fluentd import FluentdSettings, FluentdSource
from ingest.sources.mqtt import MqttSource
from ingest.sources.mqtt_settings import MqttSettings
from ingest.sources.source import Messages, Source
from tests.streams.mosquitto import Mosquitto
from tests.streams.waiting import wait_until

COUNT = 3_000


@contextmanager
def drained(source: Source) -> Iterator[list[Messages]]:
    """What the source brings, acknowledged as it comes, by a thread of its own."""
    found: list[Messages] = []
    stop = threading.Event()

    def drain() -> None:
        while not stop.is_set():
            for messages in source.poll(0.05):
                found.append(messages)
                source.acknowledge(messages)

    source.open()
    thread = threading.Thread(target=drain)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
        source.close()


def play(*words: str) -> dict[str, object]:
    done = CliRunner().invoke(generate, [*words, "--count", str(COUNT), "--json"])
    assert done.exit_code == 0, done.output
    return dict(orjson.loads(done.stdout))


def test_messages_to_a_topic_for_each_sensor(mosquitto: Mosquitto) -> None:
    settings = MqttSettings(broker=mosquitto.address, topics=("generated/#",))
    with drained(MqttSource("generated", settings)) as found:
        address = ("--brokers", mosquitto.address, "--topic", "generated/{sensor}")
        summary = play("--to", "mqtt", *address, "--broken", "0.05")
        sent = int(str(summary["sent"]))
        assert sent > COUNT and summary["delivered"] == sent
        wait_until(lambda: sum(map(len, found)) == sent, f"{sent} messages")
    pairs = [
        (key, payload)
        for messages in found
        for key, payload in zip(messages.keys, messages.payloads, strict=True)
    ]
    for key, payload in pairs[:100]:
        if payload is not None and payload.startswith(b'{"sensor"') and payload.endswith(b"}"):
            assert key == f"generated/{orjson.loads(payload)['sensor']}".encode()


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_events_in_chunks(form: str) -> None:
    source = FluentdSource("generated", FluentdSettings(listen="127.0.0.1:0"))
    with drained(source) as found:
        host, port = source.address
        summary = play("--to", "fluentd", "--brokers", f"{host}:{port}", "--format", form)
        assert summary["delivered"] == summary["sent"] == COUNT
    unpacker = msgpack.Unpacker()
    for messages in found:
        for payload in messages.payloads:
            unpacker.feed(payload)
    events = list(unpacker)
    assert len(events) == COUNT
    assert {"sensor", "time", "lon", "lat"} <= set(events[0][1])


@pytest.mark.parametrize("kind", ["mqtt", "fluentd"])
def test_nobody_is_there(kind: str) -> None:
    words = ["--to", kind, "--brokers", "127.0.0.1:1", "--topic", "a", "--count", "10"]
    done = CliRunner().invoke(generate, words)
    assert done.exit_code == 2, done.output
    assert "--brokers 127.0.0.1:1 cannot be reached" in done.output
