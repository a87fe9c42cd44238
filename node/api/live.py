"""`/collections/{c}/stream`: what arrives anywhere in the cluster, as server-sent events.

One event holds all records of one answer of a log, one on each `data:` line as in NDJSON, so that
it is whole or not there, and its id says where to go on at any node. WHATWG, HTML Living Standard,
9.2 Server-sent events.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web

from node.api.coverage import coverage_to_json, time_text
from node.api.links import base_url, collection_path
from node.api.parameters import read_parameters
from node.api.questions import columns_of
from node.api.state import STATE, State
from node.api.streams import cut
from node.codec.ndjson import rows_to_ndjson
from node.errors import BadRequest
from node.protocol.news import Cursor
from node.query import Coverage, Query
from node.records import Rows
from node.service.following import Arrived, Crossed, Ended, Event, Following, Gap

STREAM_PARAMETERS = frozenset(
    ("bbox", "bbox-crs", "sensor", "filter", "filter-lang", "columns", "metadata", "fence")
) | {"last_event_id"}
EVENT_STREAM_TYPE = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
HEARTBEAT_MS = 5_000
"""Without news a comment is sent: proxies keep the connection, and a dead client is noticed."""
STALL_S = 30.0
"""A client that takes nothing for so long is cut off: its place is for others."""
_REASONS = {
    "restarted": "its log of arrivals went with its process",
    "overflow": "it has forgotten what came after the last that was read: the reader was too slow, "
    "or the two were apart for too long",
    "late": "it was met only after its log had begun",
    "fence": "too many sensors were inside the fence to go on with them: all enter again",
}


async def get_stream(request: web.Request) -> web.StreamResponse:
    """Records as they arrive, until the client leaves."""
    state = request.app[STATE]
    values, _ = read_parameters(request.rel_url.raw_query_string, STREAM_PARAMETERS)
    query = _query(request.match_info["collection"], values, state)
    text = request.headers.get(LAST_EVENT_ID) or values.get("last_event_id")
    cursor = Cursor.parse(text) if text else None
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.content_type = EVENT_STREAM_TYPE
    if request.method == "HEAD":
        return response
    fenced = values.get("fence", False)
    async with state.service.streams.follow(query, cursor, fenced=fenced) as following:
        await response.prepare(request)
        try:
            await _send_events(request, response, state, following)
        except TimeoutError:
            cut(request)
    return response


def _query(collection: str, values: Mapping[str, Any], state: State) -> Query:
    if values.get("fence") and "bbox" not in values:
        raise BadRequest("fence=true needs the area: give bbox=west,south,east,north", field="bbox")
    sensors = values.get("sensor")
    return Query(
        collection=collection,
        area=values.get("bbox"),
        sensors=None if sensors is None else frozenset(sensors),
        filter=values.get("filter"),
        columns=columns_of(values),
        metadata=values.get("metadata", False),
        timeout_ms=state.limits.query_timeout_ms,
    )


async def _send_events(
    request: web.Request, response: web.StreamResponse, state: State, following: Following
) -> None:
    await _send(response, state, b"retry: 1000\nid: " + following.text().encode() + b"\n\n")
    async for event in following.events(idle_ms=HEARTBEAT_MS):
        name, lines = _told(request, state, following.query, event)
        head = b":\n" if event is None else b"event: " + name + b"\n"
        tail = b"id: " + following.text().encode() + b"\n\n"
        await _send(response, state, b"".join((head, *lines, tail)))
        if isinstance(event, Ended):
            await response.write_eof()
            return


async def _send(response: web.StreamResponse, state: State, body: bytes) -> None:
    state.metrics.bytes_sent += len(body)
    async with asyncio.timeout(STALL_S):
        await response.write(body)


def _told(
    request: web.Request, state: State, query: Query, event: Event | None
) -> tuple[bytes, list[bytes]]:
    """Name and data lines of an event."""
    match event:
        case Arrived(rows):
            return b"records", [_lines(rows)]
        case Crossed(rows, entered):
            return (b"enter" if entered else b"leave"), [_lines(rows)]
        case Gap():
            return b"gap", [_line(_gap(request, state, query, event))]
        case Coverage():
            return b"coverage", [_line(coverage_to_json(event, state.domain))]
        case Ended(reason):
            return b"end", [_line({"reason": reason})]
    return b"", []


def _lines(rows: Rows) -> bytes:
    """One record on each data line; JSON has no line breaks within."""
    body = rows_to_ndjson(rows)
    return b"data: " + body[:-1].replace(b"\n", b"\ndata: ") + b"\n"


def _line(document: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n"


def _gap(request: web.Request, state: State, query: Query, gap: Gap) -> dict[str, Any]:
    """What may be missing, and where to look for it."""
    kept = [
        part
        for part in request.rel_url.raw_query_string.split("&")
        if part.partition("=")[0] in ("bbox", "sensor", "filter", "columns", "metadata")
    ]
    since = time_text(gap.from_us)
    question = "&".join((*kept, f"from={quote(since, safe=':')}"))
    area = query.area
    west, south, east, north = state.domain.degrees()
    if area is not None:
        west, south, east, north = (edge / 10_000_000 for edge in area.bounds)
    return {
        "node": gap.node,
        "reason": gap.reason,
        "detail": _REASONS[gap.reason],
        "from": since,
        "to": time_text(gap.until_us),
        "bbox": [west, south, east, north],
        "items": f"{base_url(request)}{collection_path(query.collection)}/items?{question}",
    }
