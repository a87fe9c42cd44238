"""Writes: once however often, rejected records counted, streams that start again."""

from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, lit, when

from ingest.demo.nodes import LocalCluster
from node.client import Client

MANY = 3_000


@pytest.fixture
def records(spark: SparkSession) -> DataFrame:
    """Records of 30 sensors, with values of several types."""
    return spark.range(MANY).selectExpr(
        "concat('s', id % 30) AS sensor",
        "timestamp_micros(1700000000000000 + id * 1000000) AS time",
        "135D + (id % 30) * 0.05D AS lon",
        "33D + (id % 7) * 0.2D AS lat",
        "id / 10D AS temp",
        "cast(id AS decimal(10, 1)) AS exact",
        "id AS number",
        "id % 2 = 0 AS even",
        "array(id, id + 1) AS pair",
        "encode('x', 'UTF-8') AS raw",
    )


def store(frame: DataFrame, cluster: LocalCluster, collection: str, **options: str) -> None:
    writer = frame.write.format("zring").mode("append").option("url", cluster.urls[1])
    writer.options(**options).save(collection)


def test_writing_twice_is_writing_once(
    records: DataFrame, cluster: LocalCluster, client: Client
) -> None:
    for _ in range(2):
        store(records, cluster, "written", w="quorum")
    found = client.query("written").table
    assert found.num_rows == MANY
    row = client.query("written", filter="number = 123").to_pylist()[0]
    assert (row["sensor"], row["temp"], row["even"], row["raw"]) == ("s3", 12.3, False, b"x")
    assert row["exact"] == 123.0
    assert row["pair"] in ("[123,124]", [123, 124])
    assert row["time"].timestamp() == 1_700_000_123


def test_what_is_read_can_be_written_elsewhere(
    spark: SparkSession, records: DataFrame, cluster: LocalCluster, client: Client
) -> None:
    store(records, cluster, "first")
    reader = spark.read.format("zring").option("url", cluster.urls[0])
    store(reader.load("first").where(col("number") < 100), cluster, "second")
    copied = client.query("second").table.select(["sensor", "time", "lon", "lat", "temp"])
    assert copied.num_rows == 100
    assert copied.equals(
        client.query("first", filter="number < 100").table.select(copied.column_names)
    )


def test_rejected_records_fail_the_job_or_are_dropped(
    records: DataFrame, cluster: LocalCluster, client: Client
) -> None:
    some = records.where(col("number") < 100)
    outside = some.withColumn("lon", when(col("number") % 10 == 0, lit(10.0)).otherwise(col("lon")))
    with pytest.raises(PySparkException) as caught:
        store(outside, cluster, "rejected")
    text = str(caught.value)
    assert "rejected: 10 records were rejected (outside-domain 10), 90 are stored" in text
    assert "rejected=drop" in text
    assert len(client.query("rejected")) == 90
    store(outside, cluster, "dropped", rejected="drop")
    assert len(client.query("dropped")) == 90


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("append", {"drop": ["lon", "lat"]}, "the columns lon, lat are missing"),
    ("overwrite", {}, "records are never deleted by a write"),
    ("append", {"options": {"w": "most"}}, "choose one of one, quorum, all"),
]


@pytest.mark.parametrize(("mode", "change", "words"), WRONG, ids=[case[2] for case in WRONG])
def test_wrong_writes_say_what_is_right(
    records: DataFrame, cluster: LocalCluster, mode: str, change: dict[str, Any], words: str
) -> None:
    frame = records.drop(*change.get("drop", ()))
    writer = frame.write.format("zring").mode(mode).option("url", cluster.urls[0])
    with pytest.raises(PySparkException) as caught:
        writer.options(**change.get("options", {})).save("wrong")
    assert words in str(caught.value)


def test_a_stream_that_starts_again_stores_each_record_once(
    spark: SparkSession,
    records: DataFrame,
    cluster: LocalCluster,
    client: Client,
    tmp_path: Path,
) -> None:
    arriving = tmp_path / "arriving"
    for position in range(2):
        part = records.where(col("number") % 2 == position).drop("pair")
        part.coalesce(1).write.mode("append").parquet(str(arriving))
        stream = spark.readStream.schema(part.schema).parquet(str(arriving))
        # A checkpoint of its own: all files come again, as after one that was lost.
        query = (
            stream.writeStream.format("zring")
            .option("url", cluster.urls[2])
            .option("collection", "streamed")
            .option("checkpointLocation", str(tmp_path / f"checkpoint-{position}"))
            .trigger(availableNow=True)
            .start()
        )
        assert query.awaitTermination(120)
        assert len(client.query("streamed")) == MANY // 2 * (position + 1)


def test_a_stream_with_rejected_records_stops_with_their_number(
    spark: SparkSession, records: DataFrame, cluster: LocalCluster, tmp_path: Path
) -> None:
    records.drop("pair").limit(10).withColumn("lat", lit(80.0)).write.parquet(str(tmp_path / "in"))
    stream = spark.readStream.schema(records.drop("pair").schema).parquet(str(tmp_path / "in"))
    query = (
        stream.writeStream.format("zring")
        .options(url=cluster.urls[0], collection="bad")
        .option("checkpointLocation", str(tmp_path / "checkpoint"))
        .trigger(availableNow=True)
        .start()
    )
    with pytest.raises(StreamingQueryException, match="10 records were rejected"):
        query.awaitTermination(120)
