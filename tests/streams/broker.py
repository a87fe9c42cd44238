"""A real Kafka broker for tests: started, stopped and killed by the command that developers use."""

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    NewTopic,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.cluster.material import free_ports
from tests.streams.certificates import make_certs
from tests.streams.waiting import wait_until

COMMAND = Path(__file__).parents[2] / "deploy" / "jvm" / "kafka.sh"
COMMAND_DEADLINE_S = 240.0
"""The first call fetches the jars."""
ANSWER_DEADLINE_S = 90.0
USER, PASSWORD = "zring", "secret"


class Broker:
    """One broker of a release line on free ports; keeps its ports over a restart.

    Attributes:
        address: `HOST:PORT` for clients.
        sasl_address: the same, for those who say who they are (`USER`, `PASSWORD`).
        tls_address: the same with TLS, for those who show a certificate.
        sasl_tls_address: the same with TLS, for those who say who they are.
        certs: folder of certificates: `ca`, `broker`, and `reader` for a client.
    """

    def __init__(self, version: str, folder: Path) -> None:
        self.version, self.folder = version, folder
        port, controller_port, sasl_port, tls_port, sasl_tls_port = free_ports(5)
        self.certs = make_certs(folder / "certs", "broker", "reader")
        self.tls_address = f"127.0.0.1:{tls_port}"
        self.sasl_tls_address = f"127.0.0.1:{sasl_tls_port}"
        self.address = f"127.0.0.1:{port}"
        self.sasl_address = f"127.0.0.1:{sasl_port}"
        self._options = [
            *("--version", version, "--port", str(port)),
            *("--controller-port", str(controller_port), "--data", str(folder)),
            *("--sasl-port", str(sasl_port), "--user", f"{USER}:{PASSWORD}"),
            *("--tls-port", str(tls_port), "--sasl-tls-port", str(sasl_tls_port)),
            *("--certs", str(self.certs)),
        ]

    def start(self) -> None:
        """Start it on its folder and wait until it answers."""
        self._run("start")

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._run("stop")

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)
        wait_until(lambda: not self.answers(), "the broker is gone")

    def answers(self) -> bool:
        """Whether somebody listens at its address."""
        host, _, port = self.address.partition(":")
        with closing(socket.socket()) as probe:
            return probe.connect_ex((host, int(port))) == 0

    def restart(self) -> None:
        """Stop and start; messages and groups stay."""
        self.stop()
        self.start()

    def create_topic(self, name: str, *, kafka_partitions: int = 1, **settings: str) -> None:
        """Make a topic and wait until it is there; settings are Kafka's, `_` for its dots."""
        config = {key.replace("_", "."): value for key, value in settings.items()}
        topic = NewTopic(name, kafka_partitions, 1, config=config)
        admin = self.admin()  # its answers end with it
        for made in admin.create_topics([topic]).values():
            made.result(ANSWER_DEADLINE_S)

        def is_known() -> bool:
            # The controller has made it; the broker hears of it a moment later.
            seen = admin.list_topics(name, timeout=ANSWER_DEADLINE_S).topics[name]
            return seen.error is None and len(seen.partitions) == kafka_partitions

        wait_until(is_known, f"the topic {name}", deadline_s=ANSWER_DEADLINE_S)

    def admit(self, user: str, password: str, mechanism: ScramMechanism) -> None:
        """Make a user that says who it is by SCRAM."""
        admin = self.admin()
        salted = ScramCredentialInfo(mechanism, 4_096)
        wanted = UserScramCredentialUpsertion(user, salted, password.encode())
        for done in admin.alter_user_scram_credentials([wanted]).values():
            done.result(ANSWER_DEADLINE_S)

    def delete_records(self, topic: str, *, before: int) -> None:
        """Give up the messages of Kafka partition 0 before an offset, as retention does."""
        admin = self.admin()
        for done in admin.delete_records([TopicPartition(topic, 0, before)]).values():
            done.result(ANSWER_DEADLINE_S)

    def admin(self) -> AdminClient:
        """Asks and changes what the broker has."""
        return AdminClient({"bootstrap.servers": self.address})

    def produce(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        keys: Sequence[bytes | None] = (),
        kafka_partition: int = -1,
        **settings: Any,
    ) -> None:
        """Append messages durably, in this order; settings are librdkafka's, `_` for its dots."""
        more = {key.replace("_", "."): value for key, value in settings.items()}
        producer = Producer(
            {"bootstrap.servers": self.address, "acks": "all", "linger.ms": 5,
             "message.max.bytes": 16 << 20, **more}
        )  # fmt: skip
        failed: list[str] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failed.append(str(error))

        for index, value in enumerate(values):
            key = keys[index] if keys else None
            while True:
                try:
                    producer.produce(
                        topic, value, key, partition=kafka_partition, on_delivery=delivered
                    )
                except BufferError:
                    producer.poll(1.0)
                else:
                    break
        assert producer.flush(ANSWER_DEADLINE_S) == 0, f"{self.address} does not take messages"
        assert not failed, failed[0]

    def read(self, topic: str) -> list[Message]:
        """All messages of a topic that is not written to any more; each Kafka partition's in
        their order."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "reads-everything"})
        known = consumer.list_topics(topic, ANSWER_DEADLINE_S).topics[topic]
        places, count = [], 0
        for number in sorted(known.partitions):
            first, stop = consumer.get_watermark_offsets(
                TopicPartition(topic, number), timeout=ANSWER_DEADLINE_S
            )
            places.append(TopicPartition(topic, number, first))
            count += stop - first
        consumer.assign(places)
        found: list[Message] = []
        while len(found) < count:
            message = consumer.poll(ANSWER_DEADLINE_S)
            assert message is not None and message.error() is None, f"{len(found)} of {count}"
            found.append(message)
        consumer.close()
        return found

    def _run(self, command: str) -> None:
        # Files instead of pipes: the broker outlives the command and would keep a pipe open.
        self.folder.mkdir(parents=True, exist_ok=True)
        said = self.folder / f"{command}.txt"
        with said.open("wb") as output:
            done = subprocess.run(
                [COMMAND, command, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=COMMAND_DEADLINE_S,
            )
        assert done.returncode == 0, said.read_text()
