"""Alerts begin after three bad batches in a row and end with the first good one."""

from analytics.streaming.metrics import JobMetrics
from analytics.streaming.monitor import RULES, Health, Limits, Report, Watch, progress_to_health

GOOD = Health(
    batch=1, rows=100, input_rate=50.0, processing_rate=60.0, lag_messages=0, batch_ms=100,
    load=0.5, memory_share=0.5,
)  # fmt: skip
SLOW = Health(
    batch=2, rows=100, input_rate=50.0, processing_rate=40.0, lag_messages=9, batch_ms=100,
    load=0.5, memory_share=0.5,
)  # fmt: skip


def told(watch: Watch, *batches: Health) -> list[tuple[str, str]]:
    return [(alert["rule"], alert["state"]) for one in batches for alert in watch.judge(one)]


def test_one_slow_batch_is_no_news() -> None:
    assert told(Watch(), SLOW, SLOW, GOOD, SLOW, GOOD) == []


def test_an_alert_is_raised_once_and_ended_once() -> None:
    found = told(Watch(), SLOW, SLOW, SLOW, SLOW, GOOD, GOOD)
    assert found == [("falling-behind", "raised"), ("falling-behind", "ended")]


def test_every_limit_is_watched() -> None:
    bad = Health(
        batch=3, rows=1, input_rate=9.0, processing_rate=1.0, lag_messages=9, batch_ms=9,
        load=9.0, memory_share=0.0,
    )  # fmt: skip
    limits = Limits(lag_messages_max=8, batch_ms_max=8)
    assert tuple(sorted(bad.breaches(limits))) == RULES
    assert GOOD.breaches(limits) == {"slow-batch": "a batch took 100 ms, at most 8"}


def test_what_spark_reports_is_read() -> None:
    progress = {
        "batchId": 4, "numInputRows": 10, "inputRowsPerSecond": 2.0, "processedRowsPerSecond": 5.0,
        "durationMs": {"triggerExecution": 70},
        "sources": [{"metrics": {"maxOffsetsBehindLatest": "12", "avgOffsetsBehindLatest": "3.5"}}],
    }  # fmt: skip
    health = progress_to_health(progress)
    assert (health.batch, health.rows, health.lag_messages, health.batch_ms) == (4, 10, 12, 70)
    assert 0.0 < health.memory_share <= 1.0


def test_metrics_say_the_newest_of_every_job() -> None:
    metrics = JobMetrics()
    metrics.take(Report("windows", GOOD, ()))
    metrics.take(Report("windows", SLOW, ("falling-behind",)))
    metrics.take(Report("sessions", GOOD, ()))
    lines = metrics.text().splitlines()
    for expected in (
        'zring_job_rows_total{job="sessions"} 100',
        'zring_job_rows_total{job="windows"} 200',
        'zring_job_processed_rows_per_second{job="windows"} 40',
        'zring_job_lag_messages{job="windows"} 9',
        'zring_job_batch_seconds{job="windows"} 0.1',
        'zring_job_alert{job="windows",rule="falling-behind"} 1',
        'zring_job_alert{job="sessions",rule="falling-behind"} 0',
    ):
        assert expected in lines
