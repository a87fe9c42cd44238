"""Real processes that are killed, lost in the middle of a load, or left by their clients."""

import signal
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.demo.nodes import LocalCluster, NodeProcess
from node.client import Client, Written
from node.errors import NodeError
from tests.cluster.material import counter, make_places, make_records

BATCHES = 40
BATCH_RECORDS = 2_000
DEADLINE_S = 90.0
CONNECTIONS = 6
CANCELLED = "zring_queries_cancelled_total"
LEFT_RECORDS = 600_000


def identities(table: pa.Table) -> set[tuple[str, int]]:
    times = table["time"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return set(zip(table["sensor"].to_pylist(), times.to_pylist(), strict=True))


def test_a_node_killed_during_a_load_has_every_acknowledged_record_after_its_restart(
    cluster: LocalCluster,
) -> None:
    """Every batch is sent straight to the victim; what it acknowledged must be there again."""
    victim = cluster.nodes["nw"]
    records = make_records(BATCHES * BATCH_RECORDS, seed=3)
    acknowledged: list[pa.Table] = []
    killed = threading.Event()

    def load() -> None:
        with Client(victim.place.url, timeout_s=DEADLINE_S, direct=True) as client:
            for start in range(0, records.num_rows, BATCH_RECORDS):
                batch = records.slice(start, BATCH_RECORDS)
                try:
                    # From when it may be killed on, a batch is not repeated for long.
                    patience_s = 1.0 if killed.is_set() else DEADLINE_S
                    written = client.write("killed", batch, timeout_s=patience_s)
                except NodeError:
                    return
                assert written.stored == BATCH_RECORDS
                acknowledged.append(batch)
                if len(acknowledged) == BATCHES // 4:
                    killed.set()

    loader = threading.Thread(target=load)
    loader.start()
    assert killed.wait(DEADLINE_S)
    victim.kill()
    loader.join(DEADLINE_S)
    assert len(acknowledged) >= BATCHES // 4
    victim.start()
    victim.wait_ready()
    cluster.wait_alive()
    wanted = identities(pa.concat_tables(acknowledged))
    for url in cluster.urls:
        with Client(url, direct=True) as client:
            result = client.query("killed")
            found = identities(result.table)
            assert wanted <= found, (url, result.coverage)
            assert len(result) == len(found), f"{url} gives a record twice"


def test_writes_and_reads_go_on_while_a_node_is_down(cluster: LocalCluster) -> None:
    records = make_records(4_000, seed=4)
    victim = cluster.nodes["se"]
    with Client(cluster.urls[0], timeout_s=20.0) as client:
        client.write("down", records.slice(0, 2_000), w="all")
        victim.kill()
        written: Written = client.write("down", records.slice(2_000), timeout_s=20.0)
        assert written.stored == 2_000
        found = client.query("down", timeout_s=20.0)
        assert identities(found.table) == identities(records)
        wait_away(client, "se")
        assert client.query("down").coverage.state != "complete"
    victim.start()
    victim.wait_ready()
    cluster.wait_alive()
    with Client(victim.place.url, direct=True) as client:
        assert identities(client.query("down").table) == identities(records)


def wait_away(client: Client, name: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while {entry["id"]: entry["state"] for entry in client.status()["nodes"]}[name] == "alive":
        assert time.monotonic() < deadline_s, f"{name} is dead and counts as alive"
        time.sleep(0.1)


def test_a_client_that_leaves_stops_its_query_on_all_nodes(cluster: LocalCluster) -> None:
    """Counters of the node that was asked and of the one that it asked show the early end.

    All records lie in one area, so that its owner needs several steps for one question.
    """
    asked, owner = cluster.nodes["sw"].place, cluster.nodes["ne"].place
    with Client(asked.url, timeout_s=60.0) as client:
        client.write("left", make_records(LEFT_RECORDS, seed=5, west=135.9, south=33.9))
        assert len(client.query("left", limit=150_000)) == 150_000
    before = [counter(place.url, CANCELLED) for place in (asked, owner)]
    deadline_s = time.monotonic() + DEADLINE_S
    attempt = 0
    while not all(
        counter(place.url, CANCELLED) > count
        for place, count in zip((asked, owner), before, strict=True)
    ):
        assert time.monotonic() < deadline_s, "no query was stopped"
        attempt += 1
        ask_and_leave(asked.port, after_s=0.01 * (attempt % 20))
    while (rows := rows_read(cluster)) != (time.sleep(0.2) or rows_read(cluster)):
        assert time.monotonic() < deadline_s, f"rows are read for nobody: {rows}"


def ask_and_leave(port: int, *, after_s: float) -> None:
    """Ask for everything several times at once, so that the nodes are at work, then hang up."""
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", port), timeout=5.0)
            stack.enter_context(connection)
            connection.sendall(
                b"GET /collections/left/aggregate?step=PT1M HTTP/1.1\r\nHost: node\r\n\r\n"
            )
        time.sleep(after_s)


def rows_read(cluster: LocalCluster) -> list[float]:
    """Rows that each node has looked at since its start."""
    return [counter(url, "zring_rows_read_total") for url in cluster.urls]


def test_a_stopped_node_says_so_and_comes_back_with_its_name(tmp_path: Path) -> None:
    places = make_places(tmp_path)[:1]
    node = NodeProcess(places[0], places)
    node.start()
    try:
        node.wait_ready()
        with Client(places[0].url) as client:
            client.write("kept", make_records(500, seed=6))
        node.stop()
        log = node.log.read_text()
        assert f"ready at {places[0].url}" in log
        assert "Traceback" not in log
        node.start()
        node.wait_ready()
        with Client(places[0].url) as client:
            assert len(client.query("kept")) == 500
    finally:
        node.stop()


def test_a_store_of_another_node_or_cluster_is_refused(tmp_path: Path) -> None:
    places = make_places(tmp_path)[:1]
    first = NodeProcess(places[0], places)
    first.start()
    try:
        first.wait_ready()
    finally:
        first.stop()
    for flags, words in (
        (("--name", "other"), ("name sw", "node.name=other")),
        (("--domain", "world"), ("domain", "cluster.domain")),
        (("--cluster", "other"), ("cluster", "cluster.id=other")),
        (("--grain-level", "5"), ("grain_level", "cluster.grain_level=5")),
    ):
        second = NodeProcess(places[0], places, flags=flags)
        second.start()
        try:
            with pytest.raises(NodeError) as caught:
                second.wait_ready()
        finally:
            second.stop()
        for word in words:
            assert word in str(caught.value)


def test_a_node_stops_with_its_parent(tmp_path: Path) -> None:
    places = make_places(tmp_path)[:1]
    node = NodeProcess(places[0], places)
    node.start()
    try:
        node.wait_ready()
        node.close_input()
        assert node.wait_ended(timeout_s=DEADLINE_S) == 0
    finally:
        node.stop()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    places = make_places(tmp_path)[:1]
    with socket.create_server(("127.0.0.1", places[0].port)):
        node = NodeProcess(places[0], places)
        node.start()
        try:
            assert node.wait_ended(timeout_s=DEADLINE_S) == 2
        finally:
            node.stop()
    assert "node.listen=127.0.0.1" in node.log.read_text()
    assert "zring doctor" in node.log.read_text()


def test_sigint_ends_a_node_in_order(tmp_path: Path) -> None:
    places = make_places(tmp_path)[:1]
    node = NodeProcess(places[0], places)
    node.start()
    try:
        node.wait_ready()
        node.send(signal.SIGINT)
        assert node.wait_ended(timeout_s=DEADLINE_S) == 0
    finally:
        node.stop()
