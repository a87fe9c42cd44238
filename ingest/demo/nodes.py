"""Node processes that live as long as this one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from node.client import Client
from node.errors import NodeError, Unavailable

START_TIMEOUT_S = 120.0
"""A node needs two seconds of CPU to start, and there may be four on a busy machine."""
STOP_TIMEOUT_S = 15.0
POLL_S = 0.05
LOG_BYTES_SHOWN = 2_000


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Where one node of a cluster on this machine is found.

    Attributes:
        host, peer_host: addresses that it listens on for people and for nodes.
        advertise: `HOST:PORT` by which the other nodes reach it, where that is another one.
        within: command that runs the node in surroundings of its own: a network namespace.
    """

    name: str
    port: int
    peer_port: int
    folder: Path
    scheme: str = "http"
    host: str = "127.0.0.1"
    peer_host: str = "127.0.0.1"
    advertise: str = ""
    within: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """For people and programs."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def peer_address(self) -> str:
        """For other nodes."""
        return self.advertise or f"{self.peer_host}:{self.peer_port}"


class NodeProcess:
    """One `zring serve`; ends with its parent, because it stops when its standard input ends."""

    def __init__(
        self,
        place: NodePlace,
        founders: Sequence[NodePlace],
        *,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            founders: the first nodes of the cluster in curve order; a node that is none of them
                is a newcomer, which asks them for the ring.
            flags: further ones of `zring serve`; they win over those that follow from `place`.
            environment: further variables.
            credentials: `token` and `tls_ca` of a client that asks whether the node is there.
        """
        self.place = place
        self._credentials = dict(credentials or {})
        self._command = [
            *place.within, sys.executable, "-m", "node.cli", "serve",
            "--name", place.name,
            "--data", str(place.folder / "store"),
            "--listen", f"{place.host}:{place.port}",
            "--peer-listen", f"{place.peer_host}:{place.peer_port}",
            "--stop-on-eof",
            *flags,
        ]  # fmt: skip
        if place in founders:
            self._command += ["--founders", ",".join(founder.name for founder in founders)]
        if place.advertise:
            self._command += ["--advertise", place.advertise]
        for other in founders:
            if other != place:
                self._command += ["--seed", other.peer_address]
        # Settings of the caller's own cluster must not reach these nodes.
        kept = {name: value for name, value in os.environ.items() if not _is_setting(name)}
        self._environment = {**kept, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; `wait_ready` says when it answers."""
        self.place.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.place.folder,
                env=self._environment,
            )

    @property
    def log(self) -> Path:
        """What the node says."""
        return self.place.folder / "log"

    @property
    def process_id(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def wait_ready(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the node answers.

        Raises:
            Unavailable: it ended, or took too long; carries the end of its log.
        """
        deadline_s = time.monotonic() + timeout_s
        with Client(
            self.place.url,
            timeout_s=2.0,
            direct=True,
            **self._credentials,
        ) as client:
            while True:
                if not self.is_running():
                    raise Unavailable(f"node {self.place.name} did not start: {self._log_end()}")
                try:
                    if client.status()["node"] == self.place.name:
                        return
                except NodeError:
                    pass
                if time.monotonic() > deadline_s:
                    raise Unavailable(
                        f"node {self.place.name} gave no answer in {timeout_s:g} s: "
                        f"{self._log_end()}"
                    )
                time.sleep(POLL_S)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def stop(self) -> None:
        """Ask it to stop, and wait; kill it when it does not."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def send(self, signal_number: int) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(signal_number)

    def close_input(self) -> None:
        """End its standard input, as the end of this process would."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()

    def wait_ended(self, *, timeout_s: float) -> int:
        """Wait until the process ends by itself; returns its exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def _reap(self) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._process = None

    def _log_end(self) -> str:
        text = self.log.read_bytes()[-LOG_BYTES_SHOWN:].decode(errors="replace").strip()
        return text.splitlines()[-1] if text else "its log is empty"


class LocalCluster:
    """Founders in curve order, each owning an equal part of the domain."""

    def __init__(
        self,
        places: Sequence[NodePlace],
        *,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.nodes = {
            place.name: NodeProcess(place, places, flags=flags, environment=environment)
            for place in places
        }

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def urls(self) -> list[str]:
        """Of all nodes."""
        return [node.place.url for node in self.nodes.values()]

    def start(self) -> None:
        """Start all and wait until each answers and sees all others alive."""
        for node in self.nodes.values():
            node.start()
        for node in self.nodes.values():
            node.wait_ready()
        self.wait_alive()

    def stop(self) -> None:
        """Stop all, in the order in which they were started."""
        for node in self.nodes.values():
            node.stop()

    def wait_alive(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until every node sees every other alive.

        Raises:
            Unavailable: they do not.
        """
        deadline_s = time.monotonic() + timeout_s
        waiting = list(self.nodes.values())
        while waiting:
            with Client(waiting[-1].place.url, timeout_s=5.0, direct=True) as client:
                states = {entry["id"]: entry["state"] for entry in client.status()["nodes"]}
            if set(states) >= set(self.nodes) and set(states.values()) == {"alive"}:
                waiting.pop()
            elif time.monotonic() > deadline_s:
                raise Unavailable(f"node {waiting[-1].place.name} sees {states}")
            else:
                time.sleep(POLL_S)


def _is_setting(name: str) -> bool:
    sections = ("CLUSTER", "NODE", "LIMITS", "SECURITY", "HTTP", "LOG", "CONFIG")
    return name.startswith("ZRING_") and name.removeprefix("ZRING_").startswith(sections)
