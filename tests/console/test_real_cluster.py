"""The page against real nodes: areas, values and a node that goes away, as a person sees them."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.cluster.material import make_places, make_records

AWAY_DEADLINE_S = 120.0
ALL_AREAS = {"ne", "nw", "se", "sw"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Four real nodes with the records of 200 sensors."""
    with LocalCluster(make_places(tmp_path_factory.mktemp("console"))) as running:
        with Client(running.urls[0]) as client:
            client.write("amedas", make_records(2_000, seed=5), w="all")
        yield running


async def test_root_leads_a_browser_to_the_map(cluster: LocalCluster, browse: Any) -> None:
    page = await browse(cluster.urls[1] + "/")
    assert set(re.findall(r'<g class="area alive" data-node="(\w+)"', page)) == ALL_AREAS
    assert len(set(re.findall(r'data-sensor="(s\d+)"', page))) == 200
    assert re.search(r'id="coverage"[^>]*data-state="complete"', page)
    assert re.search(r"2,000 records; 200 sensors in view", page)
    assert re.search(r'<option value="temp">', page)


async def test_copies_of_the_chosen_node_are_shown(cluster: LocalCluster, browse: Any) -> None:
    page = await browse(cluster.urls[0] + "/console/#selected=nw")
    assert 'data-copies-of="nw"' in page


async def test_a_killed_node_is_said_to_be_away(cluster: LocalCluster, browse: Any) -> None:
    gone = max(cluster.nodes)
    cluster.nodes[gone].kill()
    url = next(node.place.url for name, node in cluster.nodes.items() if name != gone)
    page = ""
    async with asyncio.timeout(AWAY_DEADLINE_S):
        while f'<tr data-node="{gone}" data-state="away">' not in page:
            page = await browse(url + "/")
    assert f"1 of 4 nodes is away: {gone} (since " in page
    assert re.search(rf'<g class="area away" data-node="{gone}"', page)
    assert re.search(r'id="coverage"[^>]*data-state="local"', page)
    assert len(set(re.findall(r'data-sensor="(s\d+)"', page))) == 200
