"""Changing the cluster: weigh, plan, commit, abort. Bodies and answers are JSON.

A plan is answered as a document and committed by sending that document back; no node keeps it.
"""

from collections.abc import Mapping
from typing import Any, get_args

from aiohttp import web

from node.api.coverage import spans_to_shape
from node.api.respond import json_response
from node.api.state import STATE
from node.codec.ndjson import parse_json
from node.errors import BadRequest, TooLarge
from node.protocol.planning import POLICIES, PlanRequest
from zring.area import Box
from zring.cover import cover
from zring.domain import degrees_to_e7
from zring.plan import PlanKind
from zring.plan_document import document_to_plan, plan_to_document
from zring.ring import Ring
from zring.settings import PLACEMENTS
from zring.span import EVERYTHING, Spans

PLAN_BYTES_MAX = 64 << 20
"""A plan of a ring's most spans; ordinary ones have kilobytes."""
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "kind": str,
    "node": str,
    "policy": str,
    "archive": bool,
    "lon": (int, float),
    "lat": (int, float),
    "side_grains": int,
    "bbox": list,
    "accept_loss": bool,
    "replicas": int,
    "placement": str,
    "far_copies": int,
    "keep_days": dict,
}


async def post_plans(request: web.Request) -> web.StreamResponse:
    """Plan a change and show what it would cost; nothing moves."""
    state = request.app[STATE]
    plan = await state.service.plans.make(_read_request(await _document(request)))
    return json_response(
        {
            **plan_to_document(plan),
            "area": spans_to_shape(plan.spans(), state.domain),
            "at_risk_area": spans_to_shape(plan.at_risk, state.domain),
        }
    )


async def post_commit(request: web.Request) -> web.StreamResponse:
    """Make the first change of a plan that was looked at."""
    document = await _document(request)
    plan = document_to_plan(document.get("plan"))
    force = _field(document, "force", bool, default=False)
    ring = await request.app[STATE].service.plans.commit(plan, force=force)
    return json_response(_ring_answer(ring))


async def post_abort(request: web.Request) -> web.StreamResponse:
    """Stop every move that was not handed over yet, everywhere or in a bbox."""
    state = request.app[STATE]
    document = await _document(request)
    spans: Spans = EVERYTHING
    if document.get("bbox") is not None:
        spans = cover(state.domain, _box(document["bbox"]))
    ring, stopped = await state.service.plans.abort(spans)
    return json_response({**_ring_answer(ring), "stopped": spans_to_shape(stopped, state.domain)})


async def _document(request: web.Request) -> Mapping[str, Any]:
    body = await request.read()
    if len(body) > PLAN_BYTES_MAX:
        raise TooLarge(f"body of {len(body)} bytes is more than {PLAN_BYTES_MAX}", field="body")
    document = parse_json(body) if body else {}
    if not isinstance(document, dict):
        raise BadRequest("the body is no JSON object", field="body")
    return document


def _read_request(document: Mapping[str, Any]) -> PlanRequest:
    for name in sorted(set(document) - set(_FIELDS)):
        raise BadRequest(f"{name} is unknown; known are {', '.join(sorted(_FIELDS))}", field=name)
    values = {
        name: _field(document, name, kind)
        for name, kind in _FIELDS.items()
        if document.get(name) is not None
    }
    _check_choice(values, "kind", get_args(PlanKind), required=True)
    _check_choice(values, "policy", POLICIES)
    _check_choice(values, "placement", PLACEMENTS)
    for name, days in values.get("keep_days", {}).items():
        if type(days) is not int:
            raise BadRequest(f"keep_days.{name}={days!r} is no number of days", field="keep_days")
    bbox = values.pop("bbox", None)
    for name, most in (("lon", 180), ("lat", 90)):
        if name in values:
            if not -most <= values[name] <= most:
                raise BadRequest(f"{name}={values[name]} is not within ±{most}°", field=name)
            values[name] = degrees_to_e7(values[name])
    return PlanRequest(box=None if bbox is None else _box(bbox), **values)


def _field(
    document: Mapping[str, Any], name: str, kind: type | tuple[type, ...], *, default: Any = None
) -> Any:
    value = document.get(name, default)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BadRequest(f"{name}={value!r} has a wrong type", field=name)
    return value


def _check_choice(
    values: Mapping[str, Any], name: str, choices: tuple[str, ...], *, required: bool = False
) -> None:
    if (name in values or required) and values.get(name) not in choices:
        raise BadRequest(f"{name}={values.get(name)!r} is none of {', '.join(choices)}", field=name)


def _box(edges: object) -> Box:
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


def _ring_answer(ring: Ring) -> dict[str, Any]:
    waiting = sum(span.next is not None for span in ring.spans)
    return {"ring_digest": f"{ring.digest():016x}", "epoch": ring.epoch, "spans_waiting": waiting}
