"""What the data takes: anonymous memory of a node after the load, pages on disk after merging."""

from bench.finding import Finding
from bench.session import Session

MEMORY_MB_MAX = 300.0
DISK_BYTES_MAX = 15.0


def run(session: Session) -> list[Finding]:
    """Four nodes with two replicas each: every node holds three quarters or more."""
    dataset = session.stations()
    cluster = session.cluster(nodes=4, replicas=2, holding=dataset)
    memory = {name: used / (1 << 20) for name, used in cluster.memory_bytes().items()}
    records, live = cluster.node_records(), cluster.live_bytes()
    per_record = sum(live.values()) / sum(records.values())
    theirs = {
        "PostGIS": session.postgis(dataset).bytes_of(dataset) / len(dataset),
        "QuestDB": session.questdb(dataset).bytes_of(dataset) / len(dataset),
        "DuckDB in-process": session.duckdb(dataset).bytes_on_disk() / len(dataset),
    }
    return [
        Finding(
            "size", "memory of the largest of four nodes after the load (RssAnon)",
            max(memory.values()), "MB", f"≤ {MEMORY_MB_MAX:g} MB",
            max(memory.values()) <= MEMORY_MB_MAX,
            details={
                "each": ", ".join(f"{value:.0f}" for value in memory.values()),
                "records each": ", ".join(f"{count:,}" for count in records.values()),
            },
        ),
        Finding(
            "size", "disk per record and copy, station data, after merging (live pages)",
            per_record, "bytes", f"≤ {DISK_BYTES_MAX:g} bytes", per_record <= DISK_BYTES_MAX,
            references=theirs, compared="DuckDB in-process",
            details={"of these in the log": f"{cluster.log_records():,}"},
        ),
    ]  # fmt: skip
