"""`zring ingest run` as a process that tests may kill, and what it is run with."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.streams.waiting import wait_until


class IngestProcess:
    """One `zring ingest run`; killed at the latest when its `with` block ends."""

    def __init__(self, config: Path, *flags: str) -> None:
        self._command = [sys.executable, "-m", "node.cli", "ingest", "run", "--config", str(config),
                         *flags]  # fmt: skip
        self._folder = config.parent
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @property
    def log(self) -> str:
        """What it has said."""
        path = self._folder / "ingest.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Begin."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ZRING_")}
        with (self._folder / "ingest.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder, env=kept
            )

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(60)

    def stop(self) -> int:
        """Ask it to end; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(90)

    def is_running(self) -> bool:
        """Whether it is there."""
        return self._process is not None and self._process.poll() is None

    def wait_ended(self, deadline_s: float = 90.0) -> int:
        """Wait until it ends by itself; returns the exit code."""
        assert self._process is not None
        process = self._process
        wait_until(lambda: process.poll() is not None, f"the end: {self.log}",
                   deadline_s=deadline_s)  # fmt: skip
        return process.returncode

    def wait_says(self, words: str) -> None:
        """Wait for words in its log."""
        wait_until(lambda: words in self.log, f"{words!r} in the log", deadline_s=90)


def run_command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run another `zring` command to its end."""
    command: Sequence[str] = [sys.executable, "-m", "node.cli", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
