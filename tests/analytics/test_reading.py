"""Reads equal brute force over what was written, and the nodes send what is needed and no more."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pytest
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.functions import col, lit, unix_micros
from pyspark.sql.functions import min as least

from analytics.source.options import Access
from analytics.source.pages import Pages, page_target
from analytics.source.selection import Selection
from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.analytics.conftest import COUNT, load, rows_sent
from tests.cluster.material import START_US, counter

NOON = datetime(2023, 7, 1, 12, tzinfo=UTC)
IDENTITY = ["sensor", "time", "temp"]


def same(found: DataFrame, expected: pd.DataFrame) -> int:
    """Compare as sets of records; returns how many there are."""
    rows = sorted(map(tuple, found.select(*IDENTITY).toPandas()[IDENTITY].itertuples(index=False)))
    wanted = expected[IDENTITY].assign(time=expected["time"].dt.tz_localize(None))
    assert rows == sorted(map(tuple, wanted.itertuples(index=False)))
    return len(rows)


def test_everything_is_read_once(frame: DataFrame, weather: pa.Table) -> None:
    assert same(frame, weather.to_pandas()) == COUNT
    assert frame.columns == ["sensor", "time", "lon", "lat", "version", "temp"]
    assert frame.rdd.getNumPartitions() == 4  # one task an owner


PUSHED: list[tuple[str, Callable[[], Column], Callable[[pd.DataFrame], pd.Series]]] = [
    ("box", lambda: (col("lon") >= 135.4) & (col("lat") < 33.6),
     lambda t: (t.lon >= 135.4) & (t.lat < 33.6)),
    ("time", lambda: (col("time") >= lit(NOON)) & (col("time") < "2023-07-01T15:00:00Z"),
     lambda t: (t.time >= NOON) & (t.time < "2023-07-01T15:00:00Z")),
    ("sensors", lambda: col("sensor").isin("s1", "s17", "s99"),
     lambda t: t.sensor.isin(["s1", "s17", "s99"])),
    ("value", lambda: (col("temp") > 25) & (col("temp") <= 30.5) & (col("temp") != 27.1),
     lambda t: (t.temp > 25) & (t.temp <= 30.5) & (t.temp != 27.1)),
    ("texts", lambda: col("sensor").startswith("s1") & ~col("sensor").contains("2"),
     lambda t: t.sensor.str.startswith("s1") & ~t.sensor.str.contains("2")),
    ("all", lambda: (col("lon") > 135.2) & (col("lon") < 136.0) & (col("temp") < 10)
     & (col("time") > lit(NOON)) & (col("sensor") != "s3"),
     lambda t: (t.lon > 135.2) & (t.lon < 136.0) & (t.temp < 10) & (t.time > NOON)
     & (t.sensor != "s3")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "condition", "brute"), PUSHED, ids=[case[0] for case in PUSHED])
def test_conditions_are_tested_by_the_nodes(
    spark: SparkSession,
    weather: pa.Table,
    cluster: LocalCluster,
    name: str,
    condition: Callable[[], Column],
    brute: Callable[[pd.DataFrame], pd.Series],
) -> None:
    table = weather.to_pandas()
    asked = load(spark, cluster, "weather", pushdown="true").where(condition())
    before = rows_sent(cluster.urls)
    needed = same(asked, table[brute(table)])
    # Besides the rows: one row for the driver, which asks how complete the answer will be.
    assert 0 < needed <= rows_sent(cluster.urls) - before <= 1.05 * needed + 1
    assert not re.search(r"\bFilter\b", asked._jdf.queryExecution().executedPlan().toString())


def test_one_frame_serves_many_queries(frame: DataFrame, weather: pa.Table) -> None:
    """Spark keeps one plan for all of them: a condition of one must not narrow the next."""
    table = weather.to_pandas()
    assert same(frame.where("temp > 25"), table[table.temp > 25]) > 0
    both = frame.where("sensor = 's5'").union(frame.where("sensor = 's6' AND lon > 0"))
    assert same(both, table[table.sensor.isin(["s5", "s6"])]) > 0
    assert frame.count() == COUNT


def test_what_nodes_cannot_test_stays_with_spark(
    spark: SparkSession, cluster: LocalCluster, weather: pa.Table
) -> None:
    table = weather.to_pandas()
    asked = load(spark, cluster, "weather", pushdown="true").where(
        (col("temp") % 2 == 1) & (col("temp") > 20) & (col("version") == 0)
    )
    assert same(asked, table[(table.temp % 2 == 1) & (table.temp > 20)]) > 0
    either = load(spark, cluster, "weather", pushdown="true").where(
        (col("temp") > 30) | (col("sensor") == "s5")
    )
    assert same(either, table[(table.temp > 30) | (table.sensor == "s5")]) > 0


def test_options_say_the_same_as_conditions(
    spark: SparkSession, cluster: LocalCluster, weather: pa.Table
) -> None:
    table = weather.to_pandas()
    asked = load(
        spark, cluster, "weather", bbox="135.2,33.2,136,34", to="2023-07-01T12:00:00Z",
        filter="temp > 20 AND temp < 30", timeSlice="PT1H", columns="sensor,time,temp",
        **{"from": "2023-07-01T06:00:00Z"},
    )  # fmt: skip
    inside = table.lon.between(135.2, 136) & table.lat.between(33.2, 34) & (table.temp > 20)
    inside &= (table.temp < 30) & (table.time >= "2023-07-01T06:00:00Z") & (table.time < NOON)
    assert asked.columns == ["sensor", "time", "temp"]
    assert asked.rdd.getNumPartitions() == 24  # four owners × six hours
    assert same(asked, table[inside]) > 0


def test_an_empty_question_has_an_empty_answer(
    spark: SparkSession, cluster: LocalCluster, weather: pa.Table
) -> None:
    for text in ("lon > 136 AND lon < 135.5", "lon > 150", "sensor = 'nobody'"):
        assert load(spark, cluster, "weather", pushdown="true").where(text).count() == 0


def test_many_small_pages_are_one_answer(
    spark: SparkSession, cluster: LocalCluster, weather: pa.Table
) -> None:
    asked = load(spark, cluster, "weather", pageRows=700, tasks=9)
    assert asked.rdd.getNumPartitions() == 12
    assert same(asked, weather.to_pandas()) == COUNT


def test_a_schema_of_ones_own_prunes_and_narrows(
    spark: SparkSession, cluster: LocalCluster, weather: pa.Table
) -> None:
    reader = spark.read.format("zring").option("url", cluster.urls[0])
    narrow = reader.schema("sensor string, temp int, later double").load("weather")
    found = narrow.toPandas()
    whole = weather.to_pandas().temp
    assert found.temp.dropna().tolist().count(20) == (whole == 20).sum()
    assert len(found) == COUNT and found.later.isna().all()
    assert found.temp.notna().sum() == (whole % 1 == 0).sum()


WRONG = [
    ({"bbox": "1,2,3"}, "write west,south,east,north"),
    ({"require": "perfect"}, "choose one of complete, local, settling, partial"),
    ({"columns": "sensor,tmep"}, "'tmep', which is unknown; there are sensor, time"),
    ({"bboxx": "1"}, "option bboxx is unknown here; there are url"),
    ({"timeout": "soon"}, "give seconds"),
    ({"filter": "temp >"}, "filter is no CQL2 text"),
    ({"readFrom": "archive"}, "no archive is in contact"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[str(case[0]) for case in WRONG])
def test_wrong_options_say_what_is_right(
    spark: SparkSession,
    cluster: LocalCluster,
    weather: pa.Table,
    options: dict[str, str],
    words: str,
) -> None:
    with pytest.raises((AnalysisException, PySparkException)) as caught:
        load(spark, cluster, "weather", **options).count()
    assert words in str(caught.value)


def test_an_unknown_collection_and_nobody_at_the_address(
    spark: SparkSession, cluster: LocalCluster
) -> None:
    with pytest.raises(AnalysisException, match="collection=nothing is unknown here"):
        load(spark, cluster, "nothing")
    with pytest.raises(AnalysisException, match="cannot be reached"):
        spark.read.format("zring").option("url", "http://127.0.0.1:9").load("weather")


def test_types_that_change_are_widened(
    spark: SparkSession, cluster: LocalCluster, client: Client
) -> None:
    place = {"lon": 135.3, "lat": 33.3}
    client.write("mixed", [
        {"sensor": "a", "time": "2024-01-01T00:00:00Z", **place,
         "values": {"n": 1, "odd": 1, "flag": True, "tags": ["x", 1]}},
        {"sensor": "a", "time": "2024-01-01T00:01:00Z", **place,
         "values": {"n": 2.5, "odd": "one", "name": "Wakayama"}},
        {"sensor": "b", "time": "2024-01-01T00:02:00Z", "lon": 136.3, "lat": 34.3,
         "values": {"n": 3, "odd": {"deep": True}, "raw;base64": "AAE="}},
    ])  # fmt: skip
    frame = load(spark, cluster, "mixed")
    kinds = {name: kind for name, kind in frame.dtypes if name not in ("sensor", "time")}
    assert kinds == {"lon": "double", "lat": "double", "version": "bigint", "n": "double",
                     "odd": "string", "flag": "boolean", "name": "string", "raw": "binary",
                     "tags": "string"}  # fmt: skip
    found = [row.asDict() for row in frame.orderBy("time").collect()]
    assert [row["n"] for row in found] == [1.0, 2.5, 3.0]
    assert [row["odd"] for row in found] == ["1", '"one"', '{"deep":true}']
    assert [row["name"] for row in found] == [None, "Wakayama", None]
    assert [row["raw"] and bytes(row["raw"]) for row in found] == [None, None, b"\x00\x01"]
    assert found[0]["flag"] is True and found[0]["tags"] == '["x",1]'
    # What the columns hold from now on was not known when the schema was made.
    late = {"n": "none", "flag": 3, "name": 7, "raw;base64": "AAI="}
    client.write("mixed", [{"sensor": "c", "time": "2024-01-02T00:00:00Z", **place,
                            "values": late}])  # fmt: skip
    row = frame.where(col("sensor") == "c").collect()[0]
    assert (row.n, row.flag, row.name, bytes(row.raw)) == (None, None, "7", b"\x00\x02")
    assert frame.where(col("n") > 2).count() == 2
    assert frame.where(col("odd") == '"one"').count() == 1


def test_times_are_those_that_were_written(frame: DataFrame) -> None:
    first = frame.agg(least(unix_micros("time"))).collect()[0][0]
    assert first == START_US


def test_the_node_that_is_asked_reads_what_it_holds(
    spark: SparkSession, cluster: LocalCluster, weather: pa.Table
) -> None:
    """With two replicas a node holds about three quarters of everything, and owns one."""
    assert same(load(spark, cluster, "weather", readFrom="nearest"), weather.to_pandas()) == COUNT
    here = cluster.urls[0]
    target = page_target(
        "weather", Selection(), None, columns=["temp"], reader="asked", page_rows=COUNT,
        timeout_s=30.0,
    )  # fmt: skip
    deadline_s = time.monotonic() + 60.0
    with Pages(Access((here,)), (here,)) as pages:
        while True:
            before = elsewhere(cluster)
            page = pages.first(target)
            is_whole = len(page) == COUNT and page.coverage.state == "complete"
            if is_whole and elsewhere(cluster) - before <= COUNT / 2:
                return
            assert time.monotonic() < deadline_s, "the replicas never came into step"


def elsewhere(cluster: LocalCluster) -> float:
    """Records that all nodes but the first have read in their stores."""
    return sum(counter(url, "zring_rows_read_total") for url in cluster.urls[1:])
