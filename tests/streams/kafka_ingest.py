"""Kafka to nodes with real processes: what is produced, how ingest runs, and the judgement."""

import json
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import orjson

from ingest.demo.nodes import LocalCluster
from ingest.sources.kafka_offsets import ask_extents
from ingest.sources.kafka_settings import KafkaSettings
from node.client import Client
from node.errors import NotFound
from tests.streams.broker import Broker
from tests.streams.ingesting import IngestProcess, run_command
from tests.streams.waiting import wait_until

POISON: tuple[bytes | None, ...] = (
    b'{"id": "s1", "ts"',
    b"[1, 2, 3]",
    b'{"level": "info", "message": "a line of a log"}',
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabVJ",
    b"\x04\x22\x4d\x18\x60\x40\x82",
    None,
)
"""Truncated, of another schema, compressed by their senders, without a body."""

SESSIONS = {
    "confluent": '"session.timeout.ms" = "2000"\n"heartbeat.interval.ms" = "500"',
    "pykafka": 'session_timeout_ms = "2000"\nheartbeat_interval_ms = "300"',
}
"""A killed member should be missed soon: the tests wait for that."""


def line(number: int) -> bytes:
    """The record of a number; no two are the same record."""
    place = {"lon": 135.0 + number % 160 / 100, "lat": 33.0 + number % 150 / 100}
    return orjson.dumps(
        {"id": f"s{number % 7}", "ts": 1_688_169_600 + number, **place, "n": number}
    )


class Topic:
    """Records and poison in a topic, counted; and the settings of those who read it."""

    def __init__(self, broker: Broker, name: str, *, kafka_partitions: int, seed: int) -> None:
        self.broker, self.name = broker, name
        self.records = self.poison = 0
        self._random = random.Random(seed)
        broker.create_topic(name, kafka_partitions=kafka_partitions)

    def produce(self, count: int, *, poison_share: float = 0.01) -> None:
        """Append the next records, poison between them; keys spread them."""
        bodies: list[bytes | None] = []
        for number in range(self.records, self.records + count):
            bodies.append(line(number))
            if self._random.random() < poison_share:
                bodies.append(self._random.choice(POISON))
        self.poison += len(bodies) - count
        self.records += count
        self.broker.produce(self.name, bodies, keys=[b"%d" % at for at in range(len(bodies))])

    def produce_large(self) -> None:
        """Append a message of 10 MB, larger than any that is stored."""
        self.broker.produce(self.name, [b'{"id": "' + b"x" * 10_000_000 + b'"}'])
        self.poison += 1

    def is_acknowledged(self) -> bool:
        """Whether the group has committed everything."""
        return self.acknowledged() == self.records + self.poison

    def acknowledged(self) -> int:
        """How many messages the group has committed."""
        settings = KafkaSettings((self.broker.address,), (self.name,), self.name)
        return sum(extent.committed or 0 for extent in ask_extents(settings).values())

    def write_config(self, folder: Path, url: str, client: str) -> Path:
        """Settings of an ingest process; processes of one topic share a group."""
        folder.mkdir(exist_ok=True)
        config = folder / "ingest.toml"
        config.write_text(
            f"""
            url = "{url}"
            [[source]]
            name = "{self.name}"
            kind = "kafka"
            collection = "{self.name}"
            dead_letters = "{folder.parent / "dead.ndjson"}"
            [source.kafka]
            brokers = ["{self.broker.address}"]
            topics = ["{self.name}"]
            group = "{self.name}"
            client = "{client}"
            [source.kafka.options]
            {SESSIONS[client]}
            [source.mapping]
            time_format = "epoch-s"
            """
        )
        return config


def stored_numbers(cluster: LocalCluster, collection: str) -> list[int]:
    """The numbers of all records in the store, sorted."""
    with Client(cluster.urls[0]) as client:
        try:
            table = client.query(collection, columns=["n"]).table
        except NotFound:
            return []
    return sorted(table["n"].to_pylist())


def judge(cluster: LocalCluster, topic: Topic, config: Path) -> None:
    """Every produced record is stored once; every poison message is a dead letter; by the audit."""
    words = ("ingest", "audit", "--config", str(config), "--json")
    audits: list[subprocess.CompletedProcess[str]] = []

    def is_answered() -> bool:
        # Nodes that were hurt a moment ago answer that something is settling; audits want all.
        audits.append(run_command(*words, folder=config.parent))
        return bool(audits[-1].stdout)

    try:
        wait_until(is_answered, "an audit of complete answers", deadline_s=150.0)
    except AssertionError as error:
        raise AssertionError(f"{error}: {audits[-1].stderr}") from None
    streams = json.loads(audits[-1].stdout)[topic.name]
    assert audits[-1].returncode == 0, streams
    assert sum(entry["stored"] for entry in streams) == topic.records, streams
    assert sum(entry["dead"] for entry in streams) == topic.poison, streams
    assert sum(entry["stop"] - entry["first"] for entry in streams) == (
        topic.records + topic.poison
    ), streams
    assert all(entry["committed"] == entry["end"] for entry in streams), streams
    assert all(entry["waiting"] == entry["deleted"] == entry["gap"] == 0 for entry in streams)
    assert stored_numbers(cluster, topic.name) == list(range(topic.records))


def processes(configs: Sequence[Path]) -> list[IngestProcess]:
    """One for each configuration, not started."""
    return [IngestProcess(config, "--json") for config in configs]
