"""`zring ingest check`, the TOML of a service, and what metrics and the live line say."""

import json
import threading
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest.errors import IngestError, SettingsInvalid
from ingest.files import ingest
from ingest.live_line import as_document, line
from ingest.metrics import ingest_metrics
from ingest.stream_settings import read_ingest_settings, tables_to_settings
from node.api.metrics_server import MetricsServer
from node.errors import ConfigInvalid, PeerUnreachable
from tests.unit.ingest.streams.pumping import (
    MemorySource,
    Store,
    body,
    failing,
    make_pump,
    messages,
)

CONFIG = """
url = "http://127.0.0.1:1"
[[source]]
name = "river"
kind = "files"
collection = "river"
w = "all"
stations = "stations.csv"
[source.files]
paths = "*.ndjson"
follow = false
[source.mapping]
time_format = "epoch-s"
map = {sensor = "device.id", time = "at"}
[[source]]
name = "wind"
kind = "files"
collection = "wind"
format = "csv"
[source.files]
paths = ["a", "b"]
"""


def run(*words: str, given: str | None = None):
    return CliRunner().invoke(ingest, words, input=given)


def test_check_shows_what_a_message_becomes(tmp_path: Path) -> None:
    sample, stations = tmp_path / "sample.json", tmp_path / "stations.csv"
    sample.write_text('[{"device": {"id": "s1"}, "at": 0, "v": 1}, {"device": 7, "at": 0}]')
    stations.write_text("id,lon,lat\ns1,135.5,33.5\n")
    words = ["--map", "sensor=device.id,time=at", "--time-format", "epoch-s",
             "--stations", str(stations)]  # fmt: skip
    shown = run("check", str(sample), *words)
    assert shown.exit_code == 4, shown.output
    assert "sample.json: s1 1970-01-01T00:00:00+00:00 (135.5, 33.5) v=1" in shown.output
    assert "record 1" in shown.output and "1 records, 1 rejected" in shown.output
    document = json.loads(run("check", str(sample), *words, "--json").output)
    assert document["records"] == [
        {"message": "sample.json", "sensor": "s1", "time": "1970-01-01T00:00:00+00:00",
         "lon": 135.5, "lat": 33.5, "values": {"v": 1}}
    ]  # fmt: skip
    assert [entry["record"] for entry in document["rejected"]] == [1]


def test_check_reads_a_source_of_a_file_and_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ingest.toml").write_text(CONFIG)
    Path("stations.csv").write_text("id,lon,lat\ns1,135.5,33.5\n")
    given = '{"device": {"id": "s1"}, "at": 0, "v": 1}'
    good = run("check", "--config", "ingest.toml", "--source", "river", given=given)
    assert good.exit_code == 0, good.output
    outside = run("check", "--config", "ingest.toml", "--domain", "0,0,1,1", given=given)
    assert outside.exit_code == 4 and "outside-domain" in outside.output
    unknown = run("check", "--config", "ingest.toml", "--source", "rain", given=given)
    assert unknown.exit_code != 0 and "river, wind" in unknown.output


def test_the_file_of_a_service_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ingest.toml"
    path.write_text(CONFIG)
    settings = read_ingest_settings(path)
    river, wind = settings.sources
    assert (river.w, river.format, river.mapping.names["sensor"]) == ("all", "json", "device.id")
    assert (river.source.paths, river.source.follow) == (("*.ndjson",), False)
    assert (wind.w, wind.format, wind.source.paths) == ("one", "csv", ("a", "b"))
    assert settings.connection == {"url": "http://127.0.0.1:1"}
    with pytest.raises(SettingsInvalid, match=r"stations\.csv"):
        river.context()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"w": "most"}, "w = 'most'"),
        ({"name": ""}, "name"),
        ({"collection": "x" * 200}, "collection"),
        ({"message_bytes_max": 0}, "message_bytes_max"),
        ({"message_bytes_max": "many"}, "message_bytes_max"),
        ({"mapping": {"zones": "x"}}, "zones"),
        ({"mapping": {"types": {"a": "colour"}}}, "colour"),
        ({"files": {"paths": ["x"], "folow": True}}, "folow"),
        ({"files": {}}, "paths"),
        ({"kafka": {}}, "kafka"),
        ({"dead_letters": "topic:dead"}, "topic"),
    ],
)
def test_a_wrong_setting_is_named(changed: dict[str, object], words: str) -> None:
    table = {"name": "a", "kind": "files", "collection": "c", "files": {"paths": ["x"]}, **changed}
    with pytest.raises(IngestError, match=words):
        tables_to_settings({"source": [table]}).sources[0].letters()


def test_two_sources_of_one_name_are_refused() -> None:
    table = {"name": "a", "kind": "files", "collection": "c", "files": {"paths": ["x"]}}
    with pytest.raises(SettingsInvalid, match="'a'"):
        tables_to_settings({"source": [table, table]})


def test_metrics_and_lines_say_what_became_of_the_messages() -> None:
    polled = [messages(body(0), b"{", body(2)), messages(body(3), stream='"odd"', first=7)]
    store = Store(failing(PeerUnreachable("away"), 1))
    pump = make_pump(MemorySource([polled]), store)
    pump.run(threading.Event())
    text = ingest_metrics([pump.statistics()])
    for expected in (
        'zring_ingest_messages_total{source="memory"} 4',
        'zring_ingest_records_stored_total{source="memory"} 3',
        'zring_ingest_records_rejected_total{source="memory",reason="bad-json"} 1',
        'zring_ingest_dead_letters_total{source="memory"} 1',
        'zring_ingest_lateness_seconds_bucket{source="memory",le="604800"} 0',
        'zring_ingest_lateness_seconds_bucket{source="memory",le="+Inf"} 3',
        'zring_ingest_lateness_seconds_count{source="memory"} 3',
        'zring_ingest_stream{source="memory",stream="\\"odd\\"",count="last"} 7',
        'zring_ingest_stands_still{source="memory"} 0',
        'zring_ingest_source_away{source="memory"} 0',
    ):
        assert f"{expected}\n" in text, text
    assert "# TYPE zring_ingest_lateness_seconds histogram\n" in text
    assert line(pump.statistics(), 3).startswith("memory: 3 records/s  3 stored  4 messages done")
    assert as_document(pump.statistics(), 3)["rejected"] == {"bad-json": 1}
    server = MetricsServer("127.0.0.1:0", lambda: text)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=60) as reply:
        assert reply.read().decode() == text
    with pytest.raises(ConfigInvalid, match="metrics-listen"):
        MetricsServer(f"127.0.0.1:{server.port}", lambda: text)
    server.close()
