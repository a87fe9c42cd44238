"""One POST of one record at a time, `w=one`, from 8 client processes: group commit at work."""

from bench.finding import Finding
from bench.fleet import Fleet
from bench.jobs import SinglePostJob
from bench.session import Session
from bench.stopwatch import percentile_ms

CLIENTS = 8
COLLECTION = "probes"


def run(session: Session) -> list[Finding]:
    """On one node."""
    cluster = session.cluster(nodes=1, replicas=0, holding=session.stations())
    with Fleet(SinglePostJob(cluster.url(), COLLECTION), workers=CLIENTS) as fleet:
        done = fleet.run(2 * session.seconds)
    tail = percentile_ms(done.latencies, 99)
    return [
        Finding(
            "posts", "POST of one record, w=one, 8 clients", done.rate, "requests/s",
            "≥ 1,500/s, p99 ≤ 20 ms", done.rate >= 1_500 and tail <= 20.0, better="higher",
            details={"p50 ms": percentile_ms(done.latencies, 50), "p99 ms": tail},
        )
    ]  # fmt: skip
