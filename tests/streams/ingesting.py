"""`zring ingest run` as a process that tests may kill, and what it is run with."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.streams.nursery import Nursery
from tests.streams.waiting import wait_until


class IngestProcess:
    """One `zring ingest run`; killed at the latest when its `with` block ends."""

    def __init__(self, config: Path, *flags: str) -> None:
        self._words = ["ingest", "run", "--config", str(config), *flags]
        self._folder = config.parent
        self._process_id: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_running():
            self.kill()

    @property
    def log(self) -> str:
        """What it has said."""
        path = self._folder / "ingest.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Begin."""
        self._process_id = Nursery.shared().start(
            self._words, folder=self._folder, log=self._folder / "ingest.log"
        )

    def kill(self) -> None:
        """End it as a power cut would."""
        self._send(signal.SIGKILL)
        self.wait_ended(60.0)

    def stop(self) -> int:
        """Ask it to end; returns the exit code."""
        self._send(signal.SIGTERM)
        return self.wait_ended(90.0)

    def _send(self, number: signal.Signals) -> None:
        assert self._process_id is not None
        if self.is_running():
            os.kill(self._process_id, number)

    def is_running(self) -> bool:
        """Whether it is there."""
        return self._process_id is not None and self._exit_code() is None

    def _exit_code(self) -> int | None:
        assert self._process_id is not None
        return Nursery.shared().exit_code(self._process_id)

    def wait_ended(self, deadline_s: float = 90.0) -> int:
        """Wait until it ends by itself; returns the exit code."""
        codes: list[int | None] = []

        def has_ended() -> bool:
            codes.append(self._exit_code())
            return codes[-1] is not None

        wait_until(has_ended, f"the end: {self.log}", deadline_s=deadline_s)
        assert codes[-1] is not None
        return codes[-1]

    def wait_says(self, words: str) -> None:
        """Wait for words in its log."""
        wait_until(lambda: words in self.log, f"{words!r} in the log", deadline_s=90)


def run_command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run another `zring` command to its end."""
    command: Sequence[str] = [sys.executable, "-m", "node.cli", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
