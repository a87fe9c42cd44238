"""An MQTT broker for measurements: the system's mosquitto in a temporary folder."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.server_process import ServerProcess, free_port

START_TIMEOUT_S = 20.0
PUBLISH_TIMEOUT_S = 300.0
LINES_MAX = 30_000
"""Of one mosquitto_pub: it ends early, and without a word, when its numbers (16 bits) run out."""


class MosquittoBroker:
    """One broker; use as a context."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="zring-bench-mosquitto-"))
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        settings = self._folder / "mosquitto.conf"
        settings.write_text(
            f"user {getpass.getuser()}\nlistener {self._port} 127.0.0.1\nallow_anonymous true\n"
            "max_queued_messages 0\nlog_type error\n"
        )
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program is not None, "mosquitto is not here: deploy/local/system_packages.sh"
        self._process = ServerProcess(
            [program, "-c", str(settings)], log=self._folder / "log", folder=self._folder
        )
        self._process.wait_until(self._answers, timeout_s=START_TIMEOUT_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def begin_session(self, client_id: str, topic_filter: str) -> None:
        """Let the broker keep what comes by a filter for a client that is away."""
        subprocess.run(
            ["mosquitto_sub", "-p", str(self._port), "-V", "mqttv5", "-c", "-x", "3600", "-E",
             "-q", "1", "-i", client_id, "-t", topic_filter],
            timeout=PUBLISH_TIMEOUT_S,
            check=True,
        )  # fmt: skip

    def fill(self, topic: str, bodies: Sequence[bytes]) -> None:
        """Publish with QoS 1 as fast as the broker confirms."""
        for start in range(0, len(bodies), LINES_MAX):
            subprocess.run(
                ["mosquitto_pub", "-p", str(self._port), "-q", "1", "-t", topic, "-l"],
                input=b"".join(body + b"\n" for body in bodies[start : start + LINES_MAX]),
                timeout=PUBLISH_TIMEOUT_S,
                check=True,
            )

    def _answers(self) -> bool:
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
