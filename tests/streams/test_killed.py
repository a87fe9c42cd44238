"""Sources into a real node: killed, restarted, poisoned; every record is stored once."""

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
from tests.streams.ingesting import IngestProcess, run_command
from tests.streams.mosquitto import Mosquitto
from tests.streams.requester import Requester
from tests.streams.waiting import pass_time, wait_until

DEADLINE_S = 180.0
KILLS = 20
RECORDS = 200
"""Of each kind between two kills."""
KINDS = ("mqtt", "fluentd", "zeromq", "files")
FORMATS = {"fluentd": "fluentd", "files": "ndjson"}
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


def numbers(url: str, collection: str) -> list[int]:
    with Client(url) as client:
        try:
            table = client.query(collection, columns=["n"], metadata=False).table
        except NotFound:
            return []
    return sorted(table["n"].to_pylist())


def stored(url: str) -> int:
    with Client(url) as client:
        return sum(about["records"] for about in client.status()["collections"].values())


class Senders:
    """One sender of each kind; every one repeats what was not confirmed, as its protocol has it.

    Attributes:
        records, poison: what each kind was given.
    """

    def __init__(self, mosquitto: Mosquitto, log: Path, rng: random.Random) -> None:
        self._mosquitto, self._log, self._rng = mosquitto, log, rng
        self._fluentd_port, self._zeromq_port = free_ports(2)
        self._forwarder = Forwarder(("127.0.0.1", self._fluentd_port))
        self._requester = Requester(f"tcp://127.0.0.1:{self._zeromq_port}")
        self.records = dict.fromkeys(KINDS, 0)
        self.poison: dict[str, list[bytes]] = {kind: [] for kind in KINDS}

    def close(self) -> None:
        self._forwarder.close()
        self._requester.close()

    def write_config(self, folder: Path, url: str) -> Path:
        config = folder / "ingest.toml"
        kinds = {
            "mqtt": f'broker = "{self._mosquitto.address}"\ntopics = ["killed/#"]',
            "fluentd": f'listen = "127.0.0.1:{self._fluentd_port}"',
            "zeromq": f'pattern = "router"\nbind = ["tcp://127.0.0.1:{self._zeromq_port}"]',
            "files": f'paths = ["{self._log.name}"]',
        }
        config.write_text(
            f'url = "{url}"\n'
            + "".join(
                f'[[source]]\nname = "{kind}"\nkind = "{kind}"\ncollection = "{kind}"\n'
                f'format = "{FORMATS.get(kind, "json")}"\ndead_letters = "dead.ndjson"\n'
                f"[source.{kind}]\n{settings}\n"
                for kind, settings in kinds.items()
            )
        )
        return config

    def send(self, count: int) -> None:
        """Records of every kind, and now and then something that is none."""
        for kind in KINDS:
            first = self.records[kind]
            fresh = [record(number) for number in range(first, first + count)]
            self.records[kind] += count
            bodies = [orjson.dumps(one) for one in fresh]
            poisonous = self._rng.random() < 0.3
            if poisonous:
                # Different each time, so that a letter for each can be asked for.
                letter = POISON[len(self.poison[kind]) % len(POISON)] + b"%d" % first
                self.poison[kind].append(letter)
                bodies.append(letter)
            if kind == "mqtt":
                self._mosquitto.publish("killed/a", bodies)
            elif kind == "zeromq":
                self._requester.send(bodies)
            elif kind == "files":
                with self._log.open("ab") as log:
                    log.writelines(body + b"\n" for body in bodies)
            else:
                events = [msgpack.packb([1_688_169_600, one]) for one in fresh]
                chunks = [b"".join(events[at : at + 25]) for at in range(0, count, 25)]
                self._forwarder.send([*chunks, bodies[-1]] if poisonous else chunks)

    def is_done(self, url: str, dead_letters: Path) -> bool:
        """Whether everything is stored or dead, and every sender has heard of it."""
        if self._forwarder.waiting or self._requester.waiting:
            return False
        letters = list(read_letters(dead_letters)) if dead_letters.exists() else []
        return all(
            len(numbers(url, kind)) >= self.records[kind]
            and {one.payload for one in letters if one.source == kind} == set(self.poison[kind])
            for kind in KINDS
        )


@pytest.mark.timeout(900)
def test_killed_twenty_times_at_random_moments(
    url: str, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """One process carries sources of four kinds, so that each kill hits all of them: while they
    start, while they store, while nothing is left. The MQTT broker is restarted in between."""
    rng = random.Random(7)
    senders = Senders(mosquitto, tmp_path / "log.ndjson", rng)
    config = senders.write_config(tmp_path, url)
    try:
        with IngestProcess(config) as process:
            mosquitto.wait_subscribed("killed/#")
            for kill in range(KILLS):
                before = stored(url)
                senders.send(RECORDS)
                if kill == KILLS // 2:
                    mosquitto.restart()
                if rng.random() < 0.3:
                    pass_time(rng.uniform(0.0, 1.0))
                else:
                    goal = before + rng.randint(1, len(KINDS) * RECORDS)
                    wait_until(
                        lambda goal=goal: stored(url) >= goal, "progress", deadline_s=DEADLINE_S
                    )
                assert process.is_running(), process.log
                process.kill()
                senders.send(RECORDS // 4)
                process.start()
            wait_until(
                lambda: senders.is_done(url, tmp_path / "dead.ndjson"),
                "everything",
                deadline_s=DEADLINE_S,
            )
            assert process.stop() == 4, process.log
    finally:
        senders.close()
    for kind in KINDS:
        assert numbers(url, kind) == list(range(senders.records[kind])), kind
    audit = run_command("ingest", "audit", "--config", str(config), "--json", folder=tmp_path)
    (stream,) = orjson.loads(audit.stdout)["files"]
    done, dead = senders.records["files"], len(senders.poison["files"])
    assert (stream["stored"], stream["dead"], stream["gap"]) == (done, dead, 0)
    assert (stream["first"], stream["stop"]) == (0, done + dead)
    left = MqttSource("mqtt", MqttSettings(broker=mosquitto.address, topics=("killed/#",)))
    left.open()
    assert left.poll(0.5) == ()
    left.close()


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
