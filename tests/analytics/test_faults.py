"""Nodes that die: in the middle of a read, and so many that an answer cannot be whole."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import pyarrow as pa
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from analytics.errors import CoverageInsufficient
from analytics.session import why_failed
from analytics.source.data_source import ZringSource
from analytics.source.reader import ZringReader
from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.analytics.conftest import COUNT, load, rows_sent
from tests.cluster.material import make_places

NOTICED_S = 120.0
BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
PAYLOAD_BYTES = 4_000
"""With it a node's part is 20 MB: more than connections between a node and Spark's tasks hold."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Four nodes that may die."""
    with LocalCluster(make_places(tmp_path_factory.mktemp("mortal"))) as started:
        yield started


def whole_reader(cluster: LocalCluster, **options: str) -> ZringReader:
    """A reader as Spark makes it in the driver."""
    source = ZringSource({"url": ",".join(cluster.urls[::-1]), "collection": "weather", **options})
    return source.reader(source.schema())


def identities(batches: Iterator[pa.RecordBatch]) -> list[tuple[str, int]]:
    """(Sensor, time) of all rows, in their order."""
    return [
        pair
        for batch in batches
        for pair in zip(
            batch["sensor"].to_pylist(), batch["time"].cast("int64").to_pylist(), strict=True
        )
    ]


def test_a_node_that_dies_under_a_running_executor_costs_no_row(
    spark: SparkSession, cluster: LocalCluster, weather: pa.Table
) -> None:
    """The executor that got the first rows of a node's area ends that node, before the rest."""
    victim = cluster.nodes["ne"]
    pid, west, south = victim.process_id, 135.8, 33.8
    payload = pa.repeat("x" * PAYLOAD_BYTES, COUNT)
    with Client(cluster.urls[0], timeout_s=60.0) as client:
        assert client.write("wide", weather.append_column("text", payload), w="all").acknowledged

    def kill(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            lon, lat = batch["lon"].to_numpy(), batch["lat"].to_numpy()
            if ((lon >= west) & (lat >= south)).any():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            yield batch.select(["sensor", "time"])

    others = [url for url in cluster.urls if url != victim.place.url]
    sent = rows_sent(others)
    frame = load(spark, cluster, "wide", pageRows="100")
    usual = spark.conf.get(BATCH_ROWS)
    spark.conf.set(BATCH_ROWS, 100)  # so that the first rows arrive before the last are read
    try:
        rows = frame.mapInArrow(kill, "sensor string, time timestamp").toArrow()
    finally:
        spark.conf.set(BATCH_ROWS, usual)
    assert not victim.is_running()
    wanted = weather.select(["sensor", "time"])
    order = [("sensor", "ascending"), ("time", "ascending")]
    assert rows.cast(wanted.schema).sort_by(order).equals(wanted.sort_by(order))
    # The others sent a good part of what was its own: it died in mid-read.
    lon, lat = weather["lon"].to_numpy(), weather["lat"].to_numpy()
    own = int(((lon >= west) & (lat >= south)).sum())
    replaced = rows_sent(others) - sent - (COUNT - own)
    assert own / 4 < replaced < own + len(others)
    victim.kill()  # what is left of its process
    victim.start()
    victim.wait_ready()
    wait_for_state(cluster, "complete")


def test_a_node_that_dies_in_mid_read_is_replaced_from_the_last_row(
    spark: SparkSession, cluster: LocalCluster, weather: pa.Table
) -> None:
    reader = whole_reader(cluster, pageRows="500")
    tasks = reader.partitions()
    # The planner's order is that of the owners' names: the owner of this task is known.
    names = sorted(cluster.nodes)
    victim = names.index("nw")
    frame = load(spark, cluster, "weather", columns="sensor,time")
    batches = reader.read(tasks[victim])
    found = [next(batches), next(batches)]
    cluster.nodes["nw"].kill()
    found += list(batches)
    assert all(batch.num_rows <= 500 for batch in found) and len(found) > 4
    for position, task in enumerate(tasks):
        if position != victim:
            found += list(reader.read(task))
    rows = identities(iter(found))
    wanted = zip(
        weather["sensor"].to_pylist(), weather["time"].cast("int64").to_pylist(), strict=True
    )
    assert sorted(rows) == sorted(wanted) and len(set(rows)) == COUNT
    # Spark's own tasks, planned with the node and without it.
    assert frame.count() == COUNT
    assert frame.select("sensor", "time").distinct().count() == COUNT


def test_an_answer_that_may_lack_records_is_never_taken_for_a_whole_one(
    spark: SparkSession,
    cluster: LocalCluster,
    weather: pa.Table,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert not cluster.nodes["nw"].is_running(), "the test before has stopped it"
    wait_for_state(cluster, "local")
    with caplog.at_level(logging.WARNING, "analytics.source"):
        reader = whole_reader(cluster)
        rows = sum(batch.num_rows for task in reader.partitions() for batch in reader.read(task))
    assert rows == COUNT
    assert "weather: the answer is local: away: nw since 20" in caplog.text
    with pytest.raises(PySparkException, match="option require=complete asks for better"):
        load(spark, cluster, "weather", require="complete").count()
    for name in ("sw", "se"):
        cluster.nodes[name].kill()
    wait_for_state(cluster, "partial")
    with pytest.raises(PySparkException) as caught:
        load(spark, cluster, "weather").count()
    text = str(caught.value)
    assert "weather: the answer is partial: no node with the records is in contact for (" in text
    assert "away: nw since 20" in text and "accept it with require=partial" in text
    # A command says the same in one line and ends with the code of a part.
    why = why_failed(text)
    assert type(why) is CoverageInsufficient and "\n" not in str(why)
    assert str(why).startswith("weather: the answer is partial") and "require=partial" in str(why)
    some = load(spark, cluster, "weather", require="partial").count()
    assert 0 < some < COUNT


def wait_for_state(cluster: LocalCluster, state: str) -> None:
    """Wait until the node that stays says so of the whole collection."""
    deadline_s = time.monotonic() + NOTICED_S
    with Client(cluster.urls[-1], timeout_s=30.0, direct=True) as client:
        while client.query("weather", limit=1).coverage.state != state:
            assert time.monotonic() < deadline_s, f"no answer became {state}"
