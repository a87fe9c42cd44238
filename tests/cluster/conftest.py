"""Four real `zring serve` processes on free ports."""

import os
from collections.abc import Iterator

import pytest

from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.cluster.material import make_places


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster that the tests of one module share; whoever stops a node starts it again."""
    with LocalCluster(make_places(tmp_path_factory.mktemp("cluster"))) as started:
        yield started
        for name, node in started.nodes.items():
            assert node.is_running(), f"node {name} ended by itself: {node.log.read_text()[-2000:]}"
            log = node.log.read_text()
            assert "Traceback" not in log, f"node {name}: {log[-4000:]}"


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A client of the cluster, connected through its first node."""
    with Client(cluster.urls[0], timeout_s=30.0) as made:
        yield made


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tester's own settings must not reach the commands under test."""
    for name in [name for name in os.environ if name.startswith("ZRING_")]:
        if name != "ZRING_TEST_DATA":
            monkeypatch.delenv(name)
