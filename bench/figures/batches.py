"""Batches of 1,000 records, each acknowledged durably before the next is sent, one client."""

import time
from collections.abc import Callable

import psycopg

from bench.dataset import Dataset
from bench.finding import Finding, fastest
from bench.references import postgis as postgis_tables
from bench.references import questdb as questdb_tables
from bench.session import Session
from bench.zring_cluster import arrow_body
from node.client.connection import ConnectionPool

BATCH = 1_000
RECORDS = 200_000
BAR = 200_000.0
ROUNDS = 3


def run(session: Session) -> list[Finding]:
    """Bodies are encoded before the clock starts, for every system."""
    dataset = session.stations()
    part = dataset.head(RECORDS)
    cluster = session.cluster(nodes=1, replicas=0, holding=dataset)
    contenders = {
        "zring": _zring(cluster.url(), part),
        "PostGIS (COPY)": _postgis(session, part),
        "QuestDB (ILP)": _questdb(session, part),
    }
    best: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(ROUNDS):
        for name, write_all in contenders.items():
            session.say(f"batches: {name}, round {turn + 1} of {ROUNDS}")
            started = time.perf_counter()
            write_all(turn)
            best[name].append(len(part) / (time.perf_counter() - started))
    rates = {name: sorted(values)[len(values) // 2] for name, values in best.items()}
    value = rates.pop("zring")
    slowest = {name: -rate for name, rate in rates.items()}
    return [
        Finding(
            "batches", f"batches of {BATCH:,} records, each durable, one client, one copy",
            value, "records/s", f"≥ {BAR:,.0f}/s", value >= BAR, better="higher",
            references=rates, compared=fastest(slowest, *slowest),
        )
    ]  # fmt: skip


def _zring(url: str, part: Dataset) -> Callable[[int], None]:
    bodies = [arrow_body(part.table.slice(at, BATCH)) for at in range(0, len(part), BATCH)]
    pool = ConnectionPool(headers={"Accept-Encoding": "identity"})
    head = "Content-Type: application/vnd.apache.arrow.stream\r\n"

    def write_all(turn: int) -> None:
        target = f"/collections/batches{turn}/items?w=one"
        for body in bodies:
            reply = pool.request("POST", url, target, headers=head, body=body, timeout_s=60.0)
            assert reply.status == 200, (reply.status, bytes(reply.body)[:300])

    return write_all


def _postgis(session: Session, part: Dataset) -> Callable[[int], None]:
    link = psycopg.connect(session.postgis(session.stations()).dsn, autocommit=True)
    chunks = list(postgis_tables.csv_chunks(part, BATCH))

    def write_all(turn: int) -> None:
        table = f"batches{turn}"
        link.execute(f"DROP TABLE IF EXISTS {table}")
        postgis_tables.create_table(link, table)
        statement = (
            f"COPY {table} (collection, sensor, ts, lon, lat, value) FROM STDIN (FORMAT csv)"
        )
        for chunk in chunks:
            with link.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(chunk)

    return write_all


def _questdb(session: Session, part: Dataset) -> Callable[[int], None]:
    server = session.questdb(session.stations())

    def write_all(turn: int) -> None:
        table = f"batches{turn}"
        with psycopg.connect(server.dsn, autocommit=True) as link:
            link.execute(f"DROP TABLE IF EXISTS {table}")
            questdb_tables.create_table(link, table)
        with server.writer() as write:
            for body in bodies[turn]:
                write(body)

    bodies = [
        list(questdb_tables.ilp_chunks(part, f"batches{turn}", BATCH)) for turn in range(ROUNDS)
    ]
    return write_all
