"""What jobs do, as Prometheus metrics."""

from collections.abc import Callable, Mapping

from analytics.streaming.monitor import RULES, Health, Report
from node.api.metrics import metric

_GAUGES: tuple[tuple[str, str, Callable[[Health], float]], ...] = (
    ("batch", "Number of the last batch.", lambda health: health.batch),
    ("batch_seconds", "How long the last batch took.", lambda health: health.batch_ms / 1_000),
    ("input_rows_per_second", "Rows that arrive.", lambda health: health.input_rate),
    (
        "processed_rows_per_second",
        "Rows that are processed.",
        lambda health: health.processing_rate,
    ),
    ("lag_messages", "Messages that wait.", lambda health: health.lag_messages),
    ("load_per_core", "Runnable processes a core, at the driver.", lambda health: health.load),
    ("memory_free_share", "Free memory at the driver.", lambda health: health.memory_share),
)


class JobMetrics:
    """The newest report of every job; written by Spark's thread, read by the server's."""

    def __init__(self) -> None:
        self._reports: Mapping[str, Report] = {}
        self._rows: Mapping[str, int] = {}

    def take(self, report: Report) -> None:
        """Remember it, in place of the job's last one."""
        rows = self._rows.get(report.job, 0) + report.health.rows
        # Whole new tables: who reads meanwhile has the old ones.
        self._rows = {**self._rows, report.job: rows}
        self._reports = {**self._reports, report.job: report}

    def text(self) -> str:
        """All families."""
        reports = [report for _, report in sorted(self._reports.items())]
        rows = [({"job": name}, count) for name, count in sorted(self._rows.items())]
        families = [metric("zring_job_rows_total", "counter", "Rows processed.", rows)]
        for name, text, value in _GAUGES:
            samples = [({"job": report.job}, float(value(report.health))) for report in reports]
            families.append(metric(f"zring_job_{name}", "gauge", text, samples))
        alerts = [
            ({"job": report.job, "rule": rule}, int(rule in report.raised))
            for report in reports
            for rule in RULES
        ]
        families.append(metric("zring_job_alert", "gauge", "1 while an alert is on.", alerts))
        return "".join(families)
