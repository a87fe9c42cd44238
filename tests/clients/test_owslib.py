"""OWSLib reads a node as it reads any OGC API - Features."""

from typing import Any

import pytest
from owslib.ogcapi.features import Features

from .conftest import Served


@pytest.fixture(scope="module")
def api(node: Served) -> Any:
    return Features(node.url)


def test_landing_conformance_and_api(api: Any) -> None:
    assert api.links
    assert any(uri.endswith("/conf/core") for uri in api.conformance()["conformsTo"])
    assert api.api()["openapi"].startswith("3.0")


def test_collections(api: Any) -> None:
    assert api.feature_collections() == ["amedas"]
    collection = api.collection("amedas")
    assert collection["id"] == "amedas"
    (box,) = collection["extent"]["spatial"]["bbox"]
    assert 135 <= box[0] < box[2] <= 136.6


def test_items_by_box_and_time(api: Any, node: Served) -> None:
    box = [135.0, 33.0, 136.0, 34.0]
    page = api.collection_items(
        "amedas", bbox=box, datetime_="2023-07-13T00:00:00Z/2023-07-13T05:00:00Z", limit=1000
    )
    lon, lat = (node.table.column(name).to_numpy() for name in ("lon", "lat"))
    inside = (lon >= 135) & (lon <= 136) & (lat >= 33) & (lat <= 34)
    stations = set(node.table.column("sensor").to_numpy(zero_copy_only=False)[inside])
    assert page["numberReturned"] == 6 * len(stations) == len(page["features"])
    assert {feature["properties"]["sensor"] for feature in page["features"]} == stations


def test_one_item(api: Any) -> None:
    page = api.collection_items("amedas", limit=1)
    (feature,) = page["features"]
    single = api.collection_item("amedas", feature["id"])
    assert single["properties"] == feature["properties"]


def test_pages_by_next_links(api: Any, node: Served) -> None:
    seen = []
    page = api.collection_items("amedas", limit=333)
    while True:
        seen.extend(feature["id"] for feature in page["features"])
        links = {link["rel"]: link["href"] for link in page["links"]}
        if "next" not in links:
            break
        cursor = links["next"].split("cursor=")[1]
        page = api.collection_items("amedas", limit=333, cursor=cursor)
    assert len(seen) == len(set(seen)) == node.table.num_rows
