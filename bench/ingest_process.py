"""One `zring ingest run`, and how fast it stores."""

import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.finding import Finding
from bench.server_process import ServerProcess, cpu_seconds, free_port, memory_kb

START_TIMEOUT_S = 60.0
STORE_TIMEOUT_S = 300.0
SAMPLE_S = 0.1
STORED = "zring_ingest_records_stored_total"
WARM_SHARE = 0.1
"""Of the records: joining the group and the first connections are no part of a rate."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a number of records were stored.

    Attributes:
        rate: records a second, without the first WARM_SHARE of them.
        memory_mb: the most that the process had (RssAnon).
        cpu_us: processor time of the process for one record.
    """

    rate: float
    memory_mb: float
    cpu_us: float

    def details(self) -> dict[str, float | str]:
        """For a `Finding`."""
        return {"memory of the process, MB": self.memory_mb, "its CPU a record, µs": self.cpu_us}


MEMORY_MB_BAR = 300.0
"""Of a process that stores streams."""


def source_settings(kind: str, form: str, own: str, *, name: str = "", mapping: str = "") -> str:
    """The table of one source, as `zring ingest run` reads it.

    Args:
        own: lines of `[source.<kind>]`.
        name: of the source and its collection; default: its kind.
        mapping: lines of `[source.mapping]`.
    """
    name = name or kind
    return (
        f'[[source]]\nname = "{name}"\nkind = "{kind}"\ncollection = "{name}"\n'
        f'format = "{form}"\n[source.{kind}]\n{own}\n'
    ) + (f"[source.mapping]\n{mapping}\n" if mapping else "")


def pace_finding(figure: str, work: str, pace: Pace, bar: float) -> Finding:
    """One process into four nodes: so many records a second, in bounded memory."""
    return Finding(
        figure, f"{work}, four nodes, two replicas, one process", pace.rate, "records/s",
        f"≥ {bar:,.0f}/s and memory ≤ {MEMORY_MB_BAR:g} MB",
        pace.rate >= bar and pace.memory_mb <= MEMORY_MB_BAR, better="higher",
        details=pace.details(),
    )  # fmt: skip


class IngestProcess:
    """Runs the sources of a TOML text; use as a context."""

    def __init__(self, settings: str, *, url: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="zring-bench-ingest-"))
        config = self._folder / "ingest.toml"
        config.write_text(settings)
        self._metrics = f"127.0.0.1:{free_port()}"
        self._command = [
            str(Path(sys.executable).with_name("zring")), "ingest", "run", "--config", str(config),
            "--url", url, "--metrics-listen", self._metrics, "--json",
        ]  # fmt: skip
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        root = str(Path(__file__).parents[1])
        self._process = ServerProcess(
            self._command,
            log=self._folder / "log",
            folder=self._folder,
            environment={"PYTHONPATH": root},
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

    def wait_stored(self, records: int) -> Pace:
        """Wait until so many records are stored in all.

        Raises:
            TimeoutError: they are not; the message holds the end of the log.
        """
        assert self._process is not None
        deadline = time.perf_counter() + STORE_TIMEOUT_S
        warm: tuple[float, int, float] | None = None
        most_kb = 0
        while True:
            now, stored = time.perf_counter(), self._stored()
            most_kb = max(most_kb, memory_kb(self._process.pid))
            if warm is None and stored >= WARM_SHARE * records:
                warm = (now, stored, cpu_seconds(self._process.pid))
            if stored >= records:
                break
            if now > deadline:
                tail = self._process.log_tail()
                raise TimeoutError(f"{stored:,} of {records:,} after a long time:\n{tail}")
            time.sleep(SAMPLE_S)
        assert warm is not None and warm[1] < stored, "everything came at once: more records"
        count = stored - warm[1]
        cpu_s = cpu_seconds(self._process.pid) - warm[2]
        return Pace(count / (now - warm[0]), most_kb / 1_024, cpu_s / count * 1e6)

    def _answers(self) -> bool:
        try:
            self._stored()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def _stored(self) -> int:
        with urllib.request.urlopen(f"http://{self._metrics}/metrics", timeout=30) as reply:
            lines = reply.read().decode().splitlines()
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(STORED)))
