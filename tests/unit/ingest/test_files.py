"""The commands: files to a cluster that is played by a small client."""

import gzip
import json
from contextlib import contextmanager

import orjson
import pyarrow as pa
import pytest
from click.testing import CliRunner

from ingest import files as files_module
from ingest.files import ingest
from ingest.generate.command import generate
from ingest.generate.targets import http as http_target
from ingest.loading import find_files
from node.client.writing import Written
from node.errors import Unavailable
from node.query import Rejection

ROW = "{sensor},2023-07-13T12:00:{second:02d}Z,135.5,33.5,{second}"


class Cluster:
    """Keeps what is written; refuses sensors named `refused`, fails when `down`."""

    def __init__(self):
        self.tables: dict[str, list[pa.Table]] = {}
        self.down = False
        self.levels = set()

    def ring(self):
        return {"domain": [135.0, 33.0, 136.6, 34.6]}

    def write(self, collection, batch, *, w):
        if self.down:
            raise Unavailable("no node of http://127.0.0.1:1 answered in 30 s")
        self.levels.add(w)
        table = pa.Table.from_batches([batch])
        names = table["sensor"].to_pylist()
        rejected = tuple(
            Rejection(index, "sensor is refused here", "sensor")
            for index, name in enumerate(names)
            if name == "refused"
        )
        self.tables.setdefault(collection, []).append(table)
        return Written(
            received=len(names),
            stored=len(names) - len(rejected),
            rejected=rejected,
            rejected_count=len(rejected),
            rejected_by_reason={"bad-sensor": len(rejected)} if rejected else {},
            copies_wanted=1,
            copies_durable=1,
            acknowledged=True,
        )

    def count(self, collection):
        return sum(table.num_rows for table in self.tables.get(collection, []))


@pytest.fixture
def cluster(monkeypatch):
    played = Cluster()

    @contextmanager
    def connect(**_):
        yield played

    monkeypatch.setattr(files_module, "connect", connect)
    monkeypatch.setattr(http_target, "connect", connect)
    return played


def _run(*arguments):
    return _invoke(ingest, arguments)


def _generate(*arguments):
    return _invoke(generate, arguments)


def _invoke(command, arguments):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def _csv(path, sensors):
    lines = [ROW.format(sensor=name, second=at) for at, name in enumerate(sensors)]
    path.write_text("sensor,time,lon,lat,v\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_files_are_stored_and_counted(cluster, tmp_path):
    path = _csv(tmp_path / "a.csv", ["a", "b", "c"])
    result = _run("files", path, "--collection", "river", "--w", "quorum", "--json")
    assert result.exit_code == 0
    summary = json.loads(result.output)
    assert (summary["files"], summary["records"], summary["stored"]) == (1, 3, 3)
    assert cluster.count("river") == 3
    assert cluster.levels == {"quorum"}


def test_bad_rows_and_files_never_stop_the_rest(cluster, tmp_path):
    _csv(tmp_path / "a.csv", ["a", "refused", "c"])
    (tmp_path / "b.csv").write_bytes(b"\x00\x01broken")
    (tmp_path / "c.csv").write_text(
        "sensor,time,lon,lat,v\nd,2023-07-13T12:00:00Z,10,33.5,1\ne,soon,135.5,33.5,1\nshort\n"
        "f,2023-07-13T12:00:00Z,135.5,33.5,\ng,2023-07-13T12:00:00Z,135.5,33.5,1\n"
    )
    with gzip.open(tmp_path / "d.csv.gz", "wt") as stream:
        stream.write("sensor,time,lon,lat,v\nh,2023-07-13T12:00:00Z,135.5,33.5,1\n")
    rejects = tmp_path / "rejects" / "r.ndjson"
    rejects.parent.mkdir()
    result = _run("files", tmp_path, "--rejects", rejects, "--json")
    assert result.exit_code == 4
    summary = json.loads(result.output)
    assert summary["files_failed"] == 1
    assert summary["stored"] == 4
    assert summary["rejected"] == {
        "refused-by-node": 1, "outside-domain": 1, "bad-time": 1, "bad-width": 1, "no-values": 1,
    }  # fmt: skip
    lines = [orjson.loads(line) for line in rejects.read_bytes().splitlines()]
    found = {(line["file"].rsplit("/", 1)[-1], line["row"], line["reason"]) for line in lines}
    assert found == {
        ("a.csv", 3, "refused-by-node"), ("c.csv", 2, "outside-domain"), ("c.csv", 3, "bad-time"),
        ("c.csv", 4, "bad-width"), ("c.csv", 5, "no-values"),
    }  # fmt: skip
    originals = {line["reason"]: line["original"] for line in lines}
    assert originals["bad-width"] == "short"
    assert originals["outside-domain"]["lon"] == "10"


def test_every_row_is_stored_or_rejected(cluster, amedas_files, tmp_path):
    result = _run(
        "files", amedas_files / "bosai_map", amedas_files / "mdrr_csv", "--json",
        "--rejects", tmp_path / "r.ndjson",
    )  # fmt: skip
    summary = json.loads(result.output)
    assert summary["records"] == summary["stored"] + sum(summary["rejected"].values())
    lines = (tmp_path / "r.ndjson").read_bytes().splitlines()
    assert len(lines) == sum(summary["rejected"].values())
    assert cluster.count("amedas") + cluster.count("amedas.precipitation1h") > 0
    for outcome in summary["outcomes"]:
        assert outcome["records"] == outcome["stored"] + sum(outcome["rejected"].values())


def test_the_summary_says_why_and_where(cluster, tmp_path):
    _csv(tmp_path / "a.csv", ["a", "refused"])
    (tmp_path / "b.csv").write_bytes(b"broken")
    rejects = tmp_path / "r.txt"
    result = _run("files", tmp_path / "a.csv", tmp_path / "b.csv", "--rejects", rejects)
    assert result.exit_code == 4
    lines = " ".join(result.output.split())
    for words in ("refused-by-node 1", "see below", "b.csv: ", "r.txt", "2 files, 2 records"):
        assert words in lines
    many = _run("files", *[tmp_path / "b.csv"] * 1, *(_copies(tmp_path, 30)))
    assert "30 files" in many.output


def _copies(folder, count):
    return [_csv(folder / f"copy{number}.csv", [f"s{number}"]) for number in range(count)]


def test_topics_keep_records_of_one_time_apart(cluster, amedas_files):
    _run(
        "files", amedas_files / "bosai_point", amedas_files / "obsdl_csv" / "ramedas_standard.csv",
        amedas_files / "obsdl_csv" / "ramedas_daily.csv", "--collection", "w",
        "--stations", amedas_files / "amedastable.json", "--station-name", "旭川=12442",
    )  # fmt: skip
    assert set(cluster.tables) <= {"w.point", "w.hourly", "w.daily"}


def test_small_files_travel_together(cluster, tmp_path):
    for number in range(30):
        _csv(tmp_path / f"{number:02d}.csv", [f"s{number}"])
    result = _run("files", tmp_path)
    assert result.exit_code == 0
    assert "30 files" in result.output
    assert len(cluster.tables["amedas"]) == 1


def test_a_dry_run_stores_nothing(cluster, tmp_path):
    path = _csv(tmp_path / "a.csv", ["a", "b"])
    result = _run("files", path, "--dry-run", "--domain", "135,33,136,34", "--json")
    assert json.loads(result.output)["stored"] == 2
    assert not cluster.tables
    outside = _run("files", path, "--dry-run", "--domain", "0,0,1,1", "--json")
    assert json.loads(outside.output)["rejected"] == {"outside-domain": 2}
    assert outside.exit_code == 1


def test_a_cluster_that_is_away_is_said_and_counted(cluster, tmp_path):
    cluster.down = True
    result = _run("files", _csv(tmp_path / "a.csv", ["a"]))
    assert result.exit_code not in (0, 2)
    assert "repeat the command" in result.output


def test_what_the_user_must_say_is_asked_in_one_line(cluster, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("when,v\n2023-07-13T12:00:00Z,1\n")
    result = _run("files", path)
    assert result.exit_code == 1
    assert "--map sensor=COLUMN" in result.output
    assert _run("files", path, "--map", "sensor").exit_code == 2
    assert _run("files", path, "--stations", path).exit_code == 2
    mapped = _run("files", path, "--map", "time=when", "--constant", "sensor=x,lon=135.5,lat=33.5")
    assert mapped.exit_code == 0
    assert cluster.count("amedas") == 1


def test_a_mapping_file(cluster, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,ts,e,n,t\nx,13.07.2023 21:00,135.5,33.5,1\n")
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(
        'zone = "Asia/Tokyo"\ntime_format = "%d.%m.%Y %H:%M"\n'
        '[map]\nsensor = "id"\ntime = "ts"\nlon = "e"\nlat = "n"\ntemp = "t"\n'
    )
    assert _run("files", path, "--mapping", mapping).exit_code == 0
    (table,) = cluster.tables["amedas"]
    assert table.select(["sensor", "temp"]).to_pylist() == [{"sensor": "x", "temp": 1}]
    assert table["time"][0].as_py().isoformat() == "2023-07-13T12:00:00+00:00"


def test_station_tables_among_the_files_are_not_a_failure(cluster, amedas_files):
    result = _run("files", amedas_files / "amedastable.json")
    assert result.exit_code == 0
    assert "--stations" in result.output


def test_folders_are_searched_in_order(tmp_path):
    for name in ("b.csv", "a.json", ".hidden.csv", "notes.md", "c.csv.gz", "sub/d.parquet"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    names = [path.relative_to(tmp_path).as_posix() for path in find_files((tmp_path,))]
    assert names == ["a.json", "b.csv", "c.csv.gz", "sub/d.parquet"]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_generated_files_load_again(cluster, tmp_path, suffix):
    path = tmp_path / f"g.{suffix}"
    assert _generate("--count", "5000", "--to", "file", "--output", path).exit_code == 0
    result = _run("files", path, "--json")
    assert json.loads(result.output)["stored"] == 5000
    loaded = pa.concat_tables(cluster.tables["amedas"], promote_options="default")
    cluster.tables.clear()
    assert _generate("--count", "5000").exit_code == 0
    sent = pa.concat_tables(cluster.tables["amedas"])
    for name in ("sensor", "time", "lon", "lat", "temp", "wind", "precipitation1h", "temp_flag"):
        assert loaded[name].to_pylist() == sent[name].to_pylist(), name


def test_generate_names_what_it_cannot_do(cluster, tmp_path):
    assert _generate("--to", "file", "--output", tmp_path / "x.docx").exit_code == 2
    assert _generate("--start", "yesterday").exit_code == 2
    assert _generate("--start", "2023-01-01T00:00:00").exit_code == 2
