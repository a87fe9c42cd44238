"""A model on a real Spark cluster gives what it gives without Spark, and stores it once."""

from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from analytics.models.grid import DAY_US, HOUR_US, Grid
from analytics.models.inference import Inference, infer_at_node
from analytics.models.saved import SavedModel
from analytics.models.spark_inference import infer_on_spark
from analytics.models.tasks import load_task
from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.analytics.models.weather import records_of_grid

BOX = (135.2, 33.2, 136.2, 34.4)
DAYS = 4


def sorted_rows(table: pa.Table) -> list[dict[str, object]]:
    return sorted(table.to_pylist(), key=lambda row: (row["sensor"], row["time"]))


def test_pieces_on_spark_are_what_one_node_says(
    spark: SparkSession,
    cluster: LocalCluster,
    nowcast_file: SavedModel,
    weather: Grid,
    tmp_path: Path,
) -> None:
    path = tmp_path / "nowcast.zmodel"
    nowcast_file.save(path)
    task = load_task(path)
    start_us = weather.start_us + 41 * DAY_US
    records = records_of_grid(weather)
    time = records["time"].cast(pa.int64()).to_numpy()
    lon, lat = records["lon"].to_numpy(), records["lat"].to_numpy()
    near = (lon >= 135.0) & (lon < 136.6) & (lat >= 33.0) & (lat < 34.6)
    near &= (time >= start_us - 2 * DAY_US) & (time < start_us + DAYS * DAY_US)
    url = cluster.nodes["nw"].place.url
    with Client(url, timeout_s=60.0) as client:
        client.write("modelled", records.filter(pa.array(near)), w="all")
        # Over the edge of a piece: a day ends in it.
        asked = Inference("modelled", BOX, start_us + 20 * HOUR_US, start_us + 30 * HOUR_US)
        expected, coverage = infer_at_node(client, task, asked, timeout_s=60.0)
        assert coverage.state == "complete" and len(expected)
        results = infer_on_spark(spark, path.read_bytes(), asked, {"url": url})
        assert sorted_rows(results.toArrow()) == sorted_rows(expected)
        for _ in range(2):
            results.write.format("zring").option("url", url).option(
                "collection", "modelled.nowcast"
            ).mode("append").save()
            stored = client.query("modelled.nowcast").table
            assert len(stored) == len(expected)
