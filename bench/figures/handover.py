"""What the mover costs between two real nodes: filling one that lost its disk, and agreeing."""

import time

import numpy as np
import pyarrow as pa

import zring
from bench.dataset import Dataset
from bench.finding import Finding
from bench.session import Session
from bench.zring_cluster import ZringCluster

RATE_BAR = 100_000
AGREEMENT_BYTES_BAR = 100_000
SCATTERED = 1_000
SCATTERED_BYTES_BAR = 20_000_000
TIMEOUT_S = 300.0


def run(session: Session) -> list[Finding]:
    """Wipe one of two nodes and let it be filled; then start the other anew and let them agree."""
    whole = session.stations()
    cluster = session.cluster(nodes=2, replicas=1, holding=whole)
    full, lost = cluster.names
    session.say(f"zring: {lost} loses its disk")
    cluster.restart_node(lost, wiped=True)
    rate = _fill(cluster, full, len(whole))
    cluster.wait_ready(lost)
    cluster.wait_merged()
    session.say(f"zring: {full} starts again and compares everything")
    cluster.restart_node(full)
    cluster.wait_ready(full)
    agreed_s = _wait_agreed(cluster, full, lost)
    carried = _carried(cluster, full)
    moved = cluster.metric(full, "zring_records_moved_total")
    cluster.spoil()
    scattered = _scatter(cluster, session, whole, full, lost)
    return [
        Finding(
            "handover", f"a node that lost its disk is filled with {len(whole):,} records",
            rate, "records/s", f"≥ {RATE_BAR:,}", rate >= RATE_BAR, better="higher",
        ),
        Finding(
            "agreement", f"two nodes find that they agree on {len(whole):,} records",
            carried, "bytes", f"≤ {AGREEMENT_BYTES_BAR:,}",
            carried <= AGREEMENT_BYTES_BAR and not moved,
            details={"known after the start, s": agreed_s, "records moved": f"{moved:.0f}"},
        ),
        Finding(
            "scattered", f"{SCATTERED:,} scattered records are found among {len(whole):,} and sent",
            scattered, "bytes", f"≤ {SCATTERED_BYTES_BAR:,}", scattered <= SCATTERED_BYTES_BAR,
        ),
    ]  # fmt: skip


def _fill(cluster: ZringCluster, full: str, count: int) -> float:
    """Records a second, from the last look at which nothing had been sent to the last record."""
    began = waited = time.perf_counter()
    while True:
        moved = cluster.metric(full, "zring_records_moved_total")
        now = time.perf_counter()
        if not moved:
            began = now
        if moved >= count:
            return moved / (now - began)
        if now - waited > TIMEOUT_S:
            raise TimeoutError(f"{moved:,.0f} of {count:,} records after a long time")
        time.sleep(0.02)


def _scatter(
    cluster: ZringCluster, session: Session, whole: Dataset, full: str, lost: str
) -> float:
    """Bytes between the nodes until one has what was written all over while it was away, and
    nobody remembers where."""
    session.say(f"zring: {SCATTERED:,} scattered records while {lost} is away")
    cluster.process(lost).stop()
    chosen = np.random.default_rng(1).choice(len(whole), SCATTERED, replace=False)
    table = whole.table.take(pa.array(np.sort(chosen)))
    names = pa.array(["scattered"] * SCATTERED, pa.string())
    table = table.set_column(table.schema.get_field_index("sensor"), "sensor", names)
    with zring.connect(cluster.url(full)) as client:
        client.write(whole.collection, table)
    for name in (full, lost):
        cluster.restart_node(name)
        cluster.wait_ready(name)
    _wait_agreed(cluster, full, lost)
    moved = cluster.metric(full, "zring_records_moved_total")
    assert moved >= SCATTERED * 0.9, f"{moved:.0f} records moved"
    return _carried(cluster, full)


def _carried(cluster: ZringCluster, name: str) -> float:
    return sum(
        cluster.metric(name, f"zring_mover_{way}_total") for way in ("bytes_sent", "bytes_received")
    )


def _wait_agreed(cluster: ZringCluster, full: str, lost: str) -> float:
    """Seconds until the node that started owes the other nothing any more."""
    ready = time.perf_counter()
    while cluster.owed(full, lost):
        if time.perf_counter() - ready > TIMEOUT_S:
            raise TimeoutError(f"{full} has not compared everything after a long time")
        time.sleep(0.02)
    return time.perf_counter() - ready
