"""`/cluster/tasks` and `/cluster/repair`: what is under way, and making members compare."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from node.api.bodies import box_of, check_names, read_document, record_act, typed_field
from node.api.coverage import spans_to_shape, time_text
from node.api.parameters import read_parameters
from node.api.parsing import parse_time
from node.api.respond import json_response
from node.api.state import STATE
from node.errors import BadRequest
from node.protocol.cluster_tasks import ClusterTask, ClusterTasks
from node.service.repairs import Losses
from node.storage.bucket_digests import DAY_MAX, DAY_MIN, DAY_US
from zring.cover import cover
from zring.domain import Domain
from zring.span import EVERYTHING, Spans

_FIELDS: dict[str, type] = {
    "bbox": list,
    "from": str,
    "to": str,
    "accept_loss": bool,
    "dry_run": bool,
}


async def get_tasks(request: web.Request) -> web.StreamResponse:
    """What is under way in the whole cluster, as far as its nodes answer."""
    read_parameters(request.rel_url.raw_query_string, frozenset())
    state = request.app[STATE]
    tasks = await state.service.tasks.all()
    return json_response(
        {
            "node": state.service.node_id,
            "ring_digest": state.ring_text(),
            **tasks_to_json(tasks, state.domain),
        }
    )


def tasks_to_json(tasks: ClusterTasks, domain: Domain) -> dict[str, Any]:
    """`settled`, the state of answers, the tasks, and who did not tell."""
    return {
        "settled": tasks.settled,
        "state": tasks.state,
        "tasks": [_task(task, domain) for task in tasks.tasks],
        "silent": dict(tasks.silent),
    }


def _task(task: ClusterTask, domain: Domain) -> dict[str, Any]:
    return {
        "kind": task.kind,
        "node": task.node,
        "target": task.target or None,
        "phase": task.phase,
        "reason": task.reason,
        "area": spans_to_shape(task.spans, domain),
        "buckets_left": task.buckets_left,
        "records_left": task.records_left,
        "bytes_left": task.bytes_left,
        "bytes_per_s": task.bytes_per_s,
        "eta_s": task.eta_s,
        "since": None if task.since_us is None else time_text(task.since_us),
        "waits_for": list(task.waits_for),
    }


async def post_repair(request: web.Request) -> web.StreamResponse:
    """Have every member compare, everywhere or in a bbox and a time; tell or accept losses."""
    state = request.app[STATE]
    document = await read_document(request)
    check_names(document, _FIELDS)
    values = {
        name: typed_field(document, name, kind)
        for name, kind in _FIELDS.items()
        if document.get(name) is not None
    }
    spans: Spans = EVERYTHING
    if "bbox" in values:
        spans = cover(state.domain, box_of(values["bbox"]))
    day_start, day_stop = _days(values)
    repairs = state.service.repairs
    if values.get("dry_run"):
        return json_response({"loss": _losses(repairs.losses(spans), state.domain)})
    accept_loss = bool(values.get("accept_loss"))
    reply = await repairs.repair(
        spans, day_start=day_start, day_stop=day_stop, accept_loss=accept_loss
    )
    where = {name: values[name] for name in ("bbox", "from", "to") if name in values}
    record_act(request, "repair", "done", told=reply.told, silent=reply.silent, **where)
    accepted = {node: spans_to_shape(given, state.domain) for node, given in reply.accepted.items()}
    if accept_loss:
        had = [lost.node for lost in reply.losses.nodes]
        record_act(request, "accept-loss", "done", accepted=accepted, had=had, **where)
    return json_response(
        {
            "told": reply.told,
            "silent": dict(reply.silent),
            "area": spans_to_shape(spans, state.domain),
            "loss": _losses(reply.losses, state.domain),
            "accepted": accepted,
        }
    )


def _days(values: Mapping[str, Any]) -> tuple[int, int]:
    """Whole days that contain the times from `from` up to `to`."""
    start = parse_time("from", values["from"]) // DAY_US if "from" in values else DAY_MIN
    stop = -(-parse_time("to", values["to"]) // DAY_US) if "to" in values else DAY_MAX
    if start >= stop:
        raise BadRequest("to is not after from; write the earlier time first", field="to")
    return start, stop


def _losses(losses: Losses, domain: Domain) -> dict[str, Any]:
    return {
        "area": spans_to_shape(losses.spans, domain),
        "nodes": [
            {
                "node": lost.node,
                "in_contact": lost.in_contact,
                "since": None if lost.since_us is None else time_text(lost.since_us),
                "area": spans_to_shape(lost.spans, domain),
            }
            for lost in losses.nodes
        ],
    }
