"""Reading into Spark: everything, and a small part of it; beside Spark's JDBC on PostgreSQL.

The session is embedded, with two tasks at a time on the two cores that nodes and servers use as
well. It is started and has read once before anything is timed. Counting every column makes every
value cross into Spark: its API for Python sources prunes none.
"""

import statistics
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.dataset import Dataset
from bench.finding import Finding
from bench.question import Question, WrongAnswer
from bench.references.postgis import PostGis
from bench.session import Session
from bench.stopwatch import alternate, median_ms
from bench.zring_cluster import ZringCluster

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

JVM = Path(__file__).parents[2] / "deploy" / "jvm"
CORES = 2
RECORDS_PER_S_BAR = 800_000
TIMES_JDBC_BAR = 5.0
PUSHED_S_BAR = 1.0
SENT_BAR = 1.05
TUNED = "Spark JDBC on PostgreSQL, cut by time, 10,000 rows a fetch"
PLAIN = "Spark JDBC on PostgreSQL, as it comes"
FETCH_ROWS = 10_000
ROUNDS = 5
COLUMNS = ("sensor", "time", "lon", "lat", "value")


def run_full(session: Session) -> list[Finding]:
    """All records, all columns."""
    dataset = session.stations()
    cluster, server = _systems(session, dataset)
    with _Spark() as spark:
        ours = _zring(spark, cluster, dataset)
        frames = {
            "zring": ours,
            TUNED: _jdbc(spark, server, dataset),
            PLAIN: _jdbc(spark, server, dataset, tuned=False),
        }
        tasks = ours.rdd.getNumPartitions()
        expected = (len(dataset),) * len(COLUMNS)
        for name, frame in frames.items():
            _check(_counts(frame), expected, name)
        taken = alternate(
            {name: partial(_counts, frame) for name, frame in frames.items()},
            rounds=3, warmup=1,
        )  # fmt: skip
        cpu_before, started = cluster.cpu_seconds(), time.perf_counter()
        _counts(ours)
        last_s = time.perf_counter() - started
        node_cpu_s = cluster.cpu_seconds() - cpu_before
    rates = {name: len(dataset) / statistics.median(each.tolist()) for name, each in taken.items()}
    value = rates.pop("zring")
    return [
        Finding(
            "analytics-read",
            f"{len(dataset):,} records of four nodes into Spark, count of all columns",
            round(value),
            "records/s",
            f"≥ {RECORDS_PER_S_BAR:,} and ≥ {TIMES_JDBC_BAR:g} × JDBC on PostgreSQL",
            value >= RECORDS_PER_S_BAR and value >= TIMES_JDBC_BAR * max(rates.values()),
            better="higher",
            references={name: round(rate) for name, rate in rates.items()},
            compared=TUNED,
            details={"tasks": tasks, "node CPU, s": round(node_cpu_s, 2),
                     "of a read of, s": round(last_s, 2),
                     "times the plain JDBC": round(value / rates[PLAIN], 2)},
        )
    ]  # fmt: skip


def run_pushed(session: Session) -> list[Finding]:
    """A box and some weeks: a hundredth of the records."""
    dataset = session.stations()
    cluster, server = _systems(session, dataset)
    asked = session.asked(dataset).across
    needed = session.oracle(dataset).answer(asked).rows
    with _Spark() as spark:

        def pushed() -> "DataFrame":
            # Loaded for each query anew, as `pushdown` asks for; that is timed as well.
            return _part(_zring(spark, cluster, dataset, pushdown="true"), asked)

        jdbc = _part(_jdbc(spark, server, dataset), asked)
        for name, frame in (("zring", pushed()), (TUNED, jdbc)):
            _check(len(frame.toPandas()), needed, name)
        rows, sent = (_sent(cluster, unit) for unit in ("rows", "bytes"))
        pushed().toPandas()
        rows, sent = _sent(cluster, "rows") - rows, _sent(cluster, "bytes") - sent
        taken = alternate(
            {"zring": lambda: pushed().toPandas(), TUNED: lambda: jdbc.toPandas()},
            rounds=ROUNDS,
        )
    medians = {name: median_ms(each) / 1e3 for name, each in taken.items()}
    return [
        Finding(
            "analytics-pushdown",
            f"{needed:,} of {len(dataset):,} records, by place and time, to pandas",
            round(medians["zring"], 3),
            "s",
            f"≤ {PUSHED_S_BAR:g} s; rows sent ≤ {SENT_BAR} × needed",
            medians["zring"] <= PUSHED_S_BAR and rows <= SENT_BAR * needed,
            references={TUNED: round(medians[TUNED], 3)},
            compared=TUNED,
            details={"rows sent ÷ needed": round(rows / needed, 4), "bytes sent": sent},
        )
    ]


class _Spark:
    """An embedded session for as long as a figure lasts."""

    def __enter__(self) -> "SparkSession":
        from analytics.session import open_session

        subprocess.run([str(JVM / "fetch.sh"), "postgresql"], check=True)
        jars = sorted((JVM / "jars" / "postgresql").glob("*.jar"))
        settings = {"spark.driver.memory": "2g", "spark.log.level": "ERROR"}
        self._session = open_session(
            master=f"local[{CORES}]", name="bench", jars=jars, settings=settings
        )
        return self._session

    def __exit__(self, *_: object) -> None:
        self._session.stop()


def _systems(session: Session, dataset: Dataset) -> tuple[ZringCluster, PostGis]:
    server = session.postgis(dataset)
    return session.cluster(nodes=4, replicas=2, holding=dataset), server


def _zring(
    spark: "SparkSession", cluster: ZringCluster, dataset: Dataset, **options: str
) -> "DataFrame":
    reader = spark.read.format("zring").options(url=cluster.url(), **options)
    return reader.option("columns", ",".join(COLUMNS)).load(dataset.collection)


def _jdbc(
    spark: "SparkSession", server: PostGis, dataset: Dataset, *, tuned: bool = True
) -> "DataFrame":
    """As it comes: one task, the driver's own fetch size. Tuned: as many tasks as cores, cut by
    time, rows fetched in large portions."""
    settings = dict(pair.split("=") for pair in server.dsn.split())
    reader = (
        spark.read.format("jdbc")
        .option("url", "jdbc:postgresql://{host}:{port}/{dbname}".format(**settings))
        .option("user", settings["user"])
        .option("driver", "org.postgresql.Driver")
        .option("dbtable", f"(SELECT sensor, ts AS time, lon, lat, value FROM {dataset.name}) r")
    )
    if not tuned:
        return reader.load()
    times = dataset.table["time"]
    return (
        reader.option("fetchsize", FETCH_ROWS)
        .option("numPartitions", CORES)
        .option("partitionColumn", "time")
        .option("lowerBound", str(times[0].as_py()))
        .option("upperBound", str(times[-1].as_py()))
        .load()
    )


def _counts(frame: "DataFrame") -> tuple[int, ...]:
    from pyspark.sql.functions import count

    return tuple(frame.agg(*(count(name) for name in COLUMNS)).collect()[0])


def _part(frame: "DataFrame", asked: Question) -> "DataFrame":
    from pyspark.sql.functions import col, lit

    lon, lat, moment = col("lon"), col("lat"), col("time")
    inside = lon.between(asked.west, asked.east) & lat.between(asked.south, asked.north)
    return frame.where(inside & (moment >= lit(asked.start())) & (moment < lit(asked.stop())))


def _sent(cluster: ZringCluster, unit: str) -> float:
    return sum(cluster.metric(name, f"zring_http_sent_{unit}_total") for name in cluster.names)


def _check(found: Any, expected: Any, who: str) -> None:
    if found != expected:
        raise WrongAnswer(f"{who} answered {found}, numpy says {expected}")
