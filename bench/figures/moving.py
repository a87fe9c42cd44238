"""The queries once more with 2 M records of 20,000 moving sensors: no position comes twice."""

from bench.figures import aggregate, n2, small
from bench.finding import Finding
from bench.session import Session

DISK_BYTES_MAX = 40.0


def run(session: Session) -> list[Finding]:
    """Four nodes; bars are those of PostGIS on the same rows."""
    dataset = session.vehicles()
    findings = n2.arrow_findings(session, dataset, figure="moving")
    findings += n2.geojson_findings(session, dataset, figure="moving")
    findings += small.four_findings(session, dataset, figure="moving")
    findings += aggregate.findings_of(session, dataset, figure="moving")
    cluster = session.cluster(nodes=4, replicas=2, holding=dataset)
    per_record = sum(cluster.live_bytes().values()) / cluster.records()
    findings.append(
        Finding(
            "moving", "disk per record and copy, moving sensors, after merging (live pages)",
            per_record, "bytes", f"≤ {DISK_BYTES_MAX:g} bytes", per_record <= DISK_BYTES_MAX,
            references={
                "PostGIS": session.postgis(dataset).bytes_of(dataset) / len(dataset),
                "QuestDB": session.questdb(dataset).bytes_of(dataset) / len(dataset),
                "DuckDB in-process": session.duckdb(dataset).bytes_on_disk() / len(dataset),
            },
            compared="DuckDB in-process",
        )
    )  # fmt: skip
    return findings
