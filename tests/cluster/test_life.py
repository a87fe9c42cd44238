"""Real processes that are told to stop, and stores that are damaged on the disk."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest.demo.nodes import LocalCluster, NodeProcess
from node.cli.main import main
from node.client import Client
from node.errors import NodeError
from tests.cluster.material import make_records

DEADLINE_S = 90.0
PAGE_BYTES = 4_096


@pytest.fixture
def own(cluster: LocalCluster) -> Iterator[LocalCluster]:
    """A cluster whose nodes a test may stop and damage as it likes; it is whole again after it."""
    yield cluster
    bring_back(cluster)


def bring_back(cluster: LocalCluster) -> None:
    """Start what does not run."""
    down = [node for node in cluster.nodes.values() if not node.is_running()]
    for node in down:
        node.stop()
        node.start()
    for node in down:
        node.wait_ready()
    cluster.wait_alive()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.1)


def stopped(cluster: LocalCluster, name: str) -> tuple[int, str]:
    """Exit code and last words of a node that is told to stop."""
    node = cluster.nodes[name]
    node.send(signal.SIGTERM)
    code = node.wait_ended(timeout_s=DEADLINE_S)
    return code, node.log.read_text()


def test_a_node_that_stops_hands_over_or_says_what_it_could_not(own: LocalCluster) -> None:
    records = make_records(3_000, seed=1)
    with Client(own.urls[0]) as client:
        client.write("life", records.slice(0, 2_000), w="all")
    code, log = stopped(own, "ne")
    assert code == 0
    assert "zring node ne draining" in log
    assert "stopped: every record that it has is on another node as well" in log
    for name in ("nw", "se"):
        own.nodes[name].kill()
    url = own.nodes["sw"].place.url
    with Client(url, timeout_s=20.0, direct=True) as client:
        written = client.write("life", records.slice(2_000), timeout_s=20.0)
        assert written.stored == 1_000
    code, log = stopped(own, "sw")
    assert code == 4
    last = [line for line in log.splitlines() if "zring node sw stopped" in line][-1]
    assert "records may be on no other node" in last and "start it again" in last, last
    bring_back(own)
    with Client(own.urls[1]) as client:

        def everything_is_there() -> bool:
            try:
                result = client.query("life")
            except NodeError:
                return False
            return len(result) == 3_000 and result.coverage.state == "complete"

        wait_until(everything_is_there, "records are missing after the restart")


def drains(node: NodeProcess) -> int:
    """How often a node has begun to drain."""
    return node.log.read_text().count("draining: hands over")


def test_a_second_signal_ends_a_node_at_once(own: LocalCluster) -> None:
    with Client(own.urls[0]) as client:
        client.write("second", make_records(2_000, seed=2), w="all")
    for name in ("nw", "se", "ne"):
        own.nodes[name].send(signal.SIGSTOP)
    try:
        node = own.nodes["sw"]
        with Client(node.place.url, timeout_s=20.0, direct=True) as client, suppress(NodeError):
            client.write("second", make_records(500, seed=3), timeout_s=1.5)
        before = drains(node)
        node.send(signal.SIGTERM)
        wait_until(lambda: drains(node) > before, "it never began to drain")
        node.send(signal.SIGTERM)
        assert node.wait_ended(timeout_s=DEADLINE_S) == 0
        assert "zring node sw stopped at once" in node.log.read_text()
    finally:
        for name in ("nw", "se", "ne"):
            own.nodes[name].send(signal.SIGCONT)


def damage(store: Path) -> None:
    """Flip bits in the middle of every page of data but the first ones."""
    with (store / "data.mdb").open("r+b") as file:
        pages = bytearray(file.read())
        for page in range(4, len(pages) // PAGE_BYTES):
            pages[page * PAGE_BYTES + PAGE_BYTES // 2] ^= 0x5A
        file.seek(0)
        file.write(pages)


def test_a_damaged_store_is_set_aside_and_the_node_is_filled_again(own: LocalCluster) -> None:
    records = make_records(5_000, seed=4)
    with Client(own.urls[0]) as client:
        client.write("damaged", records, w="all")
    node = own.nodes["nw"]
    store = node.place.folder / "store"
    node.stop()
    damage(store)
    node.start()
    node.wait_ready()
    log = node.log.read_text()
    aside = node.place.folder / "store-damaged-1"
    assert "IS DAMAGED" in log and str(aside) in log
    assert (aside / "data.mdb").exists()

    def filled() -> bool:
        with Client(node.place.url, direct=True) as client:
            nodes = {entry["id"]: entry for entry in client.status()["nodes"]}
        return not nodes["nw"]["unfilled"]

    wait_until(filled, "it was not filled again")
    for other in ("sw", "se"):
        own.nodes[other].kill()
    with Client(node.place.url, direct=True, timeout_s=20.0) as client:
        wait_until(
            lambda: len(client.query("damaged", timeout_s=20.0)) == 5_000, "records are lost"
        )
    done = CliRunner().invoke(
        main, ["doctor", "--data", str(store), "--listen", node.place.url.split("//")[1]]
    )
    assert "was set aside" in done.output, done.output


def test_a_store_that_is_damaged_while_the_node_runs_ends_it_with_its_code(
    own: LocalCluster,
) -> None:
    with Client(own.urls[0]) as client:
        client.write("running", make_records(60_000, seed=5), w="all", timeout_s=30.0)
    node = own.nodes["se"]
    node.stop()
    node.start()
    node.wait_ready()
    damage(node.place.folder / "store")
    with Client(node.place.url, direct=True, timeout_s=5.0) as client:

        def ended() -> bool:
            with suppress(NodeError):
                client.query("running", timeout_s=5.0)
            return not node.is_running()

        wait_until(ended, "it goes on with a damaged store")
    assert node.wait_ended(timeout_s=1.0) == 5
    assert "start this node again" in node.log.read_text()
    bring_back(own)
    assert "IS DAMAGED" in node.log.read_text()
