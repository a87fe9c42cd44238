"""Changing the cluster: weigh, plan, commit, abort. Bodies and answers are JSON.

A plan is answered as a document and committed by sending that document back; no node keeps it.
"""

from collections.abc import Mapping
from typing import Any, get_args

from aiohttp import web

from node.api.bodies import box_of, check_names, read_document, record_act, typed_field
from node.api.coverage import spans_to_shape
from node.api.respond import json_response
from node.api.state import STATE
from node.errors import BadRequest
from node.protocol.planning import POLICIES, PlanRequest
from zring.cover import cover
from zring.domain import degrees_to_e7
from zring.errors import ZringError
from zring.plan import PlanKind
from zring.plan_document import document_to_plan, plan_to_document
from zring.ring import Ring
from zring.settings import PLACEMENTS
from zring.span import EVERYTHING, Spans

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
    weighed = await state.service.plans.make(_read_request(await read_document(request)))
    plan, estimate = weighed.plan, weighed.estimate
    return json_response(
        {
            **plan_to_document(plan),
            "seconds": round(estimate.seconds, 1),
            "bytes_per_s": estimate.bytes_per_s,
            "rate_is": estimate.rate_is,
            "area": spans_to_shape(plan.spans(), state.domain),
            "at_risk_area": spans_to_shape(plan.at_risk, state.domain),
        }
    )


async def post_commit(request: web.Request) -> web.StreamResponse:
    """Make the first change of a plan that was looked at."""
    document = await read_document(request)
    plan = document_to_plan(document.get("plan"))
    force = typed_field(document, "force", bool, default=False)
    what = {
        "kind": plan.kind,
        "nodes": sorted({node for move in plan.moves for node in (move.source, move.target)}),
        "records": plan.records,
        "on_ring": f"{plan.ring_digest:016x}",
        "force": force,
    }
    try:
        ring = await request.app[STATE].service.plans.commit(plan, force=force)
    except ZringError as error:
        record_act(request, "plan.commit", "failed", **what, reason=str(error))
        raise
    answer = _ring_answer(ring)
    record_act(request, "plan.commit", "done", **what, ring=answer["ring_digest"])
    return json_response(answer)


async def post_abort(request: web.Request) -> web.StreamResponse:
    """Stop every move that was not handed over yet, everywhere or in a bbox."""
    state = request.app[STATE]
    document = await read_document(request)
    spans: Spans = EVERYTHING
    if document.get("bbox") is not None:
        spans = cover(state.domain, box_of(document["bbox"]))
    ring, stopped = await state.service.plans.abort(spans)
    answer = {**_ring_answer(ring), "stopped": spans_to_shape(stopped, state.domain)}
    record_act(
        request,
        "plan.abort",
        "done",
        bbox=document.get("bbox"),
        stopped=len(stopped),
        ring=answer["ring_digest"],
    )
    return json_response(answer)


def _read_request(document: Mapping[str, Any]) -> PlanRequest:
    check_names(document, _FIELDS)
    values = {
        name: typed_field(document, name, kind)
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
    return PlanRequest(box=None if bbox is None else box_of(bbox), **values)


def _check_choice(
    values: Mapping[str, Any], name: str, choices: tuple[str, ...], *, required: bool = False
) -> None:
    if (name in values or required) and values.get(name) not in choices:
        raise BadRequest(f"{name}={values.get(name)!r} is none of {', '.join(choices)}", field=name)


def _ring_answer(ring: Ring) -> dict[str, Any]:
    waiting = sum(span.next is not None for span in ring.spans)
    return {"ring_digest": f"{ring.digest():016x}", "epoch": ring.epoch, "spans_waiting": waiting}
