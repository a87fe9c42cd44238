"""`zring infer --local` at real nodes: stored as records, repeatable, and without the others."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from analytics.models.grid import DAY_US, HOUR_US, Grid
from analytics.models.infer import infer
from analytics.models.records import wider
from analytics.models.saved import SavedModel
from analytics.models.train import train
from analytics.source.selection import time_to_text
from ingest.demo.nodes import LocalCluster
from node.cli.exit_codes import OK
from node.client import Client
from tests.analytics.models.weather import records_of_grid
from tests.cluster.material import make_places

BOX = "135.0,33.8,135.8,34.6"
"""The quarter of the node `nw`."""
DOMAIN = (135.0, 33.0, 136.6, 34.6)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, weather: Grid) -> Iterator[LocalCluster]:
    records = records_of_grid(weather)
    start = weather.start_us + 40 * DAY_US
    time = records["time"].cast(pa.int64()).to_numpy()
    lon, lat = records["lon"].to_numpy(), records["lat"].to_numpy()
    west, south, east, north = DOMAIN
    kept = (time >= start) & (time < start + 2 * DAY_US)
    kept &= (lon >= west) & (lon < east) & (lat >= south) & (lat < north)
    with LocalCluster(make_places(tmp_path_factory.mktemp("infer"))) as started:
        with Client(started.urls[0], timeout_s=60.0) as client:
            written = client.write("amedas", records.filter(pa.array(kept)), w="all")
            assert written.acknowledged and not written.rejected_count
        yield started


@pytest.fixture
def model(nowcast_file: SavedModel, tmp_path: Path) -> Path:
    path = tmp_path / "nowcast.zmodel"
    nowcast_file.save(path)
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(infer, arguments)


def test_forecasts_are_stored_and_stored_again_change_nothing(
    cluster: LocalCluster, model: Path, weather: Grid
) -> None:
    url = cluster.nodes["nw"].place.url
    start_us = weather.start_us + 41 * DAY_US + 5 * HOUR_US
    asked = ("--url", url, "--model", str(model), "--bbox", BOX, "--local", "--json")
    times = f"{time_to_text(start_us)}/{time_to_text(start_us + 2 * HOUR_US)}"
    done = run(*asked, "--datetime", times)
    assert done.exit_code == OK, done.output
    summary = orjson.loads(done.output)
    assert summary["stored"] == summary["results"] > 0 and summary["results"] % 3 == 0
    with Client(url) as client:
        first = client.query("amedas.nowcast").table
        assert len(first) == summary["stored"]
        assert set(first["model"].to_pylist()) == {summary["model"]}
        west, south, east, north = map(float, BOX.split(","))
        assert all(west <= lon <= east for lon in first["lon"].to_pylist())
        assert all(south <= lat <= north for lat in first["lat"].to_pylist())
        assert run(*asked, "--datetime", times).exit_code == OK
        assert client.query("amedas.nowcast").table.equals(first)


def test_a_node_without_the_others_still_forecasts(
    cluster: LocalCluster, model: Path, weather: Grid
) -> None:
    node = cluster.nodes["nw"]
    for name, other in cluster.nodes.items():
        if name != "nw":
            other.kill()
    try:
        done = run(
            "--url", node.place.url, "--model", str(model), "--bbox", BOX, "--local", "--json"
        )
        summary = orjson.loads(done.stdout)
        assert summary["stored"] == summary["results"] > 0, done.output
        last_us = weather.start_us + 42 * DAY_US - HOUR_US
        assert summary["from"] == time_to_text(last_us)
        with Client(node.place.url, direct=True) as client:
            rows = client.query("amedas.nowcast", bbox=tuple(map(float, BOX.split(",")))).table
        assert max(rows["time"].cast(pa.int64()).to_pylist()) == last_us + 6 * HOUR_US
    finally:
        for name, other in cluster.nodes.items():
            if name != "nw":
                other.start()
        for other in cluster.nodes.values():
            other.wait_ready()


def test_what_is_wrong_is_one_line_and_a_code(
    cluster: LocalCluster, model: Path, tmp_path: Path
) -> None:
    url = cluster.nodes["nw"].place.url
    broken = tmp_path / "broken"
    broken.write_bytes(model.read_bytes()[:500])
    cases = [
        (("--model", str(broken)), "no saved model"),
        (("--model", str(tmp_path / "nowhere")), "cannot be read"),
        (("--model", str(model), "--datetime", "2001-01-01T00:00:00Z"), "no records"),
        (("--model", str(model), "--collection", "nobody"), "nobody"),
    ]
    for arguments, text in cases:
        done = run("--url", url, "--local", "--bbox", BOX, *arguments)
        assert done.exit_code != OK and text in str(done.exception) + done.output, done.output


def test_training_from_a_file_of_records_gives_figures(weather: Grid, tmp_path: Path) -> None:
    path, output = tmp_path / "records.parquet", tmp_path / "nowcast.zmodel"
    start_us = weather.start_us + 10 * DAY_US
    records = records_of_grid(weather)
    few = records.filter(pa.compute.less(records["time"].cast(pa.int64()), start_us))
    pq.write_table(few, path)
    arguments = ("nowcast", "-o", str(output), "--records", str(path), "--epochs", "2", "--json")
    done = CliRunner().invoke(train, (*arguments, "--credit", "test"))
    assert done.exit_code == OK, done.output
    summary = orjson.loads(done.output)
    assert summary["data"]["credit"] == "test" and summary["data"]["records"] == len(few)
    assert set(summary["figures"]) == {"seen", "unseen"}
    again = CliRunner().invoke(train, (*arguments, "--credit", "test"))
    assert orjson.loads(again.output)["model"] == summary["model"]


def test_a_box_is_widened_inside_the_world() -> None:
    west, south, east, north = wider((135.0, 33.0, 136.0, 34.0), 111.2)
    assert (south, north) == (32.0, 35.0)
    assert west < 135.0 - 1.2 and east > 136.0 + 1.2
    assert wider((-180.0, -90.0, 180.0, 90.0), 500.0) == (-180.0, -90.0, 180.0, 90.0)
