"""Commands against real nodes: what they print, what they write, how they exit."""

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from ingest.demo.nodes import LocalCluster
from node.cli.main import main
from node.client import Client
from tests.cluster.material import make_records

COUNT = 3_000
Run = Callable[..., Result]


@pytest.fixture(scope="module", autouse=True)
def records(cluster: LocalCluster) -> pa.Table:
    table = make_records(COUNT, seed=11)
    with Client(cluster.urls[0]) as client:
        client.write("commands", table)
    return table


@pytest.fixture
def run(cluster: LocalCluster) -> Run:
    def invoke(*arguments: str, url: str = cluster.urls[0]) -> Result:
        return CliRunner().invoke(main, [*arguments, "--url", url], prog_name="zring")

    return invoke


def test_status_as_text_and_json(run: Run) -> None:
    # Counts of the other nodes come with their next sign of life.
    deadline_s = time.monotonic() + 90.0
    while "3,000" not in (text := run("status")).output and time.monotonic() < deadline_s:
        time.sleep(0.2)
    assert text.exit_code == 0, text.output
    for word in ("sw", "nw", "se", "ne", "alive", "commands", "3,000"):
        assert word in text.output
    document = orjson.loads(run("status", "--json").output)
    assert {node["id"] for node in document["nodes"]} == {"sw", "nw", "se", "ne"}


def test_ring_as_table_map_and_json(run: Run) -> None:
    table = run("ring")
    assert table.exit_code == 0, table.output
    assert table.output.count("25.0%") == 4
    drawing = run("ring", "--map").output.splitlines()
    # Without colours the map is letters, in the order of the names: ne, nw, se, sw.
    assert drawing[0] == "B" * 32 + "A" * 32
    assert any(line == "D" * 32 + "C" * 32 for line in drawing)
    assert orjson.loads(run("ring", "--json").output)["cluster"] == "zring"


def test_query_as_a_table_says_when_there_is_more(run: Run) -> None:
    result = run("query", "commands")
    assert result.exit_code == 0, result.output
    assert "50 rows; there are more" in result.output
    assert "3 rows\n" in run("query", "commands", "--limit", "3").output


@pytest.mark.parametrize("limit", [None, "120"])
def test_query_in_every_format(run: Run, tmp_path: Path, limit: str | None) -> None:
    count = COUNT if limit is None else int(limit)
    options = [] if limit is None else ["--limit", limit]

    def fetch(kind: str) -> bytes:
        result = run("query", "commands", "--format", kind, *options)
        assert result.exit_code == 0, result.stderr
        return result.stdout_bytes

    lines = list(csv.DictReader(io.StringIO(fetch("csv").decode())))
    assert len(lines) == count
    assert list(lines[0]) == ["sensor", "time", "lon", "lat", "version", "temp"]
    assert len(fetch("ndjson").splitlines()) == count
    assert len(orjson.loads(fetch("geojson"))["features"]) == count
    assert pa.ipc.open_stream(fetch("arrow")).read_all().num_rows == count
    parquet = pq.read_table(pa.BufferReader(fetch("parquet")))
    assert parquet.num_rows == count
    assert b"geo" in parquet.schema.metadata


def test_query_into_a_file_that_appears_when_it_is_whole(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    result = run("query", "commands", "--format", "csv", "-o", str(file), "--sensor", "s1")
    assert result.exit_code == 0, result.output
    assert file.read_text().startswith('"sensor","time","lon","lat","version","temp"')
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.csv"]


def test_a_file_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    result = run("query", "commands", "--format", "csv", "-o", str(tmp_path / "no" / "out.csv"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_latest(run: Run, records: pa.Table) -> None:
    result = run("latest", "commands", "--bbox", "135.0,33.0,136.6,34.6")
    assert result.exit_code == 0, result.output
    sensors = len(set(records["sensor"].to_pylist()))
    assert f"{sensors} rows" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("query", "unknown"), 1, "unknown"),
        (("query", "commands", "--bbox", "5,1,4,2"), 2, "bbox=5.0,1.0,4.0,2.0 has west > east"),
        (("query", "commands", "--filter", "temp >"), 2, "filter"),
        (("query", "commands", "--from", "2023-07-01"), 2, "zone"),
    ],
)
def test_what_a_node_refuses_is_one_line(
    run: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert result.stderr.startswith("zring: ")
    assert len(result.stderr.splitlines()) == 1


def test_doctor_of_a_running_node(cluster: LocalCluster) -> None:
    place = cluster.nodes["nw"].place
    result = CliRunner().invoke(
        main,
        ["doctor", "--json", "--name", "nw", "--data", str(place.folder / "store"),
         "--listen", f"127.0.0.1:{place.port}", "--peer-listen", f"127.0.0.1:{place.peer_port}",
         "--seed", f"127.0.0.1:{cluster.nodes['sw'].place.peer_port}"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    findings = {finding["subject"]: finding for finding in orjson.loads(result.stdout)}
    for subject in ("node", "peer sw", "peer se", "peer ne", "clock of peer sw", "seed"):
        assert findings[subject]["state"] == "ok", findings[subject]


def test_doctor_notices_a_node_of_another_name(cluster: LocalCluster, tmp_path: Path) -> None:
    place = cluster.nodes["nw"].place
    result = CliRunner().invoke(
        main,
        ["doctor", "--name", "se", "--data", str(tmp_path),
         "--listen", f"127.0.0.1:{place.port}", "--peer-listen", f"127.0.0.1:{place.peer_port}"],
    )  # fmt: skip
    assert result.exit_code == 1
    assert "settings say se" in result.output
