"""A broker and a cache for streaming jobs, which run as the command that users run."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.cluster.material import free_ports
from tests.streams.broker import Broker
from tests.streams.waiting import wait_until

ROOT = Path(__file__).parents[3]
JOB_DEADLINE_S = 600.0
"""Starting Spark takes ten seconds of CPU, and others may want the machine as well."""


@pytest.fixture(scope="session", autouse=True)
def connector() -> None:
    """What Spark needs for Kafka is there."""
    subprocess.run([ROOT / "deploy" / "jvm" / "fetch.sh", "spark-kafka"], check=True, timeout=300)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Kafka 4.2, as the jobs' connector meets it in new installations."""
    started = Broker("4.2", tmp_path_factory.mktemp("kafka"))
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis server."""
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("redis")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
               "--dir", str(folder)]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    url = f"redis://127.0.0.1:{port}/0"

    def answers() -> bool:
        with redis.Redis.from_url(url) as probe:
            try:
                return bool(probe.ping())
            except redis.ConnectionError:
                return False

    wait_until(answers, "redis answers")
    yield url
    process.send_signal(signal.SIGTERM)
    process.wait(30.0)


class JobProcess:
    """One `zring job …`; use as a context."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        self._output = folder / "job.txt"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "node.cli", "job", *arguments, "--master", "local[2]"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def __enter__(self) -> "JobProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

    @property
    def said(self) -> str:
        """Everything that it printed."""
        return self._output.read_text(errors="replace")

    def wait(self) -> int:
        """Its exit code, when it ends by itself."""
        return self.process.wait(JOB_DEADLINE_S)

    def kill(self) -> None:
        """End it and what it started as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30.0)


def run_job(*arguments: str, folder: Path) -> str:
    """Run a job that ends by itself; what it printed."""
    with JobProcess(*arguments, folder=folder) as job:
        code = job.wait()
        assert code == 0, job.said[-4_000:]
        return job.said
