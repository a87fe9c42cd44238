"""Small queries: one or two stations, one or two days, about 100 rows, 8 connections at once.

Every system gets the same eight client processes with one connection each; rounds alternate.
"""

from collections.abc import Mapping

import numpy as np

from bench.dataset import Dataset
from bench.finding import Finding
from bench.fleet import WARMUP_S, Fleet, Round
from bench.jobs import ReadJob
from bench.session import Session
from bench.stopwatch import percentile_ms
from bench.zring_cluster import ZringCluster
from bench.zring_reader import ZringReader

CONNECTIONS = 8
ROUNDS = 3
CHECKED = 50
"""Questions whose checksums are compared before; every timed answer is compared in its rows."""


def run_one(session: Session) -> list[Finding]:
    """One node process that holds everything."""
    dataset = session.stations()
    cluster = session.cluster(nodes=1, replicas=0, holding=dataset)
    rates, p99 = measure(session, dataset, cluster, direct=True)
    ours, tail = rates.pop("zring"), p99["zring"]
    return [
        Finding(
            "small-one", "queries of about 100 rows, Arrow, 8 connections, one node process",
            ours, "queries/s", "≥ 3,500/s, p99 ≤ 10 ms", ours >= 3_500 and tail <= 10.0,
            better="higher", references=rates, compared="PostGIS",
            details=_details(p99),
        )
    ]  # fmt: skip


def run_four(session: Session) -> list[Finding]:
    """Four node processes through the client, which asks the owner."""
    return four_findings(session, session.stations(), figure="small-four")


def four_findings(session: Session, dataset: Dataset, *, figure: str) -> list[Finding]:
    """For either data set; the bar for moving sensors is not to be slower than PostGIS."""
    cluster = session.cluster(nodes=4, replicas=2, holding=dataset)
    rates, p99 = measure(session, dataset, cluster, direct=False)
    ours = rates.pop("zring")
    share = 0.6 if figure == "small-four" else 1.0
    bar = "≥ 0.6 × clustered PostGIS" if figure == "small-four" else "not slower than PostGIS"
    return [
        Finding(
            figure,
            f"queries of about 100 rows ({dataset.name}), Arrow, 8 connections, four nodes",
            ours, "queries/s", bar, ours >= share * rates["PostGIS"],
            better="higher", references=rates, compared="PostGIS",
            details=_details(p99),
        )
    ]  # fmt: skip


def measure(
    session: Session, dataset: Dataset, cluster: ZringCluster, *, direct: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Queries per second (median of rounds) and p99 in ms (of all rounds) of each system."""
    questions = session.asked(dataset).small
    oracle = session.oracle(dataset)
    expected = [len(oracle.matches(question)) for question in questions]
    _check(session, dataset, cluster, direct=direct)
    postgis = session.postgis(dataset)
    table = dataset.key().replace("-", "_")
    ours = ReadJob("zring", cluster.url(), dataset.collection, questions, expected, direct)
    theirs = ReadJob("postgis", postgis.dsn, dataset.name, questions, expected)
    quest = ReadJob("questdb", session.questdb(dataset).dsn, table, questions, expected)
    session.say("start 24 client processes")
    with (
        Fleet(ours, workers=CONNECTIONS) as zring_fleet,
        Fleet(theirs, workers=CONNECTIONS) as postgis_fleet,
        Fleet(quest, workers=CONNECTIONS) as questdb_fleet,
    ):
        fleets = {"zring": zring_fleet, "PostGIS": postgis_fleet, "QuestDB": questdb_fleet}
        rounds: Mapping[str, list[Round]] = {name: [] for name in fleets}
        for _ in range(ROUNDS):
            for name, fleet in fleets.items():
                rounds[name].append(fleet.run(session.seconds))
        used_s = cluster.cpu_seconds()
        last = zring_fleet.run(session.seconds)
        used_s = cluster.cpu_seconds() - used_s
    rates = {name: float(np.median([one.rate for one in all_])) for name, all_ in rounds.items()}
    p99 = {
        name: percentile_ms(np.concatenate([one.latencies for one in all_]), 99)
        for name, all_ in rounds.items()
    }
    calls = len(last.latencies) * (session.seconds + WARMUP_S) / session.seconds
    p99["node CPU"] = round(used_s / calls * 1e6)
    p99["p50"] = percentile_ms(np.concatenate([one.latencies for one in rounds["zring"]]), 50)
    return rates, p99


def _details(p99: Mapping[str, float]) -> dict[str, float | str]:
    return {
        "p50 ms": p99["p50"],
        "p99 ms": p99["zring"],
        "p99 ms of PostGIS": p99["PostGIS"],
        "p99 ms of QuestDB": p99["QuestDB"],
        "node CPU of one, µs": p99["node CPU"],
    }


def _check(session: Session, dataset: Dataset, cluster: ZringCluster, *, direct: bool) -> None:
    oracle = session.oracle(dataset)
    ours = ZringReader(cluster.url(), dataset.collection, direct=direct)
    systems = (ours, session.postgis_reader(dataset), session.questdb_reader(dataset))
    for question in session.asked(dataset).small[:CHECKED]:
        expected = oracle.answer(question)
        for system in systems:
            expected.check(system.checksum(question), system.name)
    ours.close()
