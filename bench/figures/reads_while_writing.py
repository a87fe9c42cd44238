"""Latency of small queries while 50,000 records arrive every second and are merged."""

import threading

from bench.finding import Finding
from bench.fleet import Fleet
from bench.jobs import ReadJob
from bench.paced_writer import PacedWriteJob
from bench.session import Session
from bench.stopwatch import percentile_ms

READERS = 2
RECORDS_PER_S = 50_000
QUIET_S = 5.0
BUSY_S = 12.0
BAR = 3.0


def run(session: Session) -> list[Finding]:
    """On one node; readers and the writer are processes of their own."""
    dataset = session.stations()
    cluster = session.cluster(nodes=1, replicas=0, holding=dataset)
    questions = session.asked(dataset).small
    oracle = session.oracle(dataset)
    expected = [len(oracle.matches(question)) for question in questions]
    job = ReadJob("zring", cluster.url(), dataset.collection, questions, expected, True)
    arriving = PacedWriteJob(cluster.url(), dataset.collection, RECORDS_PER_S)
    written: list[int] = []
    with Fleet(job, workers=READERS) as readers, Fleet(arriving, workers=1) as writer:
        quiet = readers.run(QUIET_S)
        thread = threading.Thread(
            target=lambda: written.append(len(writer.run(BUSY_S + 1.0).latencies))
        )
        thread.start()
        busy = readers.run(BUSY_S)
        thread.join()
    cluster.spoil()
    reached = written[0] * arriving.batch_records / (BUSY_S + 1.0)
    quiet_p99, busy_p99 = (percentile_ms(one.latencies, 99) for one in (quiet, busy))
    ratio = busy_p99 / quiet_p99
    return [
        Finding(
            "reads-while-writing",
            f"p99 of small queries while {RECORDS_PER_S:,} records/s arrive, against quiet",
            ratio, "×", f"≤ {BAR:g} ×", ratio <= BAR and reached >= 0.95 * RECORDS_PER_S,
            details={
                "quiet p99 ms": quiet_p99,
                "busy p99 ms": busy_p99,
                "quiet p50 ms": percentile_ms(quiet.latencies, 50),
                "busy p50 ms": percentile_ms(busy.latencies, 50),
                "arrived records/s": reached,
            },
        )
    ]  # fmt: skip
