"""The OGC API pages that describe the rest: landing, conformance, API document, collections."""

from typing import Any

import orjson
from aiohttp import web

from node.api.coverage import time_text
from node.api.formats import ARROW, CSV, GEOJSON, NDJSON, PARQUET, prefers_html
from node.api.links import base_url, collection_path, link
from node.api.openapi import OPENAPI_TYPE
from node.api.parameters import CRS84, read_parameters
from node.api.respond import json_response
from node.api.state import STATE, State
from node.errors import NotFound
from node.metadata import chosen_values
from node.query import TIME_MAX, TIME_MIN
from node.storage.engine import CollectionStatistics
from zring.domain import E7_PER_DEGREE

CONFORMANCE = (
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/oas30",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
)
PAGE_PARAMETERS = frozenset(("f",))
COLLECTION_PARAMETERS = PAGE_PARAMETERS | {"metadata"}
CONSOLE: web.AppKey[str] = web.AppKey("console", str)
"""Path of the map page for browsers, where there is one."""


async def get_landing(request: web.Request) -> web.StreamResponse:
    """Where everything is; browsers are sent to the map page."""
    values, _ = read_parameters(request.rel_url.raw_query_string, PAGE_PARAMETERS)
    state = request.app[STATE]
    if "f" not in values and CONSOLE in request.app and prefers_html(request):
        raise web.HTTPFound(request.app[CONSOLE])
    base = base_url(request)
    links = [
        link(f"{base}/", "self", "application/json", "this document"),
        link(f"{base}/api", "service-desc", OPENAPI_TYPE, "the API in OpenAPI 3.0"),
        link(f"{base}/conformance", "conformance", "application/json"),
        link(f"{base}/collections", "data", "application/json", "the collections"),
    ]
    if CONSOLE in request.app:
        links.append(link(base + request.app[CONSOLE], "alternate", "text/html", "the map"))
    west, south, east, north = state.domain.degrees()
    return json_response(
        {
            "title": f"zring node {state.service.node_id}",
            "description": "Sensor records by place and time.",
            "domain": [west, south, east, north],
            "links": links,
        }
    )


async def get_conformance(request: web.Request) -> web.StreamResponse:
    """The conformance classes that are kept."""
    read_parameters(request.rel_url.raw_query_string, PAGE_PARAMETERS)
    return json_response({"conformsTo": CONFORMANCE})


async def get_collections(request: web.Request) -> web.StreamResponse:
    """All collections of the cluster."""
    values, _ = read_parameters(request.rel_url.raw_query_string, COLLECTION_PARAMETERS)
    metadata = values.get("metadata", False)
    state = request.app[STATE]
    collections = await state.service.collections()
    base = base_url(request)
    return json_response(
        {
            "links": [link(f"{base}/collections", "self", "application/json")],
            "collections": [
                _collection(state, base, name, statistics, metadata=metadata)
                for name, statistics in sorted(collections.items())
            ],
        }
    )


async def get_collection(request: web.Request) -> web.StreamResponse:
    """One collection: extent, values, links."""
    values, _ = read_parameters(request.rel_url.raw_query_string, COLLECTION_PARAMETERS)
    metadata = values.get("metadata", False)
    state = request.app[STATE]
    name = request.match_info["collection"]
    collections = await state.service.collections()
    statistics = collections.get(name)
    if statistics is None:
        some = ", ".join(sorted(collections)[:10]) or "none yet"
        raise NotFound(f"collection={name[:80]} is unknown here; there are: {some}")
    document = _collection(state, base_url(request), name, statistics, metadata=metadata)
    return json_response(document)


def _collection(
    state: State, base: str, name: str, statistics: CollectionStatistics, *, metadata: bool
) -> dict[str, Any]:
    path = base + collection_path(name)
    items = f"{path}/items"
    shown = chosen_values(statistics.value_types, None, None if metadata else ())
    links = [link(path, "self", "application/json", name)]
    for form in (GEOJSON, NDJSON, CSV, ARROW, PARQUET):
        href = items if form is GEOJSON else f"{items}?f={form.name}"
        links.append(link(href, "items", form.media_type, f"{name} as {form.name}"))
    return {
        "id": name,
        "title": name,
        "description": f"Records of {name}: sensor, time, place and values.",
        "itemType": "feature",
        "crs": [CRS84],
        "storageCrs": CRS84,
        "extent": _extent(state, statistics),
        "records": statistics.records,
        "values": dict(sorted(shown.items())),
        "links": links,
    }


def _extent(state: State, statistics: CollectionStatistics) -> dict[str, Any]:
    box = state.domain.degrees()
    times: list[str | None] = [None, None]
    if statistics.west <= statistics.east and statistics.south <= statistics.north:
        edges = (statistics.west, statistics.south, statistics.east, statistics.north)
        box = tuple(edge / E7_PER_DEGREE for edge in edges)  # type: ignore[assignment]
    if TIME_MIN < statistics.time_min <= statistics.time_max < TIME_MAX:
        times = [time_text(statistics.time_min), time_text(statistics.time_max)]
    return {
        "spatial": {"bbox": [list(box)], "crs": CRS84},
        "temporal": {
            "interval": [times],
            "trs": "http://www.opengis.net/def/uom/ISO-8601/0/Gregorian",
        },
    }


async def get_api(request: web.Request) -> web.StreamResponse:
    """The OpenAPI document."""
    read_parameters(request.rel_url.raw_query_string, PAGE_PARAMETERS)
    return web.Response(
        body=orjson.dumps(request.app[API_DOCUMENT]),
        headers={"Content-Type": OPENAPI_TYPE},
    )


API_DOCUMENT: web.AppKey[dict[str, Any]] = web.AppKey("api_document", dict)
