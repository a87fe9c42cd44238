"""What people ask to be planned, and what a plan must not do at the moment of its commit.

A request names the kind of change and its details; `make_plan` hands it to the planner. Planners
look at ring and load only. Whether the nodes of a plan are there, and whether anybody else is
left, is looked at when it is committed (`objections`), because that may have changed since.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from zring.area import Box
from zring.errors import InvalidPlan
from zring.load import Load
from zring.plan import (
    JoinPolicy,
    Plan,
    PlanKind,
    plan_assign,
    plan_join,
    plan_leave,
    plan_rebalance,
    plan_remove,
    plan_settings,
)
from zring.ring import Ring

POLICIES: tuple[JoinPolicy, ...] = get_args(JoinPolicy)


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A change that somebody wants to look at.

    Attributes:
        node: who joins, leaves, is removed or gets the box; "" where the kind needs none.
        policy: of a join; None is `place` where a position is given, else `halve`.
        archive: the node joins as an archive.
        lon, lat: where the node stands, e7. side_grains: side of the area it takes.
        box: what is assigned.
        accept_loss: plan a removal even where that node has the only copy.
        replicas, placement, far_copies: settings to change; None leaves them.
        keep_days: collection → days that its records are kept, 0 for ever; others stay.
    """

    kind: PlanKind
    node: str = ""
    policy: JoinPolicy | None = None
    archive: bool = False
    lon: int | None = None
    lat: int | None = None
    side_grains: int | None = None
    box: Box | None = None
    accept_loss: bool = False
    replicas: int | None = None
    placement: str | None = None
    far_copies: int | None = None
    keep_days: Mapping[str, int] | None = None


def make_plan(request: PlanRequest, ring: Ring, load: Load) -> Plan:
    """The plan for a request on this ring.

    Raises:
        InvalidPlan, OutsideDomain, InvalidDocument: it cannot be done; says what would help.
    """
    node, archives = request.node, ring.settings.archives
    if request.kind not in ("rebalance", "settings") and not node:
        raise InvalidPlan(f"kind={request.kind} needs the node that it is about")
    if request.kind == "join":
        if request.archive:
            return plan_settings(ring, load=load, archives=(*archives, node))
        placed = request.lon is not None and request.lat is not None
        return plan_join(
            ring,
            node,
            policy=request.policy or ("place" if placed else "halve"),
            load=load,
            lon=request.lon,
            lat=request.lat,
            side_grains=request.side_grains,
        )
    if request.kind in ("leave", "remove") and node in archives:
        others = tuple(archive for archive in archives if archive != node)
        return plan_settings(ring, load=load, archives=others)
    if request.kind == "leave":
        return plan_leave(ring, node, load=load)
    if request.kind == "remove":
        return plan_remove(ring, node, load=load, accept_loss=request.accept_loss)
    if request.kind == "rebalance":
        return plan_rebalance(ring, load=load)
    if request.kind == "assign":
        if request.box is None:
            raise InvalidPlan("assign needs a box: west,south,east,north in degrees")
        return plan_assign(ring, request.box, node, load=load)
    wanted = {
        "replicas": request.replicas,
        "placement": request.placement,
        "far_copies": request.far_copies,
        "keep_days": request.keep_days and _kept(ring, request.keep_days),
    }
    return plan_settings(
        ring, load=load, **{name: value for name, value in wanted.items() if value is not None}
    )


def _kept(ring: Ring, changes: Mapping[str, int]) -> dict[str, int]:
    kept = {**ring.settings.keep_days, **changes}
    return {name: days for name, days in sorted(kept.items()) if days}


def objections(
    plan: Plan, before: Ring, after: Ring, *, contact: frozenset[str], away: Mapping[str, str]
) -> list[str]:
    """Reasons not to commit a plan now, each with what would be lost; nobody means none.

    Args:
        after: the ring when the plan is done.
        contact: nodes that answer. away: node → since when, in words.
    """
    found = []
    gone = sorted(set(before.members()) - set(after.members()))
    come = set(plan.targets())
    if plan.settings is not None:
        come |= set(plan.settings.archives) - set(before.settings.archives)
    for node in sorted(come - contact):
        since = f"is away since {away[node]}" if node in away else "is not known here"
        found.append(f"node {node} {since}: nothing could be sent to it; start it first")
    for node in gone:
        if plan.kind == "remove" and node in contact:
            found.append(
                f"node {node} answers: let it leave instead, so that what only it has is kept"
            )
        if plan.kind == "leave" and node not in contact:
            found.append(
                f"node {node} does not answer: what only it has cannot be handed over; bring it "
                "back, or remove it"
            )
    members = [node for node in after.members() if node not in gone]
    if gone and len(members) == 1:
        found.append(
            f"node {members[0]} would be alone: every record would have one copy, on one disk"
        )
    return found
