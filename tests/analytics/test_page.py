"""The examples of docs/spark.md run as they stand."""

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

import analytics.session
from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.docs.markdown import ROOT, blocks

PAGE = ROOT / "docs" / "spark.md"
PROMISED_URL = "http://127.0.0.1:7070"


def test_examples_run(
    spark: SparkSession,
    cluster: LocalCluster,
    client: Client,
    weather: pa.Table,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(analytics.session, "open_session", lambda: spark)
    names: dict[str, object] = {}
    examples = [block for block in blocks(PAGE) if block.language == "python"]
    assert len(examples) == 5
    for block in examples:
        source = block.text.replace(PROMISED_URL, cluster.urls[0])
        exec(compile(source, f"{PAGE.name}:{block.line}", "exec"), names)
    shown = capsys.readouterr().out
    assert "|sensor|count|" in shown and "True\n" in shown
    assert "struct<sensor:string,time:timestamp,temp:float>" in shown
    means = client.query("weather.mean").table
    assert 0 < means.num_rows == client.query("weather.stream").table.num_rows <= 200
