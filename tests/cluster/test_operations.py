"""A cluster changed in operation, by the commands alone, while others write and ask.

One story of real processes: a newcomer that asks its seeds joins, a founder leaves, areas are
evened out and given away, copies are added, an archive joins, a comparison is forced. After each
step the disk of every node has exactly what the ring says.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from ingest.demo.nodes import LocalCluster, NodePlace, NodeProcess
from node.cli.main import main
from node.client import Client
from node.errors import NodeError
from tests.cluster.material import free_ports, make_places, make_records
from tests.recovery.rings import ring_from_json
from zring.placement import holder_map

COUNT = 4_000
WAIT_S = "120"
PARTIAL = 4
BATCH = 20
DONE, REFUSED = 0, 1


class Traffic(threading.Thread):
    """Somebody who writes, and now and then asks for everything that was acknowledged."""

    def __init__(self, urls: list[str]) -> None:
        super().__init__(name="traffic")
        self.stopped = threading.Event()
        self.acknowledged: list[pa.Table] = []
        self.complete = 0
        self.faults: list[str] = []
        self._urls = urls

    def run(self) -> None:
        table = make_records(40_000, seed=3)
        with Client(self._urls[0], timeout_s=20.0) as client:
            for start in range(0, table.num_rows, BATCH):
                if self.stopped.wait(0.05):
                    return
                batch = table.slice(start, BATCH)
                try:
                    client.write("live", batch)
                except NodeError:
                    continue  # not acknowledged: it may be there or not
                self.acknowledged.append(batch)
                if start % (10 * BATCH) == 0:
                    self._ask(client)

    def _ask(self, client: Client) -> None:
        wanted = set(names_of(pa.concat_tables(self.acknowledged)))
        try:
            result = client.query("live", columns=["temp"])
        except NodeError as error:
            self.faults.append(f"no answer: {error}")
            return
        found = Counter(names_of(result.table))
        if max(found.values(), default=1) > 1:
            self.faults.append(f"{found.most_common(1)} came twice")
        if result.coverage.state == "complete":
            self.complete += 1
            if wanted - set(found):
                self.faults.append(f"{len(wanted - set(found))} missing in a complete answer")


def names_of(table: pa.Table) -> list[tuple[str, Any]]:
    """Sensor and time of each row: no identity of these records has another place."""
    return list(
        zip(table["sensor"].to_pylist(), table["time"].cast("int64").to_pylist(), strict=True)
    )


Run = Callable[..., Result]


class Stage:
    """Four founders, a newcomer and an archive to come, and the commands."""

    def __init__(self, folder: Path, cluster: LocalCluster) -> None:
        self.folder = folder
        self.cluster = cluster
        self.records = make_records(COUNT, seed=21)
        self.nodes = dict(cluster.nodes)

    @property
    def url(self) -> str:
        return self.cluster.urls[0]

    def add(self, name: str, *flags: str) -> NodeProcess:
        """Start a newcomer, which asks its seeds for the ring."""
        port, peer_port = free_ports(2)
        place = NodePlace(name, port, peer_port, self.folder / name)
        founders = [node.place for node in self.cluster.nodes.values()]
        node = NodeProcess(place, founders, flags=flags)
        self.nodes[name] = node
        node.start()
        node.wait_ready()
        self.wait_for(lambda: name in self.states(), f"{name} is seen")
        return node

    def states(self) -> dict[str, str]:
        with Client(self.url, direct=True) as client:
            return {node["id"]: node["state"] for node in client.status()["nodes"]}

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + 120.0
        while not condition():
            assert time.monotonic() < deadline_s, what
            time.sleep(0.1)

    def run(self, *words: str, code: int = DONE) -> Any:
        """The JSON of a command that must end with this code; its message where it failed."""
        result = CliRunner().invoke(
            main, [*words, "--json", "--url", self.url], prog_name="zring", catch_exceptions=False
        )
        assert result.exit_code == code, (words, result.exit_code, result.output)
        return orjson.loads(result.stdout) if code in (DONE, PARTIAL) else result.stderr

    def settle(self) -> None:
        """Wait by command, and see that every disk has what the ring says."""
        result = CliRunner().invoke(
            main, ["wait", "--timeout", WAIT_S, "--json", "--url", self.url], prog_name="zring"
        )
        last = orjson.loads(result.stdout)
        for task in last["tasks"]:
            del task["area"]
        assert result.exit_code == DONE and last["settled"], last
        self.wait_for(lambda: not self.misplaced(), f"misplaced: {self.misplaced()}")

    def wait_moved(self) -> None:
        """Wait until no area moves and everybody is filled; letting go takes longer."""
        self.wait_for(self._has_moved, "areas are still on their way, or a node is silent")

    def _has_moved(self) -> bool:
        with Client(self.url) as client:
            document = client.operations.tasks()
        return not document["silent"] and not {"move", "fill"} & {
            task["kind"] for task in document["tasks"]
        }

    def misplaced(self) -> dict[str, tuple[int, int]]:
        """Node → records that it lacks, and records that it should not have."""
        with Client(self.url) as client:
            ring = ring_from_json(client.ring())
        holders = holder_map(ring)
        codes = ring.domain.positions_to_codes(
            lon=to_e7(self.records["lon"]), lat=to_e7(self.records["lat"])
        )
        sets = holders.holders_of(codes)
        names = names_of(self.records)
        wrong: dict[str, tuple[int, int]] = {}
        for node, process in self.nodes.items():
            if not process.is_running():
                continue
            with Client(process.place.url, direct=True) as client:
                has = set(names_of(client.stored("weather")))
            wanted = {
                name for name, set_ in zip(names, sets, strict=True) if node in holders.sets[set_]
            }
            if has != wanted:
                wrong[node] = (len(wanted - has), len(has - wanted))
        return wrong


def to_e7(column: pa.ChunkedArray) -> Any:
    return (column.to_numpy() * 1e7).round().astype("int32")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("operations")
    with LocalCluster(make_places(folder)) as cluster:
        made = Stage(folder, cluster)
        with Client(made.url) as client:
            client.write("weather", made.records, w="all")
        try:
            yield made
        finally:
            for name in set(made.nodes) - set(cluster.nodes):
                with suppress(AssertionError):
                    made.nodes[name].stop()
    for name, node in made.nodes.items():
        assert "Traceback" not in node.log.read_text(), f"{name}: {node.log.read_text()[-4000:]}"


@pytest.fixture
def traffic(stage: Stage) -> Iterator[Traffic]:
    """Somebody writes and asks as long as the test runs, and was never told anything wrong."""
    thread = Traffic(stage.cluster.urls)
    thread.start()
    yield thread
    thread.stopped.set()
    thread.join(30.0)
    assert not thread.is_alive()
    assert not thread.faults, thread.faults[:5]
    assert thread.acknowledged and thread.complete
    stage.settle()
    with Client(stage.url) as client:
        found = Counter(names_of(client.query("live", columns=["temp"], require="complete").table))
    wanted = set(names_of(pa.concat_tables(thread.acknowledged)))
    assert not wanted - set(found) and max(found.values()) == 1


def test_a_cluster_grows_and_shrinks_while_it_works(stage: Stage, traffic: Traffic) -> None:
    stage.settle()
    assert stage.run("tasks")["settled"]
    # Nobody has heard of it: refused, and the message says what to do.
    plan_file = str(stage.folder / "plan.json")
    stage.run("plan", "join", "n5", "-o", plan_file)
    assert "start it first" in stage.run("commit", plan_file, code=REFUSED)

    stage.add("n5", "--location", "135.3,33.3")
    plan = stage.run("plan", "join", "n5", "-o", plan_file)
    assert {move["target"] for move in plan["moves"]} == {"n5"}
    assert plan["records"] > 0 and plan["seconds"] >= 0 and plan["area"]["coordinates"]
    ring = stage.run("commit", plan_file)
    assert ring["spans_waiting"]
    under_way = stage.run("tasks", code=PARTIAL)["tasks"]
    # What carries the records over stands beside the move; which of the two, is a matter of time.
    kinds = {task["kind"] for task in under_way}
    assert "move" in kinds and kinds & {"fill", "hand-over"}, kinds
    assert {task["target"] for task in under_way if task["kind"] == "move"} == {"n5"}
    assert "make the plan again" in stage.run("commit", plan_file, code=REFUSED)
    stage.wait_moved()
    with Client(stage.url) as client:
        owners = ring_from_json(client.ring())
    code = owners.domain.position_to_code(lon=1_353_000_000, lat=333_000_000)
    assert owners.owner_of(code) == "n5", "it owns where it stands"

    stage.run("leave", "ne")
    stage.wait_moved()
    stage.run("rebalance")
    stage.settle()
    with Client(stage.cluster.urls[3], direct=True) as client:
        assert not len(client.stored("weather")), "who has left has let go"
    assert stage.run("plan", "rebalance", "-o", plan_file)["imbalance_before"] <= 1.25


def test_areas_copies_and_archives_change_while_it_works(stage: Stage, traffic: Traffic) -> None:
    plan_file = str(stage.folder / "plan.json")
    box = "135.1,34.1,135.4,34.4"
    stage.run("plan", "assign", "--bbox", box, "--to", "se", "-o", plan_file)
    stage.run("commit", plan_file)
    stage.wait_moved()
    with Client(stage.url) as client:
        ring = ring_from_json(client.ring())
    assert ring.owner_of(ring.domain.position_to_code(lon=1_352_500_000, lat=342_500_000)) == "se"

    stage.run("plan", "settings", "--replicas", "3", "-o", plan_file)
    stage.run("commit", plan_file)
    stage.wait_moved()

    stage.add("hub")
    stage.run("join", "hub", "--archive")
    stage.wait_moved()
    with Client(stage.nodes["hub"].place.url, direct=True) as client:
        assert len(client.stored("weather")) == COUNT

    told = stage.run("repair", "--bbox", box, "--from", "2023-07-01T00:00:00Z")["told"]
    assert {"sw", "nw", "se", "hub"} <= set(told)


def test_a_move_is_stopped_and_everything_is_in_the_audit_log(stage: Stage) -> None:
    plan_file = str(stage.folder / "plan.json")
    stage.run("plan", "leave", "nw", "-o", plan_file)
    stage.run("commit", plan_file)
    stage.run("abort")
    with Client(stage.url) as client:
        assert not any(span.next for span in ring_from_json(client.ring()).spans)
    folder = str(stage.nodes["sw"].place.folder / "store")
    result = CliRunner().invoke(main, ["audit", "--data", folder, "--json"], prog_name="zring")
    entries = [orjson.loads(line) for line in result.stdout.splitlines()]
    done = {(entry["event"], entry["outcome"]) for entry in entries}
    for event in ("plan.commit", "plan.abort", "repair"):
        assert (event, "done") in done
    refused = [entry for entry in entries if entry["event"] == "plan.commit"]
    assert any("start it first" in entry["details"].get("reason", "") for entry in refused)
    assert all(entry["subject"] and entry["remote"] for entry in refused)


def test_waiting_has_an_end(stage: Stage) -> None:
    node = stage.nodes["hub"]
    node.stop()
    stage.wait_for(lambda: stage.states()["hub"] == "away", "hub is away")
    texts = {
        words: CliRunner().invoke(main, [*words, "--url", stage.url], prog_name="zring").output
        for words in (("status",), ("tasks",), ("wait", "--timeout", "0.1"))
    }
    assert all("hub is away" in text for text in texts.values()), texts
    last = stage.run("wait", "--timeout", "0.5", code=PARTIAL)
    assert last["silent"] == {"hub": "is away"} and last["state"] == "local"
    stage.run("tasks", code=PARTIAL)
    node.start()
    node.wait_ready()
    stage.settle()
    for words, said in (
        (("wait",), "nothing is under way; answers are complete"),
        (("repair", "--accept-loss"), "nothing is missing"),
    ):
        result = CliRunner().invoke(main, [*words, "--url", stage.url], prog_name="zring")
        assert result.exit_code == DONE and said in result.output, result.output
