"""The table of routes: what there is, who may call it, and what OpenAPI says of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from node.api import analysis, cluster, items, pages
from node.config import Role

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route.

    Attributes:
        answer: `rows` (all formats), `reply` (of a write) or the media type.
        role: the least role that a token must have; None lets everybody in.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    name: str
    summary: str
    parameters: frozenset[str] = frozenset()
    answer: str = "application/json"
    role: Role | None = "read"
    body: Literal["records", "polygon"] | None = None


_COLLECTION = "/collections/{collection}"

ROUTES: tuple[Route, ...] = (
    # The most frequent ones first: aiohttp looks through them in this order.
    Route(
        "GET",
        f"{_COLLECTION}/items",
        items.get_items,
        "getFeatures",
        "Records of an area and a time, in pages",
        items.ITEMS_PARAMETERS,
        "rows",
    ),
    Route(
        "POST",
        f"{_COLLECTION}/items",
        items.post_items,
        "storeRecords",
        "Store one or many records",
        items.STORE_PARAMETERS,
        "reply",
        "write",
        "records",
    ),
    Route(
        "GET",
        f"{_COLLECTION}/latest",
        analysis.get_latest,
        "getLatest",
        "The newest record of each sensor",
        analysis.LATEST_PARAMETERS,
        "rows",
    ),
    Route(
        "GET",
        f"{_COLLECTION}/aggregate",
        analysis.get_aggregate,
        "getAggregate",
        "Count, mean, min, max, sum of values per cell and per time step",
        analysis.AGGREGATE_PARAMETERS,
        "application/geo+json",
    ),
    Route(
        "GET",
        f"{_COLLECTION}/nearest",
        analysis.get_nearest,
        "getNearest",
        "The newest records of the sensors nearest to a place",
        analysis.NEAREST_PARAMETERS,
        "rows",
    ),
    Route(
        "GET",
        f"{_COLLECTION}/within",
        analysis.get_within,
        "getWithin",
        "Records inside a circle or polygon",
        analysis.WITHIN_PARAMETERS,
        "rows",
    ),
    Route(
        "POST",
        f"{_COLLECTION}/within",
        analysis.post_within,
        "postWithin",
        "Records inside a polygon that is sent as the body",
        analysis.WITHIN_PARAMETERS - {"lon", "lat", "radius_m", "polygon"},
        "rows",
        "read",
        "polygon",
    ),
    Route(
        "GET",
        f"{_COLLECTION}/explain",
        analysis.get_explain,
        "explain",
        "How a query is answered: spans, readers, rows, times",
        analysis.EXPLAIN_PARAMETERS,
    ),
    Route(
        "GET",
        f"{_COLLECTION}/items/{{id}}",
        items.get_item,
        "getFeature",
        "One record",
        items.ITEM_PARAMETERS,
        "application/geo+json",
    ),
    Route(
        "GET",
        _COLLECTION,
        pages.get_collection,
        "describeCollection",
        "One collection: extent, values, links",
        pages.PAGE_PARAMETERS,
    ),
    Route(
        "GET",
        "/collections",
        pages.get_collections,
        "getCollections",
        "All collections",
        pages.PAGE_PARAMETERS,
    ),
    Route(
        "GET",
        "/",
        pages.get_landing,
        "getLandingPage",
        "Landing page",
        pages.PAGE_PARAMETERS,
        role=None,
    ),
    Route(
        "GET",
        "/conformance",
        pages.get_conformance,
        "getConformanceDeclaration",
        "Conformance classes",
        pages.PAGE_PARAMETERS,
    ),
    Route(
        "GET",
        "/api",
        pages.get_api,
        "getApi",
        "This document",
        pages.PAGE_PARAMETERS,
        "application/vnd.oai.openapi+json;version=3.0",
        role=None,
    ),
    Route("GET", "/cluster/ring", cluster.get_ring, "getRing", "Who owns what"),
    Route("GET", "/cluster/status", cluster.get_status, "getStatus", "This node and the members"),
    Route("GET", "/health", cluster.get_health, "getHealth", "The process runs", role=None),
    Route("GET", "/ready", cluster.get_ready, "getReady", "Ready for requests", role=None),
    Route(
        "GET",
        "/metrics",
        cluster.get_metrics,
        "getMetrics",
        "Metrics in Prometheus' text format",
        answer="text/plain",
    ),
)
