"""`zring ingest run` with a real node: without a node for a while, with poison."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from ingest.commands.deadletter import deadletter
from ingest.deadletters import read_letters
from ingest.demo.nodes import LocalCluster
from ingest.files import ingest
from node.client import Client
from node.errors import NotFound
from tests.cluster.material import make_places
from tests.streams.ingesting import IngestProcess
from tests.streams.waiting import wait_until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """One node; who stops it starts it again."""
    with LocalCluster(make_places(tmp_path_factory.mktemp("node"))[:1]) as started:
        yield started


def line(number: int) -> bytes:
    seconds = 1_688_169_600 + number
    place = {"lon": 135.0 + number % 160 / 100, "lat": 33.5}
    return orjson.dumps({"id": f"s{number % 7}", "ts": seconds, **place, "n": number}) + b"\n"


def write_config(folder: Path, url: str, collection: str, *, follow: bool) -> Path:
    config = folder / "ingest.toml"
    config.write_text(
        f"""
        url = "{url}"
        [[source]]
        name = "{collection}"
        kind = "files"
        collection = "{collection}"
        format = "ndjson"
        dead_letters = "dead.ndjson"
        [source.files]
        paths = ["log.ndjson"]
        follow = {str(follow).lower()}
        [source.mapping]
        time_format = "epoch-s"
        """
    )
    return config


def numbers(url: str, collection: str) -> list[int]:
    with Client(url) as client:
        try:
            table = client.query(collection, columns=["n"]).table
        except NotFound:
            return []
    return sorted(table["n"].to_pylist())


@pytest.mark.timeout(900)
def test_while_no_node_answers_the_pump_waits_and_then_goes_on(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    url, log = cluster.urls[0], tmp_path / "log.ndjson"
    log.write_bytes(b"".join(map(line, range(500))))
    (node,) = cluster.nodes.values()
    node.kill()
    with IngestProcess(write_config(tmp_path, url, "away", follow=True)) as process:
        process.wait_says("no node answers yet")
        node.start()
        node.wait_ready()
        wait_until(lambda: numbers(url, "away") == list(range(500)), "stored", deadline_s=90)
        node.kill()
        with log.open("ab") as stream:
            stream.writelines(map(line, range(500, 30_000)))
        process.wait_says("waiting: ")
        node.start()
        node.wait_ready()
        wait_until(lambda: numbers(url, "away") == list(range(30_000)), "stored", deadline_s=90)
        assert process.stop() == 0, process.log


def test_letters_are_stored_once_the_mapping_is_mended(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.ndjson"
    bad = line(1).replace(b'"ts"', b'"when"')
    log.write_bytes(line(0) + bad + b"{\n" + line(2))
    config = write_config(tmp_path, cluster.urls[0], "mended", follow=False)
    with IngestProcess(config) as process:
        assert process.wait_ended() == 4, process.log
    assert numbers(cluster.urls[0], "mended") == [0, 2]
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(deadletter, ["list", "--file", "dead.ndjson"])
    assert listed.exit_code == 0 and "2 dead letters" in listed.output and '"when"' in listed.output
    mapped = config.read_text() + '\nmap = {time = "when"}\n'
    config.write_text(mapped)
    words = ["retry", "--config", str(config), "--file", "dead.ndjson", "--json"]
    again = CliRunner().invoke(deadletter, words)
    assert json.loads(again.output) == {"tried": 2, "stored": 1, "left": 1}, again.output
    assert again.exit_code == 4
    assert numbers(cluster.urls[0], "mended") == [0, 1, 2]
    assert [letter.payload for letter in read_letters(tmp_path / "dead.ndjson")] == [b"{"]
    with Client(cluster.urls[0]) as client:
        table = client.query("mended", metadata=True).table.sort_by("n")
    assert table["@sequence"].to_pylist() == [0, 1, 3]
    assert set(table["@source"].to_pylist()) == {"mended"}
    assert np.unique(table["@stream"].to_pylist()).tolist() == ["log.ndjson"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[source]]\nkind = 'carrier-pigeon'", "carrier-pigeon"),
        ("[[source]]\nkind = 'files'\nname = 'a'", "collection"),
        ("[[source]]\nkind = 'files'\nname = 'a'\ncollection = 'c'\nformat = 'avro'\n"
         "[source.files]\npaths = ['x']", "avro"),
        ("[[source]]\nkind = 'files'\nname = 'a'\ncollection = 'c'\n[source.files]\npaths = 7",
         "paths"),
        ("urls = 'x'", "urls"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    config = tmp_path / "ingest.toml"
    config.write_text(text)
    done = CliRunner().invoke(ingest, ["run", "--config", str(config)])
    assert done.exit_code == 2, done.output
    assert words in done.output and len(done.output.splitlines()) == 1
