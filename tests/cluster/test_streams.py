"""Streams of real nodes: each record once, whichever node in between dies."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingest.demo.nodes import LocalCluster
from node.client import Client
from node.client.following import Event
from node.errors import NodeError
from tests.cluster.material import make_places, make_records

WAIT_S = 90.0
LOG_BYTES = 2_000_000
ENVIRONMENT = {"ZRING_LIMITS_STREAM_LOG_BYTES_MAX": str(LOG_BYTES)}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Nodes that remember little, and that may be killed."""
    places = make_places(tmp_path_factory.mktemp("streams"))
    with LocalCluster(places, environment=ENVIRONMENT) as started:
        yield started
        for name, node in started.nodes.items():
            assert "Traceback" not in node.log.read_text(), name


class Follower:
    """A client that follows on a thread of its own."""

    def __init__(self, url: str, collection: str, **selection: Any) -> None:
        self._client = Client(url, timeout_s=WAIT_S)
        self._events = self._client.follow(collection, **selection)
        self.events: list[Event] = []
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stopped = False
        self._thread.start()
        self.wait(lambda: any(event.kind == "coverage" for event in self.events))

    def _run(self) -> None:
        try:
            for event in self._events:
                self.events.append(event)
                if self._stopped:
                    return
        except NodeError as error:
            self.failure = error

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        wanted = kinds or ("records",)
        return [one for event in list(self.events) if event.kind in wanted for one in event.records]

    def wait(self, condition: Any) -> None:
        end_s = time.monotonic() + WAIT_S
        while not condition():
            assert self.failure is None, self.failure
            assert time.monotonic() < end_s, [
                (event.kind, len(event.records), event.details) for event in self.events
            ]
            time.sleep(0.02)

    def stop(self) -> None:
        self._stopped = True
        self._client.close()


def identities(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((one["sensor"], one["time"]) for one in records)


def expected(table: pa.Table) -> list[tuple[str, str]]:
    texts = table["time"].cast(pa.string()).to_pylist()
    # 2023-07-01 00:00:00.000000Z → the shortest form that answers have.
    times = [text.replace(" ", "T").replace(".000000Z", "Z") for text in texts]
    return sorted(zip(table["sensor"].to_pylist(), times, strict=True))


def test_each_record_once_although_the_node_in_between_is_killed(own: LocalCluster) -> None:
    names, urls = list(own.nodes), own.urls
    table = make_records(6_000, seed=4)
    batches = [table.slice(start, 100) for start in range(0, 6_000, 100)]
    follower = Follower(urls[0], "killed")
    with Client(urls[1], timeout_s=30.0) as client:
        for number, batch in enumerate(batches):
            if number == 25:
                own.nodes[names[0]].kill()
            client.write("killed", batch, w="quorum")
    follower.wait(lambda: len(follower.records()) >= 6_000)
    own.nodes[names[0]].start()
    own.nodes[names[0]].wait_ready()
    own.wait_alive()
    with Client(urls[0], direct=True) as client:
        client.write("killed", make_records(10, seed=5, sensors=3), w="one")
    follower.wait(lambda: len(follower.records()) >= 6_010)
    found = identities(follower.records())
    assert len(set(found)) == len(found), "one came twice"
    assert set(expected(table)) <= set(found)
    follower.stop()


def test_filters_and_a_fence(own: LocalCluster) -> None:
    warm = Follower(own.urls[1], "buses", filter="temp > 20", columns=["temp"], sensors=["b1"])
    fence = Follower(own.urls[2], "buses", bbox=(135.5, 33.5, 136.1, 34.1), fence=True)
    with Client(own.urls[3]) as client:
        for step in range(9):
            records = [
                {"sensor": name, "time": f"2024-01-01T00:00:{step:02}Z", "lon": 135.1 + step / 6,
                 "lat": lat, "values": {"temp": 15 + step, "speed": 1}}
                for name, lat in (("b1", 33.8), ("b2", 33.1))
            ]  # fmt: skip
            client.write("buses", records)
        fence.wait(lambda: fence.records("leave"))
        warm.wait(lambda: len(warm.records()) >= 3)
    assert [one["values"] for one in warm.records()] == [{"temp": 21}, {"temp": 22}, {"temp": 23}]
    lons = [one["lon"] for one in fence.records("enter", "leave")]
    assert [round(lon, 2) for lon in lons] == [135.6, 136.27]
    assert not fence.records()
    warm.stop()
    fence.stop()


def test_what_the_logs_forgot_is_a_gap_with_a_link(own: LocalCluster) -> None:
    first = Follower(own.urls[1], "gaps")
    with Client(own.urls[2]) as client:
        client.write("gaps", make_records(10, seed=6))
        first.wait(lambda: len(first.records()) == 10)
        last_id = first.events[-1].id
        first.stop()
        client.write("gaps", make_records(60_000, seed=7))
    again = Follower(own.urls[3], "gaps", last_event_id=last_id)
    again.wait(lambda: any(event.kind == "gap" for event in again.events))
    gap = next(event.details for event in again.events if event.kind == "gap")
    assert gap["reason"] == "overflow"
    assert gap["node"] in own.nodes
    assert "/collections/gaps/items?from=" in gap["items"]
    again.stop()


def test_the_command_prints_what_arrives(own: LocalCluster, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "node.cli", "follow", "printed", "--url", own.urls[2],
               "--count", "3", "--columns", "temp"]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stderr is not None
    assert "coverage" in process.stderr.readline()
    with Client(own.urls[0]) as client:
        client.write("printed", make_records(3, seed=8))
    out, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert [set(json.loads(line)["values"]) for line in out.splitlines()] == [{"temp"}] * 3
