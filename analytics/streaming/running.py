"""Jobs from start to stop: queries with checkpoints, begun again after trouble, watched, ended."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from analytics.errors import JobFailed
from analytics.streaming.monitor import Limits, Show, Tell, listener
from analytics.streaming.outputs import Output

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

LOG = logging.getLogger("analytics.streaming")
ATTEMPTS_MAX = 5
"""Without a batch between them; then somebody has to look."""
PAUSE_FIRST_S = 1.0
PAUSE_MAX_S = 60.0
LOOK_S = 0.5
"""How often it is looked whether a query has ended."""


@dataclass(frozen=True, slots=True)
class Job:
    """One streaming query.

    Attributes:
        name: of the query and of its folder below the checkpoint.
        build: makes the frame of result records; called again for every attempt.
        outputs: get every batch, in this order.
    """

    name: str
    build: "Callable[[], DataFrame]"
    outputs: Sequence[Output]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How jobs run.

    Attributes:
        checkpoint: folder of offsets and state; whoever starts with it again goes on there.
        trigger_s: from the begin of one batch to the next.
        once: process what is there and end, instead of waiting for more.
        limits: of the monitor.
    """

    checkpoint: Path
    trigger_s: float = 5.0
    once: bool = False
    limits: Limits = field(default_factory=Limits)


def run(
    session: "SparkSession",
    jobs: Sequence[Job],
    settings: RunSettings,
    *,
    stop: threading.Event,
    show: Show,
    tell: Tell,
) -> None:
    """Run until `stop` is set, or with `once` until everything is processed.

    Args:
        show: called after every batch.
        tell: called with every alert, on a thread of its own.
    Raises:
        JobFailed: a job failed ATTEMPTS_MAX times in a row.
    """
    with ThreadPoolExecutor(1, "zring-alerts") as alerts:
        monitor = listener(
            settings.limits, show=show, tell=lambda alert: _submit(alerts, tell, alert)
        )
        session.streams.addListener(monitor)
        running = [_Running(job, settings) for job in jobs]
        try:
            while not stop.is_set():
                done = [one.step() for one in running]
                if all(done):
                    return
                stop.wait(LOOK_S)
        finally:
            for one in running:
                one.stop()
            session.streams.removeListener(monitor)


def _submit(alerts: ThreadPoolExecutor, tell: Tell, alert: dict[str, Any]) -> None:
    # Telling may itself use Spark, whose events this thread would hold up.
    alerts.submit(tell, alert)


class _Running:
    """One job and its attempts."""

    def __init__(self, job: Job, settings: RunSettings) -> None:
        self._job, self._settings = job, settings
        self._query: StreamingQuery | None = None
        self._attempts, self._again_s, self._batch = 0, 0.0, -1

    def step(self) -> bool:
        """Start it, or start it again; whether it has ended as it should."""
        if self._query is None:
            if time.monotonic() >= self._again_s:
                self._query = start(self._job, self._settings)
            return False
        if self._query.isActive:
            return False
        trouble = self._query.exception()
        if trouble is None:
            return True
        self._failed(trouble)
        return False

    def stop(self) -> None:
        """End it between two batches, or in the middle of one: the next start repeats that."""
        if self._query is not None:
            self._query.stop()

    def _failed(self, trouble: Exception) -> None:
        assert self._query is not None
        progress = self._query.lastProgress
        batch = -1 if progress is None else int(progress["batchId"])
        self._attempts = 1 if batch > self._batch else self._attempts + 1
        self._batch = max(batch, self._batch)
        if self._attempts >= ATTEMPTS_MAX:
            raise JobFailed(f"{self._job.name} failed {self._attempts} times: {trouble}")
        pause_s = min(PAUSE_FIRST_S * 2 ** (self._attempts - 1), PAUSE_MAX_S)
        LOG.warning("%s failed, goes on in %.0f s: %s", self._job.name, pause_s, trouble)
        self._again_s, self._query = time.monotonic() + pause_s, None


def start(job: Job, settings: RunSettings) -> "StreamingQuery":
    """Start the query of a job where its checkpoint says."""

    def write(frame: "DataFrame", batch: int) -> None:
        # Kept, so that nothing computes it anew. Windows that have not ended give no results yet.
        frame = frame.persist()
        try:
            if frame.count():
                for output in job.outputs:
                    output.write(frame, batch)
        finally:
            frame.unpersist()

    writer = (
        job.build()
        .writeStream.queryName(job.name)
        .outputMode("append")
        .option("checkpointLocation", str(settings.checkpoint / job.name))
        .foreachBatch(write)
    )
    if settings.once:
        return writer.trigger(availableNow=True).start()
    return writer.trigger(processingTime=f"{settings.trigger_s:g} seconds").start()


def topic_teller(session: "SparkSession", brokers: str, topic: str) -> Tell:
    """Sends each alert to a topic of Kafka as JSON, with its rule as the key."""

    def tell(alert: dict[str, Any]) -> None:
        rows = [(alert["rule"], orjson.dumps(alert, option=orjson.OPT_SORT_KEYS).decode())]
        frame = session.createDataFrame(rows, "key string, value string")
        options = {"kafka.bootstrap.servers": brokers, "topic": topic}
        frame.write.format("kafka").options(**options).save()

    return tell
