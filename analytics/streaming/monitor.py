"""Is a job keeping up? Rates, lag and the machine, judged after every batch; alerts when not.

The rules are a pure function of what a batch reports. A limit must be passed several times in a
row before it is an alert, and the alert ends with the first batch that keeps it: a single slow
batch is no news.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql.streaming.listener import StreamingQueryListener

LOG = logging.getLogger("analytics.streaming")
BATCHES_IN_A_ROW = 3
RULES = ("falling-behind", "lag", "load", "memory", "slow-batch")
MEMORY_FILE = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as keeping up.

    Attributes:
        rate_share_min: rows processed a second against rows that arrive.
        lag_messages_max: in Kafka behind what was read.
        batch_ms_max: of one micro-batch.
        load_max: runnable processes a core, of the machine of the driver.
        memory_share_min: of its memory that is free.
    """

    rate_share_min: float = 0.95
    lag_messages_max: int = 1_000_000
    batch_ms_max: int = 60_000
    load_max: float = 8.0
    memory_share_min: float = 0.05


@dataclass(frozen=True, slots=True)
class Health:
    """What one batch showed; rates in rows a second."""

    batch: int
    rows: int
    input_rate: float
    processing_rate: float
    lag_messages: int
    batch_ms: int
    load: float
    memory_share: float

    def breaches(self, limits: Limits) -> dict[str, str]:
        """Rule → what is wrong, of those that are broken now."""
        found = {}
        if self.rows and self.processing_rate < limits.rate_share_min * self.input_rate:
            found["falling-behind"] = (
                f"{self.processing_rate:.0f} rows/s are processed, {self.input_rate:.0f} arrive"
            )
        if self.lag_messages > limits.lag_messages_max:
            found["lag"] = f"{self.lag_messages} messages wait, at most {limits.lag_messages_max}"
        if self.batch_ms > limits.batch_ms_max:
            found["slow-batch"] = f"a batch took {self.batch_ms} ms, at most {limits.batch_ms_max}"
        if self.load > limits.load_max:
            found["load"] = f"load {self.load:.1f} a core is more than {limits.load_max:g}"
        if self.memory_share < limits.memory_share_min:
            found["memory"] = f"{self.memory_share:.0%} of the memory is free"
        return found


@dataclass(slots=True)
class Watch:
    """Remembers how often in a row each rule was broken, and says what to tell."""

    limits: Limits = field(default_factory=Limits)
    in_a_row: dict[str, int] = field(default_factory=dict)

    def raised(self) -> tuple[str, ...]:
        """Rules of which an alert has begun and not ended."""
        return tuple(
            sorted(rule for rule, count in self.in_a_row.items() if count >= BATCHES_IN_A_ROW)
        )

    def judge(self, health: Health) -> list[dict[str, Any]]:
        """Alerts that begin or end with this batch, by rule."""
        broken = health.breaches(self.limits)
        alerts = []
        for rule in sorted(broken):
            self.in_a_row[rule] = self.in_a_row.get(rule, 0) + 1
            if self.in_a_row[rule] == BATCHES_IN_A_ROW:
                alerts.append(self._alert(rule, "raised", broken[rule], health))
        kept = sorted(self.in_a_row.keys() - broken.keys())
        ended = [rule for rule in kept if self.in_a_row.pop(rule) >= BATCHES_IN_A_ROW]
        return alerts + [self._alert(rule, "ended", "kept again", health) for rule in ended]

    def _alert(self, rule: str, state: str, text: str, health: Health) -> dict[str, Any]:
        return {"rule": rule, "state": state, "text": text, "batch": health.batch}


@dataclass(frozen=True, slots=True)
class Report:
    """One batch of one job.

    Attributes:
        job: name of the query.
        raised: rules of which an alert is on.
    """

    job: str
    health: Health
    raised: tuple[str, ...]


def progress_to_health(progress: Mapping[str, Any]) -> Health:
    """What Spark says after a batch (the JSON of `StreamingQueryProgress`), and the machine."""
    sources: Sequence[Mapping[str, Any]] = progress.get("sources", ())
    lags = [
        int(float(source["metrics"].get("maxOffsetsBehindLatest", 0)))
        for source in sources
        if source.get("metrics")
    ]
    return Health(
        batch=int(progress["batchId"]),
        rows=int(progress.get("numInputRows", 0)),
        input_rate=float(progress.get("inputRowsPerSecond") or 0.0),
        processing_rate=float(progress.get("processedRowsPerSecond") or 0.0),
        lag_messages=max(lags, default=0),
        batch_ms=int(progress.get("durationMs", {}).get("triggerExecution", 0)),
        load=os.getloadavg()[0] / (os.cpu_count() or 1),
        memory_share=_free_memory_share(),
    )


def _free_memory_share() -> float:
    """Memory that programs could still have; what only caches files counts as free."""
    try:
        lines = MEMORY_FILE.read_text().splitlines()
    except OSError:  # no Linux: without the caches, which is too little rather than too much
        return os.sysconf("SC_AVPHYS_PAGES") / os.sysconf("SC_PHYS_PAGES")
    sizes = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    return sizes["MemAvailable"] / sizes["MemTotal"]


Show = Callable[[Report], None]
"""Is given what every batch showed."""
Tell = Callable[[dict[str, Any]], None]
"""Takes an alert to where people look."""


def listener(limits: Limits, *, show: Show, tell: Tell) -> "StreamingQueryListener":
    """What Spark calls after each batch; every job is watched by itself."""
    import json

    from pyspark.sql.streaming.listener import StreamingQueryListener

    watches: dict[str, Watch] = {}

    class Monitor(StreamingQueryListener):
        def onQueryStarted(self, event: Any) -> None:  # noqa: N802 - Spark's names
            LOG.info("job %s began", event.name)

        def onQueryProgress(self, event: Any) -> None:  # noqa: N802
            health = progress_to_health(json.loads(event.progress.json))
            name = event.progress.name
            watch = watches.setdefault(name, Watch(limits))
            alerts = watch.judge(health)
            show(Report(name, health, watch.raised()))
            for alert in alerts:
                LOG.warning("%s %s: %s", alert["rule"], alert["state"], alert["text"])
                tell({**alert, "job": name})

        def onQueryIdle(self, event: Any) -> None:  # noqa: N802
            """Nothing arrives: nothing to judge."""

        def onQueryTerminated(self, event: Any) -> None:  # noqa: N802
            LOG.info("job ended: %s", event.exception or "as asked")

    return Monitor()
