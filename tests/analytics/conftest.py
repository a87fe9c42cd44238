"""A real standalone Spark cluster (master and three workers), and four real nodes to read from."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from analytics.session import open_session
from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.cluster.material import counter, make_places, make_records

ROOT = Path(__file__).parents[2]
START_S = 400.0
STOP_S = 30.0
COUNT = 20_000
TEST_S = 1_800
"""The first test of all waits for Spark and four nodes, whatever else the machine does."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time that their processes need to start."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(TEST_S))


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster of Spark's own processes, as an operator starts it."""
    folder = tmp_path_factory.mktemp("standalone")
    command = [
        str(ROOT / "deploy" / "spark" / "standalone.sh"), "--port", "0", "--workers", "3",
        "--memory", "700m", "--folder", str(folder), "--stop-on-eof",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], START_S)
        assert ready, "the standalone cluster did not start in time"
        address = process.stdout.readline().strip()
        assert address.startswith("spark://"), address
        yield address
    finally:
        process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def spark(master: str) -> Iterator[SparkSession]:
    """One session for all tests; its executors are processes of the workers."""
    session = open_session(
        master=master,
        name="tests",
        settings={
            "spark.driver.memory": "700m",
            "spark.executor.memory": "512m",
            "spark.cores.max": "2",  # one worker is left for the commands
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.shuffle.partitions": "2",
            "spark.log.level": "ERROR",
            "spark.executorEnv.PYTHONPATH": str(ROOT),
        },
    )
    yield session
    session.stop()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Four nodes that all tests share; a test writes to collections of its own."""
    with LocalCluster(make_places(tmp_path_factory.mktemp("cluster"))) as started:
        yield started


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A client of the nodes."""
    with Client(cluster.urls[0], timeout_s=30.0) as made:
        yield made


@pytest.fixture(scope="module")
def weather(cluster: LocalCluster) -> pa.Table:
    """Records that the nodes hold in the collection `weather`, and no others; writing them again
    changes nothing."""
    table = make_records(COUNT, seed=7)
    with Client(cluster.urls[0], timeout_s=60.0) as writer:
        assert writer.write("weather", table, w="all").stored == COUNT
    return table


@pytest.fixture
def frame(spark: SparkSession, cluster: LocalCluster, weather: pa.Table) -> DataFrame:
    """The same as a DataFrame."""
    return load(spark, cluster, "weather")


def load(
    spark: SparkSession, cluster: LocalCluster, collection: str, **options: object
) -> DataFrame:
    """A collection; the first node of the list is the one that is asked."""
    reader = spark.read.format("zring").option("url", ",".join(cluster.urls))
    for name, value in options.items():
        reader = reader.option(name, str(value))
    return reader.load(collection)


def rows_sent(urls: Iterable[str]) -> float:
    """Records that these nodes have sent to clients so far."""
    return sum(counter(url, "zring_http_sent_rows_total") for url in urls)
