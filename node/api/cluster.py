"""The cluster as one node sees it: ring, status, health, readiness, metrics."""

import asyncio
from dataclasses import fields
from typing import Any

from aiohttp import web

from node.api.coverage import coverage_to_json, spans_to_shape, time_text
from node.api.metrics import metric, request_metrics
from node.api.parameters import read_parameters
from node.api.problems import problem
from node.api.repair import tasks_to_json
from node.api.respond import json_response
from node.api.state import STATE, State
from node.metadata import chosen_values
from node.protocol.cluster_tasks import KINDS
from node.query import COVERAGE_ORDER
from node.service.ingest_process import IngestStatus
from node.service.status import MemberStatus
from node.storage.damage import stores_set_aside
from zring import __version__

_NOTHING: frozenset[str] = frozenset()


async def get_ring(request: web.Request) -> web.StreamResponse:
    """Who owns what, and the settings that all nodes share."""
    read_parameters(request.rel_url.raw_query_string, _NOTHING)
    state = request.app[STATE]
    ring = state.service.ring
    settings = {entry.name: getattr(ring.settings, entry.name) for entry in fields(ring.settings)}
    return json_response(
        {
            "cluster": ring.cluster_id,
            "domain": ring.domain.degrees(),
            "grain_level": ring.grain_level,
            "digest": state.ring_text(),
            "settings": {
                name: dict(value) if name == "expiry_days" else value
                for name, value in settings.items()
            },
            "spans": [
                {
                    "start": str(span.start),  # codes do not fit the numbers of JavaScript
                    "stop": str(span.stop),
                    "owner": span.owner,
                    "next": span.next,
                    "epoch": span.epoch,
                }
                for span in ring.spans
            ],
            "nodes": [_node(member) for member in state.service.status().members],
        }
    )


def _node(member: MemberStatus) -> dict[str, Any]:
    return {
        "id": member.node,
        "url": member.url,
        "peer": member.peer_address,
        "state": member.state,
        "since": time_text(member.since_us),
    }


async def get_status(request: web.Request) -> web.StreamResponse:
    """This node and the members as it knows them."""
    read_parameters(request.rel_url.raw_query_string, _NOTHING)
    state = request.app[STATE]
    status = state.service.status()
    collections, tasks, set_aside = await asyncio.gather(
        state.service.collections(), state.service.tasks.all(), _set_aside(state)
    )
    return json_response(
        {
            "node": state.service.node_id,
            "version": __version__,
            "coverage": coverage_to_json(status.coverage, state.domain),
            "ring_digest": state.ring_text(),
            "collections": {
                name: {
                    "records": statistics.records,
                    "values": dict(sorted(chosen_values(statistics.value_types, None, ()).items())),
                }
                for name, statistics in sorted(collections.items())
            },
            **tasks_to_json(tasks, state.domain),
            "set_aside": set_aside,
            "refusals": {
                **status.refusals,
                **(state.peer_door.refusals() if state.peer_door else {}),
            },
            "sources": _sources(state.service.ingest_status()),
            "nodes": [
                {
                    **_node(member),
                    "life": member.life,
                    "incarnation": member.incarnation,
                    "link_cut": member.link_cut,
                    "records": member.records,
                    "store_id": member.store_id,
                    "sequence": member.sequence,
                    "unfilled": bool(member.unfilled),
                    "unfilled_area": spans_to_shape(member.unfilled, state.domain),
                    "owed": member.owed,
                    "area": spans_to_shape(member.owns, state.domain),
                    "holds": spans_to_shape(member.holds, state.domain),
                }
                for member in status.members
            ],
        }
    )


def _sources(status: IngestStatus | None) -> dict[str, Any] | None:
    """The process that brings records in for this node; None where it has no sources."""
    if status is None:
        return None
    return {
        "state": status.state,
        "names": status.sources,
        "since": time_text(status.since_us),
        "restarts": status.restarts,
        "exit_code": status.exit_code,
        "report": status.report,
    }


async def _set_aside(state: State) -> list[dict[str, Any]]:
    """Damaged stores of this node that still lie beside its own."""
    if state.data is None:
        return []
    loop = asyncio.get_running_loop()
    try:
        found = await loop.run_in_executor(None, stores_set_aside, state.data)
    except OSError:
        return []  # somebody is deleting one just now
    return [
        {"folder": one.path.name, "bytes": one.size_bytes, "since": time_text(one.since_us)}
        for one in found
    ]


async def get_health(request: web.Request) -> web.StreamResponse:
    """The process runs and its loop turns."""
    return json_response({"status": "up", "node": request.app[STATE].service.node_id})


async def get_ready(request: web.Request) -> web.StreamResponse:
    """Whether queries and writes are worth sending here."""
    state = request.app[STATE]
    if state.service.engine.statistics().full:
        return problem(
            503,
            "the store is nearly full; reads go on, writes are refused; free space or add a node",
            reason="store-full",
            headers={"Retry-After": "60"},
        )
    if state.service.life in ("starting", "draining"):
        return problem(
            503,
            f"this node is {state.service.life}; ask another one",
            reason=state.service.life,
            headers={"Retry-After": "5"},
        )
    coverage = state.service.coverage().state
    return json_response({"status": "ready", "life": state.service.life, "coverage": coverage})


async def get_metrics(request: web.Request) -> web.StreamResponse:
    """Counters and gauges for Prometheus."""
    state = request.app[STATE]
    return web.Response(
        body=(_service_metrics(state) + request_metrics(state.metrics)).encode(),
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )


def _service_metrics(state: State) -> str:
    status = state.service.status()
    store = status.store
    texts = [
        metric(f"zring_{name}_total", "counter", f"{name.replace('_', ' ')}.", [({}, value)])
        for name, value in sorted(status.counters.items())
    ]
    texts.extend(
        metric(f"zring_store_{name}_total", "counter", f"{name.replace('_', ' ')}.", [({}, value)])
        for name, value in sorted(store.counters.items())
    )
    if state.peer_door is not None:
        doors = state.peer_door.statistics().items()
        text = "Requests at the peer port by what became of them."
        samples = [({"outcome": name}, count) for name, count in sorted(doors)]
        texts.append(metric("zring_peer_door_total", "counter", text, samples))
    gauges = (
        ("zring_records", "Records in this store, copies included.", store.records),
        ("zring_log_records", "Records that wait to be merged into blocks.", store.log_records),
        ("zring_blocks", "Blocks of this store.", store.blocks),
        ("zring_store_live_bytes", "Bytes in use.", store.bytes_live),
        ("zring_store_max_bytes", "Bytes that the store may use.", store.bytes_map_max),
        ("zring_store_full", "1 when writes are refused.", int(store.full)),
        ("zring_disk_bytes", "Bytes of the disk that holds the store.", store.disk_bytes),
        ("zring_disk_free_bytes", "Bytes of it that are free.", store.disk_free_bytes),
    )
    texts.extend(metric(name, "gauge", text, [({}, value)]) for name, text, value in gauges)
    ingest = state.service.ingest_status()
    if ingest is not None:
        up = int(ingest.state == "running")
        text = "1 while the process of the sources runs."
        texts.append(metric("zring_sources_up", "gauge", text, [({}, up)]))
        text = "Starts of the process of the sources that were not the first."
        texts.append(
            metric("zring_sources_restarts_total", "counter", text, [({}, ingest.restarts)])
        )
    tasks = state.service.tasks.own()
    kinds = [({"kind": kind}, [task for task in tasks if task.kind == kind]) for kind in KINDS]
    texts.append(
        metric(
            "zring_tasks",
            "gauge",
            "What this node has under way.",
            [(kind, len(found)) for kind, found in kinds],
        )
    )
    texts.append(
        metric(
            "zring_task_records_left",
            "gauge",
            "Records that are known to lack elsewhere.",
            [(kind, sum(task.records_left for task in found)) for kind, found in kinds],
        )
    )
    members = [({"node": member.node, "state": member.state}, 1) for member in status.members]
    texts.append(metric("zring_member", "gauge", "1 for the state a member is in.", members))
    state_of = [({"state": name}, int(name == status.coverage.state)) for name in COVERAGE_ORDER]
    texts.append(metric("zring_coverage", "gauge", "1 for the state of answers.", state_of))
    return "".join(texts)
