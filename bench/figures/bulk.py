"""Bulk load through HTTP with the client: Arrow in, durable replies out."""

import numpy as np

from bench.finding import Finding
from bench.session import Session

LOADS = 3
"""Fresh clusters; the median counts."""


def run_one(session: Session) -> list[Finding]:
    """One node, one copy."""
    dataset = session.stations()
    session.postgis(dataset)
    rates = [len(dataset) / _load(session, nodes=1, replicas=0)[0] for _ in range(LOADS)]
    stages = session.postgis(dataset).load(dataset, progress=session.say)
    quest = session.questdb(dataset).load(dataset, progress=session.say)
    value = float(np.median(rates))
    return [
        Finding(
            "bulk-one", f"bulk load of {len(dataset):,} records through HTTP, durable, one copy",
            value, "records/s", "≥ 600,000/s", value >= 600_000, better="higher",
            references={
                "PostGIS (copy + index)": len(dataset) / (stages["copy"] + stages["index"]),
                "PostGIS (copy + index + cluster)": len(dataset) / sum(stages.values()),
                "QuestDB (ILP, readable)": len(dataset) / quest["ilp"],
            },
            compared="QuestDB (ILP, readable)",
            details={"each": ", ".join(f"{rate:,.0f}" for rate in rates)},
        )
    ]  # fmt: skip


def run_replicas(session: Session) -> list[Finding]:
    """Four nodes; the clock runs until all three disks of each record have it."""
    dataset = session.stations()
    loads = [_load(session, nodes=4, replicas=2) for _ in range(LOADS)]
    everywhere = [len(dataset) / seconds for _, seconds in loads]
    acknowledged = [len(dataset) / seconds for seconds, _ in loads]
    value = float(np.median(everywhere))
    return [
        Finding(
            "bulk-replicas",
            f"bulk load of {len(dataset):,} records through HTTP, until three disks have each",
            value, "records/s", "≥ 200,000/s", value >= 200_000, better="higher",
            details={
                "acknowledged (w=one) records/s": float(np.median(acknowledged)),
                "each": ", ".join(f"{rate:,.0f}" for rate in everywhere),
            },
        )
    ]  # fmt: skip


def _load(session: Session, *, nodes: int, replicas: int) -> tuple[float, float]:
    cluster = session.fresh_cluster(nodes=nodes, replicas=replicas)
    dataset = session.stations()
    session.say(f"zring: load {len(dataset):,} records")
    times = cluster.load(dataset)
    cluster.wait_merged()
    return times.acknowledged_s, times.everywhere_s
