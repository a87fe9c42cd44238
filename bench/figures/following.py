"""From produce to visible: records written at three nodes, a subscriber at the fourth."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from bench.finding import Finding
from bench.fleet import Fleet
from bench.session import Session
from bench.stopwatch import percentile_ms
from bench.zring_cluster import arrow_body
from node.client import Client
from node.client.connection import ConnectionPool

RECORDS_PER_S = 5_000
BATCH_RECORDS = 50
WRITERS = 6
"""Each waits for its reply, so that one of them could not keep the rate."""
SECONDS = 15.0
WARM_S = 2.0
COLLECTION = "streamed"
BAR_MS = 250.0


@dataclass(frozen=True, slots=True)
class StampedWriteJob:
    """Batches of 50 records from all over the domain, each with the moment of its sending."""

    addresses: tuple[str, ...]

    def open(self, worker: int) -> Callable[[int], None]:
        """Connect."""
        pool = ConnectionPool(headers={"Accept-Encoding": "identity"})
        head = "Content-Type: application/vnd.apache.arrow.stream\r\n"
        target = f"/collections/{COLLECTION}/items?w=one"
        rng = np.random.default_rng(worker)
        lon, lat = rng.uniform(135.01, 136.59, 1_000), rng.uniform(33.01, 34.59, 1_000)
        interval_s = WRITERS * BATCH_RECORDS / RECORDS_PER_S
        due = [0.0]

        def call(number: int) -> None:
            now = time.monotonic()
            due[0] = max(due[0] + interval_s, now - 0.5)
            time.sleep(max(0.0, due[0] - now))
            at = np.arange(number * BATCH_RECORDS, (number + 1) * BATCH_RECORDS) % 1_000
            table = pa.table(
                {
                    "sensor": pa.array([f"w{worker}-{one}" for one in at.tolist()]),
                    "time": pa.array(np.full(BATCH_RECORDS, time.time_ns() // 1_000)).view(
                        pa.timestamp("us", tz="UTC")
                    ),
                    "lon": pa.array(lon[at]),
                    "lat": pa.array(lat[at]),
                    "value": pa.array(np.round(rng.normal(20, 5, BATCH_RECORDS), 1)),
                }
            )
            address = self.addresses[number % len(self.addresses)]
            reply = pool.request(
                "POST", address, target, headers=head, body=arrow_body(table), timeout_s=30.0
            )
            assert reply.status == 200, (reply.status, bytes(reply.body)[:300])

        return call


class Subscriber:
    """Notes when each record was seen, and when it had been sent."""

    def __init__(self, url: str) -> None:
        self._client = Client(url, direct=True)
        self.delays_s: list[tuple[float, float]] = []
        self.gaps = 0
        self.ready = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for event in self._client.follow(COLLECTION):
            now_s = time.time()
            self.ready.set()
            self.gaps += event.kind == "gap"
            for record in event.records:
                sent_s = datetime.fromisoformat(record["time"]).timestamp()
                self.delays_s.append((sent_s, now_s - sent_s))


def run(session: Session) -> list[Finding]:
    """On four nodes with two copies; writer, nodes and subscriber share one machine."""
    cluster = session.cluster(nodes=4, replicas=2, holding=session.stations())
    *written, read = (cluster.url(name) for name in cluster.names)
    subscriber = Subscriber(read)
    assert subscriber.ready.wait(10.0), "the stream did not begin"
    with Fleet(StampedWriteJob(tuple(written)), workers=WRITERS) as writer:
        begun_s = time.time()
        done = writer.run(SECONDS)
    end_s = time.time() + 10.0
    expected = len(done.latencies) * BATCH_RECORDS
    while len(subscriber.delays_s) < expected and time.time() < end_s:
        time.sleep(0.1)
    cluster.spoil()
    delays = np.array([late for sent, late in subscriber.delays_s if sent > begun_s + WARM_S])
    reached = done.rate * BATCH_RECORDS
    p99 = percentile_ms(delays, 99)
    seen = len(subscriber.delays_s)
    return [
        Finding(
            "streams-follow",
            f"p99 from produce to visible at a subscriber of another node, {RECORDS_PER_S:,} "
            "records/s",
            p99, "ms", f"≤ {BAR_MS:g} ms",
            p99 <= BAR_MS and reached >= 0.95 * RECORDS_PER_S and seen >= expected,
            details={
                "p50 ms": percentile_ms(delays, 50),
                "p99 of the writes ms": percentile_ms(done.latencies, 99),
                "written records/s": reached,
                "seen": float(seen),
                "gaps": float(subscriber.gaps),
            },
        )
    ]  # fmt: skip
