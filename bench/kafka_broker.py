"""A Kafka broker for measurements: the development broker of deploy/jvm in a temporary folder."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.server_process import free_port

COMMAND = Path(__file__).parents[1] / "deploy" / "jvm" / "kafka.sh"
COMMAND_TIMEOUT_S = 300.0
"""The first start fetches the jars."""
ANSWER_TIMEOUT_S = 60.0


class KafkaBroker:
    """One broker; use as a context."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._folder = Path(tempfile.mkdtemp(prefix="zring-bench-kafka-"))
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._options = ["--version", version, "--port", str(port), "--controller-port",
                         str(free_port()), "--data", str(self._folder / "data")]  # fmt: skip

    def __enter__(self) -> Self:
        self._run("start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__dict__.pop("_producer", None)  # or it looks for the broker that is gone
        self._run("stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def create(self, topic: str, *, kafka_partitions: int = 1) -> None:
        """Make a topic."""
        admin = self._admin()
        for made in admin.create_topics([NewTopic(topic, kafka_partitions, 1)]).values():
            made.result(ANSWER_TIMEOUT_S)

    def delete(self, topic: str) -> None:
        """Drop a topic and its messages."""
        admin = self._admin()
        for gone in admin.delete_topics([topic]).values():
            gone.result(ANSWER_TIMEOUT_S)

    def fill(self, topic: str, bodies: Iterable[bytes]) -> None:
        """Append messages as fast as it goes."""
        producer = self._producer
        for body in bodies:
            while True:
                try:
                    producer.produce(topic, body)
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
        left = producer.flush(ANSWER_TIMEOUT_S)
        assert left == 0, f"{left} messages were not taken"

    @cached_property
    def _producer(self) -> Producer:
        return Producer(
            {"bootstrap.servers": self.address, "linger.ms": 20, "batch.size": 1 << 20,
             "queue.buffering.max.messages": 200_000}
        )  # fmt: skip

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address})

    def _run(self, command: str) -> None:
        # Files instead of pipes: the broker outlives the command and would keep a pipe open.
        with (self._folder / f"{command}.txt").open("wb") as said:
            subprocess.run(
                [COMMAND, command, *self._options], stdin=subprocess.DEVNULL, stdout=said,
                stderr=subprocess.STDOUT, timeout=COMMAND_TIMEOUT_S, check=True,
            )  # fmt: skip
