"""A real MQTT broker for tests."""

import getpass
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from tests.cluster.material import free_ports
from tests.streams.certificates import make_certs
from tests.streams.waiting import wait_until

USER, PASSWORD = "zring", "secret"
PUBLISH_DEADLINE_S = 60.0


class Mosquitto:
    """One broker on a free port; keeps port and sessions over a restart.

    Args:
        within: command that runs it in surroundings of its own: a network namespace.

    Attributes:
        address: `HOST:PORT`; everybody may come in.
        guarded_address: the same, for those who say who they are (`USER`, `PASSWORD`).
        tls_address: the same with TLS, for those who also show a certificate.
        certs: folder of certificates: `ca`, `broker`, and `reader` for a client.
    """

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", within: Iterable[str] = ()):
        self.folder, self._host, self._within = folder, host, tuple(within)
        self._port, guarded_port, tls_port = free_ports(3)
        self.certs = make_certs(folder / "certs", f"broker={host}", "reader")
        self.tls_address = f"mqtts://{host}:{tls_port}"
        self.address = f"{host}:{self._port}"
        self.guarded_address = f"{host}:{guarded_port}"
        folder.mkdir(parents=True, exist_ok=True)
        users = folder / "users"
        subprocess.run(["mosquitto_passwd", "-b", "-c", users, USER, PASSWORD], check=True)
        (folder / "mosquitto.conf").write_text(
            f"user {getpass.getuser()}\n"
            "per_listener_settings true\n"
            "persistence true\n"
            f"persistence_location {folder}/\n"
            "max_queued_messages 0\n"
            "log_type all\n"
            f"listener {self._port} {host}\n"
            "allow_anonymous true\n"
            f"listener {guarded_port} {host}\n"
            "allow_anonymous false\n"
            f"password_file {users}\n"
            f"listener {tls_port} {host}\n"
            "allow_anonymous false\n"
            f"password_file {users}\n"
            f"cafile {self.certs / 'ca.pem'}\n"
            f"certfile {self.certs / 'broker.pem'}\n"
            f"keyfile {self.certs / 'broker-key.pem'}\n"
            "require_certificate true\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._within, "mosquitto", "-c", self.folder / "mosquitto.conf"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        wait_until(self.answers, "mosquitto answers")

    def answers(self) -> bool:
        """Whether somebody listens at its address; fails when it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        with closing(socket.socket()) as probe:
            return probe.connect_ex((self._host, self._port)) == 0

    def wait_subscribed(self, topic_filter: str) -> None:
        """Wait until somebody has asked for a filter: what was published before is for nobody."""
        line = re.compile(rf" \d {re.escape(topic_filter)}$", re.MULTILINE)
        wait_until(
            lambda: line.search((self.folder / "log").read_text()),
            f"a subscription of {topic_filter}",
            deadline_s=PUBLISH_DEADLINE_S,
        )

    def stop(self) -> None:
        """Let it write down its sessions and end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30.0)
            self._process = None

    def restart(self) -> None:
        """Stop and start; sessions and their messages stay."""
        self.stop()
        self.start()

    def publish(self, topic: str, lines: Iterable[bytes], *, qos: int = 1) -> None:
        """One message a line, each confirmed by the broker."""
        done = subprocess.run(
            ["mosquitto_pub", "-h", self._host, "-p", str(self._port),
             "-q", str(qos), "-t", topic, "-l"],
            input=b"".join(line + b"\n" for line in lines),
            capture_output=True,
            timeout=PUBLISH_DEADLINE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
