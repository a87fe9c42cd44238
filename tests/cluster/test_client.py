"""The client against real nodes: what it asks, whom it asks, what it writes."""

import signal
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import zring
from ingest.demo.nodes import LocalCluster
from node.client import Client, Result
from node.errors import BadRequest, CoverageTooLow, NotFound
from tests.cluster.material import counter, make_records
from tests.streams.waiting import wait_until

COUNT = 20_000
COLLECTION = "client"
REQUESTS = "zring_http_requests_total"


@pytest.fixture(scope="module")
def records(cluster: LocalCluster) -> pa.Table:
    table = make_records(COUNT, seed=1)
    with Client(cluster.urls[0]) as client:
        written = client.write(COLLECTION, table)
    assert (written.received, written.stored, written.rejected) == (COUNT, COUNT, ())
    assert written.acknowledged
    assert written.copies_wanted == 3
    return table


def inside(table: pa.Table, bbox: tuple[float, float, float, float]) -> pa.Table:
    west, south, east, north = bbox
    lon, lat = table["lon"].to_numpy(), table["lat"].to_numpy()
    return table.filter(pa.array((lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)))


def identities(table: pa.Table) -> set[tuple[str, int]]:
    times = table["time"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return set(zip(table["sensor"].to_pylist(), times.to_pylist(), strict=True))


def whole(client: Client, bbox: tuple[float, float, float, float]) -> Result:
    """The answer that is complete: on a busy machine nodes may look away from each other."""
    last: list[Result] = []

    def is_complete() -> bool:
        last[:] = [client.query(COLLECTION, bbox=bbox)]
        return last[0].coverage.state == "complete"

    wait_until(is_complete, "the answer is complete")
    return last[0]


@pytest.mark.parametrize(
    "bbox",
    [
        (135.0, 33.0, 136.6, 34.6),
        (135.1, 33.1, 135.5, 33.5),
        (135.1, 33.9, 135.7, 34.5),
        (135.6, 33.6, 136.0, 34.0),
        (136.59, 34.59, 136.6, 34.6),
    ],
)
def test_every_node_gives_the_same_records_of_a_box(
    cluster: LocalCluster, records: pa.Table, bbox: tuple[float, float, float, float]
) -> None:
    wanted = identities(inside(records, bbox))
    for url in cluster.urls:
        with Client(url, direct=True) as client:
            result = whole(client, bbox)
            assert len(result) == len(wanted)
            if wanted:
                assert identities(result.table) == wanted


def test_selection_by_time_sensor_filter_and_columns(client: Client, records: pa.Table) -> None:
    result = client.query(
        COLLECTION,
        from_=datetime(2023, 7, 1, 6, tzinfo=UTC),
        to="2023-07-01T12:00:00Z",
        sensors=["s1", "s2"],
        filter="temp > 20",
        columns=["temp"],
    )
    hours = pc.hour(records["time"]).to_numpy()
    chosen = (
        np.isin(records["sensor"].to_numpy(zero_copy_only=False), ["s1", "s2"])
        & (hours >= 6)
        & (hours < 12)
        & (records["temp"].to_numpy() > 20)
    )
    assert identities(result.table) == identities(records.filter(pa.array(chosen)))
    assert result.table.column_names == ["sensor", "time", "lon", "lat", "version", "temp"]


def test_limit_and_limits_beyond_a_page(client: Client, records: pa.Table) -> None:
    assert len(client.query(COLLECTION, limit=7)) == 7
    assert len(client.query(COLLECTION, limit=150_000)) == COUNT


def test_latest_nearest_within_aggregate_explain(client: Client, records: pa.Table) -> None:
    sensors = len(pc.unique(records["sensor"]))
    assert len(client.latest(COLLECTION)) == sensors
    assert len(client.nearest(COLLECTION, lon=135.5, lat=33.5, count=3)) == 3
    assert 0 < len(client.within(COLLECTION, lon=135.8, lat=33.8, radius_m=30_000)) < COUNT
    groups = client.aggregate(COLLECTION, level=1).table
    assert pc.sum(groups["count"]).as_py() == COUNT
    assert groups["cell"].to_pylist() == [0, 1, 2, 3]
    assert client.explain(COLLECTION, bbox=(135.1, 33.1, 135.2, 33.2))


@pytest.mark.parametrize(
    "words",
    [{"level": 3}, {"level": 4, "step": "PT1H", "bbox": (135.5, 33.5, 136.1, 34.1)}, {"level": 0}],
)
def test_groups_of_the_owners_are_those_of_one_node(
    client: Client, records: pa.Table, words: dict[str, Any]
) -> None:
    with Client(client.url, direct=True) as one_node:
        expected = one_node.aggregate(COLLECTION, **words).table
    groups = client.aggregate(COLLECTION, **words).table
    assert groups.schema.equals(expected.schema)
    for name in groups.column_names:
        found, wanted = groups[name].to_pylist(), expected[name].to_pylist()
        added_up = name.endswith(("_sum", "_mean"))  # in another order, so the last bit may differ
        assert found == (pytest.approx(wanted, rel=1e-12) if added_up else wanted), name


def test_state_of_the_cluster(client: Client, records: pa.Table) -> None:
    assert COLLECTION in {entry["id"] for entry in client.collections()}
    assert {node["id"] for node in client.status()["nodes"]} == {"sw", "nw", "se", "ne"}
    assert len(client.ring()["spans"]) == 4


# geopandas imports what shapely is about to drop; nothing of ours is concerned.
@pytest.mark.filterwarnings("ignore:The 'shapely.geos' module:DeprecationWarning")
def test_frames_and_arrow_consumers(client: Client, records: pa.Table) -> None:
    result = client.query(COLLECTION, limit=50)
    assert pa.table(result).equals(result.table)
    assert len(result.to_pandas()) == 50
    frame = result.to_geopandas()
    assert frame.crs.to_epsg() == 4326
    assert frame.geometry.x.tolist() == result.table["lon"].to_pylist()


def test_connect_through_the_package(cluster: LocalCluster, records: pa.Table) -> None:
    with zring.connect(cluster.urls[2]) as client:
        assert len(client.query(COLLECTION, limit=3)) == 3


def test_a_box_in_one_area_goes_to_its_owner_and_no_other(
    cluster: LocalCluster, client: Client, records: pa.Table
) -> None:
    before = [counter(url, REQUESTS) for url in cluster.urls]
    for _ in range(10):
        client.query(COLLECTION, bbox=(136.1, 34.0, 136.3, 34.2), limit=1)
    after = [counter(url, REQUESTS) for url in cluster.urls]
    served = dict(zip(cluster.nodes, np.subtract(after, before).tolist(), strict=True))
    # Each reading of the counter is a request as well; the ring may have been fetched from sw.
    assert served["ne"] >= 10
    assert max(served["nw"], served["se"]) <= 2


def test_dictionaries_with_a_bad_one_among_them(client: Client) -> None:
    good = {"sensor": "a", "time": "2024-01-01T00:00:00Z", "lon": 135.1, "lat": 33.1,
            "values": {"t": 1}}  # fmt: skip
    written = client.write(
        "dictionaries",
        [good, {**good, "lon": 34.2, "lat": 135.1}, {**good, "lon": 136.5, "lat": 34.5},
         {**good, "time": "2024-01-01"}],
    )  # fmt: skip
    assert (written.received, written.stored, written.rejected_count) == (4, 2, 2)
    assert [rejection.index for rejection in written.rejected] == [1, 3]
    assert client.write("dictionaries", good).stored == 1
    assert len(client.query("dictionaries")) == 2


def test_nothing_to_write(client: Client) -> None:
    assert client.write("nothing", []).received == 0


def test_all_rejected_is_a_reply_and_not_an_exception(client: Client) -> None:
    written = client.write("rejected", [{"sensor": "a", "lon": 0, "lat": 0, "time": "x"}])
    assert (written.received, written.stored, written.rejected_count) == (1, 0, 1)


def test_writing_pandas(client: Client) -> None:
    frame = make_records(100, seed=2).to_pandas()
    assert client.write("frames", frame, w="all").copies_durable == 3
    assert len(client.query("frames")) == 100


def test_errors_are_those_of_the_tree(client: Client, records: pa.Table) -> None:
    with pytest.raises(NotFound):
        client.query("no-such-collection")
    with pytest.raises(BadRequest) as caught:
        client.query(COLLECTION, bbox=(5, 1, 4, 2))
    assert caught.value.field == "bbox"
    with pytest.raises(BadRequest, match="zone"):
        client.query(COLLECTION, from_=datetime(2023, 7, 1))
    with pytest.raises(BadRequest):
        client.latest(COLLECTION, box=(1, 2, 3, 4))


def test_a_requirement_that_is_met(client: Client, records: pa.Table) -> None:
    try:
        client.query(COLLECTION, limit=1, require="complete")
    except CoverageTooLow as error:
        pytest.fail(f"all nodes are up: {error}")


def test_a_node_that_was_stopped_costs_a_share_of_the_deadline(
    cluster: LocalCluster, client: Client, records: pa.Table
) -> None:
    """SIGSTOP: the kernel goes on accepting connections, and nobody answers."""
    area = (135.9, 33.9, 136.5, 34.5)
    wanted = identities(inside(records, area))
    new = make_records(200, seed=3, west=135.9, south=33.9)
    client.query(COLLECTION, bbox=area, limit=1)  # a connection to its owner is kept
    hung = cluster.nodes["ne"]
    hung.send(signal.SIGSTOP)
    try:
        result = client.query(COLLECTION, bbox=area, timeout_s=20.0)
        assert client.write("hung", new, timeout_s=20.0).stored == len(new)
        following = client.follow("hung", bbox=area)
        assert next(following).kind == "coverage"
    finally:
        hung.send(signal.SIGCONT)
    assert identities(result.table) == wanted
    cluster.wait_alive()
