"""Child processes that are always stopped: on success, on errors and on Ctrl-C."""

import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

STOP_TIMEOUT_S = 30.0


class ServerFailed(Exception):
    """A server did not start; the message holds the end of its log."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unprivileged_user() -> str | None:
    """The user that servers run as: None (ourselves) unless we are root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


class ServerProcess:
    """One process in a group of its own with its output in a file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.log = log
        self._name = command[0]
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                user=user,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id, also of the group."""
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float) -> float:
        """Wait for a condition; returns the seconds it took.

        Raises:
            ServerFailed: the process ended, or time did.
        """
        started = time.perf_counter()
        while not ready():
            elapsed = time.perf_counter() - started
            if self._process.poll() is not None or elapsed > timeout_s:
                raise ServerFailed(
                    f"{self._name} is not ready after {elapsed:.0f} s:\n" + self.log_tail()
                )
            time.sleep(0.005)
        return time.perf_counter() - started

    def log_tail(self, characters: int = 3_000) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-characters:]

    def stop(self) -> None:
        """Ask it to end, then make it."""
        if self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self._kill_group()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._kill_group()
        self._process.wait(STOP_TIMEOUT_S)

    def _kill_group(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def descendants(pid: int) -> list[int]:
    """The process and everything it started."""
    found, at = [pid], 0
    while at < len(found):
        children = Path(f"/proc/{found[at]}/task").glob("*/children")
        for listing in children:
            found += [int(child) for child in listing.read_text().split()]
        at += 1
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time that the process and everything it started have used so far: what a request
    costs, also on a machine where others work."""
    total = 0
    for process in descendants(pid):
        for task in Path(f"/proc/{process}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def memory_kb(pid: int, field: str = "RssAnon") -> int:
    """One figure of /proc/PID/status, summed over the process and its children."""
    total = 0
    for process in descendants(pid):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                total += int(line.split()[1])
    return total
