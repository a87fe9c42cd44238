"""Count and mean per cell of 0.1 degrees (level 4) over one month: 75,000 of 2 M records."""

from bench.dataset import Dataset
from bench.finding import Finding
from bench.question import check_cells
from bench.session import Session
from bench.stopwatch import alternate, median_ms
from bench.zring_reader import ZringReader

ROUNDS = 15
BAR_MS = 8.0


def run(session: Session) -> list[Finding]:
    """On four nodes: each aggregates its own area."""
    return findings_of(session, session.stations(), figure="aggregate")


def findings_of(session: Session, dataset: Dataset, *, figure: str) -> list[Finding]:
    """For either data set; the bar for moving sensors is not to be slower than PostGIS."""
    cluster = session.cluster(nodes=4, replicas=2, holding=dataset)
    month = session.asked(dataset).month
    ours = ZringReader(cluster.url(), dataset.collection)
    systems = (ours, session.postgis_reader(dataset), session.questdb_reader(dataset),
               session.duckdb(dataset))  # fmt: skip
    expected = session.oracle(dataset).cells(month)
    for system in systems:
        check_cells(expected, system.cells(month), system.name)
    calls = {system.name: lambda system=system: system.cells(month) for system in systems}
    taken = alternate(calls, rounds=ROUNDS)
    medians = {name: median_ms(seconds) for name, seconds in taken.items()}
    value = medians.pop("zring")
    rows = session.oracle(dataset).answer(month).rows
    absolute = figure == "aggregate"
    ours.close()
    return [
        Finding(
            figure,
            f"count and mean per 0.1° cell, {rows:,} of {len(dataset):,} records"
            f" ({dataset.name}) → {len(expected)} cells",
            value,
            "ms",
            f"≤ {BAR_MS:g} ms" if absolute else "not slower than PostGIS",
            value <= (BAR_MS if absolute else medians["PostGIS"]),
            references=medians,
            compared="PostGIS",
        )
    ]
