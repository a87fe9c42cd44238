"""The describing pages: OpenAPI, OGC landing pages, cluster state, metrics, tokens."""

from collections.abc import Mapping
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from node.api.openapi import openapi_document
from node.api.parameters import PARAMETERS
from node.api.problems import error_to_problem
from node.api.routes import ROUTES
from node.config import Role
from node.errors import Forbidden

from .conftest import Door, record


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV30SpecValidator(openapi_document(ROUTES)).validate()


def test_every_parameter_belongs_to_a_route() -> None:
    assert set(PARAMETERS) == {name for route in ROUTES for name in route.parameters}


async def test_the_landing_page_leads_everywhere(door: Door) -> None:
    await door.store(record())
    landing = (await door.ask("/")).json()
    links = {link["rel"]: link["href"] for link in landing["links"]}
    assert {"self", "service-desc", "conformance", "data"} <= set(links)
    for href in links.values():
        assert (await door.ask(href)).status == 200
    conformance = (await door.ask(links["conformance"])).json()["conformsTo"]
    assert [uri.rsplit("/", 1)[1] for uri in conformance] == ["core", "oas30", "geojson"]
    (collection,) = (await door.ask(links["data"])).json()["collections"]
    assert collection["extent"]["spatial"]["bbox"] == [[135.163, 34.228, 135.163, 34.228]]
    assert collection["extent"]["temporal"]["interval"] == [["2023-07-13T05:00:00Z"] * 2]
    for link in collection["links"]:
        assert (await door.ask(link["href"])).headers["Content-Type"].startswith(link["type"])


async def test_ring_and_status_have_the_shape_that_clients_read(door: Door) -> None:
    await door.store(record())
    ring = (await door.ask("/cluster/ring")).json()
    assert ring["domain"] == [135.0, 33.0, 136.6, 34.6]
    assert ring["spans"] == [
        {"start": "0", "stop": str(1 << 62), "owner": "a", "next": None, "epoch": 0}
    ]
    assert ring["nodes"][0]["id"] == "a" and ring["nodes"][0]["state"] == "alive"
    health = await door.ask("/health")
    assert health.headers["Zring-Ring"] == ring["digest"]
    status = (await door.ask("/cluster/status")).json()
    assert status["coverage"]["state"] == status["state"] == "complete"
    assert status["collections"]["amedas"]["records"] == 1
    (node,) = status["nodes"]
    assert node["area"]["type"] == node["holds"]["type"] == "MultiPolygon"
    assert (await door.ask("/ready")).json()["status"] == "ready"


async def test_metrics_are_prometheus_text(door: Door) -> None:
    await door.store(record())
    await door.ask("/collections/amedas/items")
    await door.ask("/nowhere")
    text = (await door.ask("/metrics")).body.decode()
    samples: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            samples[name] = float(value)
    assert samples["zring_queries_total"] == 1
    assert samples["zring_records"] == 1
    assert samples["zring_queries_cancelled_total"] == 0
    route = "/collections/{collection}/items"
    assert samples[f'zring_http_requests_total{{route="{route}",status="200"}}'] == 2
    assert samples[f'zring_http_request_seconds_count{{route="{route}"}}'] == 2
    assert samples[f'zring_http_request_seconds_bucket{{route="{route}",le="+Inf"}}'] == 2
    assert samples["zring_http_failures_total"] == 0


async def test_questions_besides_items(door: Door) -> None:
    hours = [record(time=f"2023-07-13T{hour:02}:00:00Z", values={"n": hour}) for hour in range(4)]
    await door.store([*hours, record(sensor="far", lon=136.5, values={"n": 9})])
    base = "/collections/amedas"
    latest = (await door.ask(f"{base}/latest")).json()["features"]
    assert [feature["properties"]["n"] for feature in latest] == [3, 9]
    nearest = (await door.ask(f"{base}/nearest?lon=136.4&lat=34.2&k=2")).json()["features"]
    assert [feature["properties"]["sensor"] for feature in nearest] == ["far", "65042"]
    assert 9_000 < nearest[0]["properties"]["distance_m"] < 10_000
    circle = (await door.ask(f"{base}/within?lon=135.16&lat=34.23&radius_m=1000")).json()
    assert circle["numberReturned"] == 4
    polygon = {
        "type": "Polygon",
        "coordinates": [[[136, 34], [136.6, 34], [136.6, 34.6], [136, 34]]],
    }
    for reply in (
        await door.ask(f"{base}/within", "POST", json=polygon),
        await door.ask(f"{base}/within?polygon=POLYGON((136 34,136.6 34,136.6 34.6,136 34))"),
    ):
        (feature,) = reply.json()["features"]
        assert feature["properties"]["sensor"] == "far"
    explained = (await door.ask(f"{base}/explain?limit=10")).json()
    assert explained["readers"][0]["node"] == "a" and explained["rows"] == 5


@pytest.mark.parametrize("query", ["cell=0.1&step=PT2H", "level=4&step=PT2H"])
async def test_aggregates_per_cell_and_step(door: Door, query: str) -> None:
    hours = [record(time=f"2023-07-13T{hour:02}:00:00Z", values={"n": hour}) for hour in range(4)]
    await door.store([*hours, record(sensor="far", lon=136.5, values={"n": 9})])
    target = f"/collections/amedas/aggregate?{query}"
    features = (await door.ask(target)).json()["features"]
    first = features[0]
    assert first["properties"]["time"] == "2023-07-13T00:00:00Z"
    words = ("count", "mean", "min", "max", "sum")
    assert [first["properties"][f"n_{word}"] for word in words] == [2, 0.5, 0, 1, 1]
    ring = first["geometry"]["coordinates"][0]
    assert ring[0] == [135.1, 34.2] and ring[2] == [135.2, 34.3]
    for form in ("csv", "ndjson", "arrow"):
        reply = await door.ask(f"{target}&f={form}")
        assert reply.status == 200 and reply.body
    assert len((await door.ask(f"{target}&f=ndjson")).body.splitlines()) == len(features) == 3


class TestTokens:
    """With tokens nobody gets in without one of the right role."""

    @pytest.fixture
    def tokens(self) -> dict[str, Role]:
        return {"r-token": "read", "w-token": "write", "a-token": "admin"}

    @pytest.mark.parametrize(
        ("token", "read", "write"),
        [
            (None, 401, 401),
            ("wrong", 401, 401),
            ("r-token", 200, 403),
            ("w-token", 200, 200),
            ("a-token", 200, 200),
        ],
    )
    async def test_roles(self, door: Door, token: str | None, read: int, write: int) -> None:
        headers: Mapping[str, Any] = {} if token is None else {"Authorization": f"Bearer {token}"}
        assert (await door.store(record(), headers=headers)).status == write
        reply = await door.ask("/collections", headers=headers)
        assert reply.status == read
        if read == 401:
            assert reply.headers["WWW-Authenticate"].startswith("Bearer")
            assert reply.json()["reason"] == "unauthorised"
        assert (await door.ask("/health")).status == 200

    async def test_the_map_page_asks_for_none(self, door: Door) -> None:
        browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        page = await door.ask("/", headers=browser)
        assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")
        assert (await door.ask("/cluster/status")).status == 401


def test_whatever_changes_the_cluster_needs_the_highest_role() -> None:
    for route in ROUTES:
        if route.path.startswith("/cluster/") and route.method != "GET":
            assert route.role == "admin", route.path
        if route.role is None:
            assert route.path in ("/", "/api", "/health", "/ready")


async def test_too_low_a_role_is_told_which_one_is_needed() -> None:
    reply = error_to_problem(Forbidden("x"))
    assert reply.status == 403
    assert 'error="insufficient_scope"' in reply.headers["WWW-Authenticate"]


async def test_browsers_get_the_map_and_programs_the_links(door: Door) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    assert b"<html" in (await door.ask("/", headers=browser)).body
    for headers in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}):
        assert (await door.ask("/", headers=headers)).json()["links"]
    assert (await door.ask("/?f=json", headers=browser)).json()["links"]
