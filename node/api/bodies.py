"""JSON bodies of operators' requests, field by field, and the line that each leaves behind."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from node.api.state import STATE
from node.codec.ndjson import parse_json
from node.errors import BadRequest, TooLarge
from zring.area import Box

BODY_BYTES_MAX = 64 << 20
"""A plan of a ring's most spans; ordinary ones have kilobytes."""


async def read_document(request: web.Request) -> Mapping[str, Any]:
    """The body as a JSON object; an empty body is an empty one.

    Raises:
        BadRequest, TooLarge.
    """
    body = await request.read()
    if len(body) > BODY_BYTES_MAX:
        raise TooLarge(f"body of {len(body)} bytes is more than {BODY_BYTES_MAX}", field="body")
    document = parse_json(body) if body else {}
    if not isinstance(document, dict):
        raise BadRequest("the body is no JSON object", field="body")
    return document


def check_names(document: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse fields that are not known."""
    for name in sorted(set(document) - set(known)):
        raise BadRequest(f"{name} is unknown; known are {', '.join(sorted(known))}", field=name)


def typed_field(
    document: Mapping[str, Any], name: str, kind: type | tuple[type, ...], *, default: Any = None
) -> Any:
    """A field of the type it must have."""
    value = document.get(name, default)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BadRequest(f"{name}={value!r} has a wrong type", field=name)
    return value


def box_of(edges: object) -> Box:
    """[west, south, east, north] in degrees."""
    if (
        not isinstance(edges, list)
        or len(edges) != 4
        or not all(isinstance(edge, int | float) and -180 <= edge <= 180 for edge in edges)
    ):
        raise BadRequest(
            f"bbox={edges!r} is not [west, south, east, north] in degrees", field="bbox"
        )
    west, south, east, north = edges
    return Box.from_degrees(west=west, south=south, east=east, north=north)


def record_act(request: web.Request, event: str, outcome: str, **details: object) -> None:
    """Leave a line in the audit log: who did what, from where."""
    state = request.app[STATE]
    state.service.audit.record(
        event,
        subject=state.access.subject(request),
        remote=request.remote or "",
        outcome=outcome,
        details=details,
    )
