"""MQTT and Fluentd into a real node: killed, restarted, poisoned; every record is stored once."""

import random
from collections.abc import Iterator
from pathlib import Path

import msgpack
import orjson
import pytest
from click.testing import CliRunner

from ingest.deadletters import read_letters
from ingest.demo.nodes import LocalCluster
from ingest.files import ingest
from ingest.sources.mqtt import MqttSource
from ingest.sources.mqtt_settings import MqttSettings
from node.client import Client
from node.errors import NotFound
from tests.cluster.material import free_ports, make_places
from tests.streams.forwarder import Forwarder
from tests.streams.ingesting import IngestProcess
from tests.streams.mosquitto import Mosquitto
from tests.streams.waiting import wait_until

DEADLINE_S = 90.0
POISON = [b'{"sensor": "s", "time"', b'{"level": "info"}', b"\x1f\x8b\x08 no gzip"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One node."""
    with LocalCluster(make_places(tmp_path_factory.mktemp("node"))[:1]) as started:
        yield started.urls[0]


def record(number: int) -> dict[str, object]:
    return {
        "sensor": f"s{number % 7}",
        "time": f"2023-07-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
        "lon": 135.0 + number % 160 / 100,
        "lat": 33.5,
        "n": number,
    }


def write_config(folder: Path, url: str, kind: str, settings: str, *, form: str) -> Path:
    config = folder / "ingest.toml"
    config.write_text(
        f'url = "{url}"\n[[source]]\nname = "{kind}"\nkind = "{kind}"\ncollection = "{kind}"\n'
        f'format = "{form}"\ndead_letters = "dead.ndjson"\n[source.{kind}]\n{settings}\n'
    )
    return config


def stored(url: str, collection: str) -> list[int]:
    with Client(url) as client:
        try:
            table = client.query(collection, columns=["n"], metadata=False).table
        except NotFound:
            return []
    return sorted(table["n"].to_pylist())


def dead_payloads(folder: Path) -> set[bytes | None]:
    return {letter.payload for letter in read_letters(folder / "dead.ndjson")}


def count(url: str, collection: str) -> int:
    with Client(url) as client:
        about = client.status()["collections"].get(collection)
    return about["records"] if about else 0


@pytest.mark.timeout(300)
def test_mqtt_killed_and_its_broker_restarted(
    url: str, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    rng = random.Random(7)
    settings = f'broker = "{mosquitto.address}"\ntopics = ["killed/#"]'
    config = write_config(tmp_path, url, "mqtt", settings, form="json")
    process, sent = IngestProcess(config), 0

    def publish(messages: int) -> None:
        nonlocal sent
        mosquitto.publish("killed/a", [orjson.dumps(record(sent + at)) for at in range(messages)])
        sent += messages

    with process:
        mosquitto.wait_subscribed("killed/#")
        for round_number in range(len(POISON)):
            before = count(url, "mqtt")
            publish(1_500)
            mosquitto.publish("killed/poison", [POISON[round_number]])
            wait_until(
                lambda before=before: count(url, "mqtt") > before,
                "some are stored",
                deadline_s=DEADLINE_S,
            )
            publish(rng.randint(1, 800))
            if round_number == 1:
                mosquitto.restart()
            else:
                process.kill()
                publish(200)
                process.start()
        wait_until(lambda: stored(url, "mqtt") == list(range(sent)), "all", deadline_s=DEADLINE_S)
        wait_until(
            lambda: dead_payloads(tmp_path) == set(POISON), "the poison", deadline_s=DEADLINE_S
        )
        process.stop()
    left = MqttSource("mqtt", MqttSettings(broker=mosquitto.address, topics=("killed/#",)))
    left.open()
    assert left.poll(0.5) == ()
    left.close()


@pytest.mark.timeout(300)
def test_fluentd_killed(url: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    config = write_config(tmp_path, url, "fluentd", f'listen = "127.0.0.1:{port}"', form="fluentd")
    process, sender, sent = IngestProcess(config), Forwarder(("127.0.0.1", port)), 0

    def send(chunks: int) -> None:
        nonlocal sent
        for _ in range(chunks):
            events = [[1_688_169_600, record(sent + at)] for at in range(50)]
            sender.send([b"".join(map(msgpack.packb, events))])
            sent += len(events)

    try:
        with process:
            for poison in POISON:
                before = count(url, "fluentd")
                send(40)
                sender.send([poison])
                wait_until(
                    lambda before=before: count(url, "fluentd") > before,
                    "some are stored",
                    deadline_s=DEADLINE_S,
                )
                process.kill()
                send(10)
                process.start()
            wait_until(lambda: not sender.waiting, "answers", deadline_s=DEADLINE_S)
            process.stop()
    finally:
        sender.close()
    assert stored(url, "fluentd") == list(range(sent))
    assert dead_payloads(tmp_path) == set(POISON)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("mqtt", "--broker", "127.0.0.1:1", "--topic", "a"), "mqtt.broker=127.0.0.1:1"),
        (("mqtt", "--topic", "a/#/b"), "mqtt.topics=a/#/b"),
        (("fluentd", "--listen", "0.0.0.0:24224"), "fluentd.listen=0.0.0.0:24224"),
        (("fluentd", "--user", "nobody"), "--user nobody is no NAME=TEXT"),
        (("zeromq", "--connect", "nowhere"), "zeromq.connect=nowhere"),
    ],
)
def test_what_cannot_work_is_one_line(url: str, words: tuple[str, ...], named: str) -> None:
    done = CliRunner().invoke(ingest, [*words, "--collection", "c", "--url", url])
    assert done.exit_code == 2, done.output
    assert named in done.output
    assert "Traceback" not in done.output
