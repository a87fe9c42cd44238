"""A sensor network's uplink: batches of 1,000 records at a steady rate, durable one by one."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bench.zring_cluster import arrow_body
from node.client.connection import ConnectionPool

STATIONS = 40
FIRST_US = 1_767_225_600_000_000
"""2026-01-01T00:00Z: after every record of the data sets, so that no read finds these."""


@dataclass(frozen=True, slots=True)
class PacedWriteJob:
    """One batch per call; calls wait for their turn, so that the rate is kept and not exceeded."""

    address: str
    collection: str
    records_per_s: int
    batch_records: int = 1_000

    def open(self, worker: int) -> Callable[[int], None]:
        """Connect."""
        pool = ConnectionPool(headers={"Accept-Encoding": "identity"})
        head = "Content-Type: application/vnd.apache.arrow.stream\r\n"
        target = f"/collections/{self.collection}/items?w=one"
        interval_s = self.batch_records / self.records_per_s
        due = [0.0]

        def call(number: int) -> None:
            body = arrow_body(self._batch(number))
            now = time.monotonic()
            due[0] = max(due[0] + interval_s, now - 0.5)
            time.sleep(max(0.0, due[0] - now))
            reply = pool.request(
                "POST", self.address, target, headers=head, body=body, timeout_s=30.0
            )
            assert reply.status == 200, (reply.status, bytes(reply.body)[:300])

        return call

    def _batch(self, number: int) -> pa.Table:
        """A record of each of 40 stations for each of 25 ten-second steps."""
        index = np.arange(self.batch_records)
        station = index % STATIONS
        step = number * (self.batch_records // STATIONS) + index // STATIONS
        names = pa.array([f"arriving-{one}" for one in range(STATIONS)])
        return pa.table(
            {
                "sensor": names.take(pa.array(station)),
                "time": pa.array(FIRST_US + step * 10_000_000).view(pa.timestamp("us", tz="UTC")),
                "lon": pa.array(135.02 + station % 8 * 0.2),
                "lat": pa.array(33.02 + station // 8 * 0.3),
                "value": pa.array(np.round(20 + 5 * np.sin(step / 360), 1)),
            }
        )
