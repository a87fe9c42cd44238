"""Changes of the ring as values: what would move, what it costs, what is at risk.

A planner is a pure function of the ring and the records by grain; nothing moves before somebody
commits the plan. Committing is two changes of the ring (PROTOCOL 4): `apply_first` makes the
targets owners to come, `apply_second` hands over. `remove`, for a node that is gone for good,
names the new owners at once.

A plan may also change the settings that all nodes share (`settings`): how many replicas there are
and where, and which nodes are archives. Committing that is one change of the ring.

A plan is refused (`InvalidPlan`) when it would leave an owner with nothing without saying so,
give codes to an archive, cross a move that is still under way, or lose the last copy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from zring.area import Box
from zring.bisection import equal_shares
from zring.errors import InvalidPlan
from zring.heirs import nearest_heirs
from zring.join import halved_spans, placed_spans
from zring.levelling import levelled
from zring.load import NO_LOAD, Load
from zring.morton import code_to_xy
from zring.placement import HolderMap, holder_map
from zring.rectangle import box_to_rectangle
from zring.ring import Ring, Settings
from zring.span import Span, Spans, intersect, normalise, spans_to_cells, subtract, union

PlanKind = Literal["join", "leave", "remove", "rebalance", "assign", "settings"]
JoinPolicy = Literal["place", "halve", "balance"]


@dataclass(frozen=True, slots=True)
class Move:
    """Codes [start, stop) that go from one owner to another."""

    span: Span
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A change of ownership that can be looked at, committed or thrown away.

    Attributes:
        moves: sorted by span, disjoint.
        records, bytes: to carry over the network, to all nodes that become holders.
        imbalance_before, imbalance_after: fullest owner over the mean.
        at_risk: codes that have fewer copies than the settings ask for, when the plan is done
            or (`remove`) until the new holders are filled.
        ring_digest: the ring it was made on; it can only be committed on that.
        settings: those of the ring when the plan is done; None leaves them as they are.
    """

    kind: PlanKind
    moves: tuple[Move, ...]
    records: int
    bytes: int
    imbalance_before: float
    imbalance_after: float
    at_risk: Spans
    ring_digest: int
    settings: Settings | None = None

    def spans(self, *, source: str | None = None, target: str | None = None) -> Spans:
        """The codes that move, all or those from and to a node."""
        return normalise(
            move.span
            for move in self.moves
            if source in (None, move.source) and target in (None, move.target)
        )

    def targets(self) -> tuple[str, ...]:
        """Nodes that receive something, sorted."""
        return tuple(sorted({move.target for move in self.moves}))


def plan_join(
    ring: Ring,
    node: str,
    *,
    policy: JoinPolicy,
    load: Load = NO_LOAD,
    lon: int | None = None,
    lat: int | None = None,
    side_grains: int | None = None,
) -> Plan:
    """A new owner takes its area.

    Args:
        policy: `place`: a square of cells around its position; `halve`: half of the largest zone;
            `balance`: all areas are cut anew by records.
        lon, lat: where the node stands, e7; `place` needs it, `balance` uses it.
        side_grains: side of the area that `place` takes; by default a fair share of the domain.

    Raises:
        InvalidPlan: the node owns something already, or the present owners cannot give.
        OutsideDomain: the position is not in the domain.
    """
    if node in ring.owners():
        raise InvalidPlan(f"node {node} owns an area already; use assign or rebalance")
    if policy == "balance":
        return _balanced(ring, load, newcomer=(node, lon, lat))
    if policy == "halve":
        return _finished(ring, "join", {node: halved_spans(ring, load)}, load)
    if lon is None or lat is None:
        raise InvalidPlan(f"node {node} has no position; give one or join with halve or balance")
    spans = placed_spans(ring, lon=lon, lat=lat, side_grains=side_grains)
    return _finished(ring, "join", {node: spans}, load)


def plan_leave(ring: Ring, node: str, *, load: Load = NO_LOAD) -> Plan:
    """An owner hands its area to the owners that lie nearest, piece by piece, and goes.

    Raises:
        InvalidPlan: it owns nothing, or is the last owner.
    """
    return _finished(ring, "leave", _heirs(ring, node, load), load, gone=node)


def plan_remove(ring: Ring, node: str, *, load: Load = NO_LOAD, accept_loss: bool = False) -> Plan:
    """A dead node's area goes to the owners that lie nearest, at once.

    Raises:
        InvalidPlan: as for `plan_leave`, or the node has the only copy of something and
            `accept_loss` is not set.
    """
    heirs = _heirs(ring, node, load)
    lost = holder_map(ring).spans_with(lambda holders: holders == (node,))
    if lost and not accept_loss:
        raise InvalidPlan(
            f"node {node} has the only copy of {_described(ring, lost, load)}; bring it back, or "
            "accept the loss"
        )
    return _finished(ring, "remove", heirs, load, gone=node)


def plan_rebalance(ring: Ring, *, load: Load) -> Plan:
    """Move borders so that no owner has more than 1.25 × the mean where grains allow it, and as
    little as can be changes hands; nothing where that is so already."""
    return _finished(ring, "rebalance", levelled(ring, load, aspect=_aspect(ring)), load)


def plan_assign(ring: Ring, box: Box, node: str, *, load: Load = NO_LOAD) -> Plan:
    """The grains of a box go to a node.

    Raises:
        InvalidPlan: they are its own already, or another owner would be left with nothing.
        OutsideDomain: the box does not overlap the domain.
    """
    rectangle = box_to_rectangle(ring.domain, box, grain_level=ring.grain_level)
    wanted = {node: rectangle.spans(grain_level=ring.grain_level)}
    return _finished(ring, "assign", wanted, load)


def plan_settings(ring: Ring, *, load: Load = NO_LOAD, **changes: Any) -> Plan:
    """Other replicas, another placement, other far copies or archives.

    Raises:
        InvalidPlan: nothing would change, or an archive owns an area.
        InvalidDocument: a setting is out of its range.
    """
    result = ring.with_settings(**changes)
    if replace(result.settings, epoch=ring.settings.epoch) == ring.settings:
        raise InvalidPlan("nothing would change; the settings are as wanted already")
    for archive in sorted(set(result.settings.archives) & set(ring.owners())):
        raise InvalidPlan(
            f"node {archive} owns an area, and archives own nothing; let it leave first"
        )
    before, after = holder_map(ring), holder_map(result)
    records = _records_to_carry(before, after, load, grain_bits=ring.grain_bits)
    archives = set(result.settings.archives)
    return Plan(
        kind="settings",
        moves=(),
        records=records,
        bytes=round(records * load.record_bytes),
        imbalance_before=load.imbalance(ring),
        imbalance_after=load.imbalance(result),
        at_risk=after.spans_with(
            lambda holders: len(set(holders) - archives) < after.copies_wanted
        ),
        ring_digest=ring.digest(),
        settings=result.settings,
    )


def apply_first(plan: Plan, ring: Ring) -> Ring:
    """The first change: targets become owners to come (of `remove`: owners).

    Raises:
        InvalidPlan: the ring has changed since the plan was made.
    """
    if plan.ring_digest != ring.digest():
        raise InvalidPlan(
            f"plan was made on ring {plan.ring_digest:016x}, the ring is now "
            f"{ring.digest():016x}; make the plan again"
        )
    if plan.settings is not None:
        ring = replace(ring, settings=plan.settings)
    for target in plan.targets():
        spans = plan.spans(target=target)
        if plan.kind == "remove":
            ring = ring.assign(spans, owner=target)
        else:
            ring = ring.announce(spans, next=target)
    return ring


def apply_second(plan: Plan, ring: Ring, *, source: str | None = None) -> Ring:
    """The second change: targets become owners of all that moves, or of what one source gives.

    Spans that are handed over already stay as they are, so repeating it changes nothing.

    Raises:
        InvalidPlan: a span is neither on its way to its target nor there.
    """
    for target in plan.targets():
        spans = plan.spans(source=source, target=target)
        arrived = intersect(spans, ring.owned(target))
        missing = subtract(subtract(spans, ring.expected(target)), arrived)
        if missing:
            raise InvalidPlan(
                f"{len(missing)} spans are no longer on their way to {target}; make a new plan"
            )
        ring = ring.hand_over(subtract(spans, arrived))
    return ring


def abort(plan: Plan, ring: Ring) -> Ring:
    """The ring in which what has not been handed over yet stays where it is."""
    for target in plan.targets():
        ring = ring.announce(intersect(plan.spans(target=target), ring.expected(target)), next=None)
    return ring


def _aspect(ring: Ring) -> float:
    """Width of a grain over its height."""
    domain = ring.domain
    return (domain.east - domain.west) / (domain.north - domain.south)


def _balanced(ring: Ring, load: Load, *, newcomer: tuple[str, int | None, int | None]) -> Plan:
    homes = {owner: _centre(ring, ring.owned(owner)) for owner in ring.owners()}
    node, lon, lat = newcomer
    if lon is not None and lat is not None:
        code = ring.domain.position_to_code(lon=lon, lat=lat)
        x, y = code_to_xy(code >> ring.grain_bits)
        homes[node] = (float(x), float(y))
    else:  # no position: beside the fullest owner, whose load it shares
        counts = load.by_owner(ring)
        homes[node] = homes[max(counts, key=lambda owner: (counts[owner], owner))]
    if len(homes) > 1 << (2 * ring.grain_level):
        raise InvalidPlan(f"{len(homes)} nodes are more than there are grains")
    shares = equal_shares(homes, load, grain_level=ring.grain_level, aspect=_aspect(ring))
    exceptions: dict[str, list[Span]] = {}
    for grain, node in shares.exceptions.items():
        start = grain << ring.grain_bits
        exceptions.setdefault(node, []).append((start, start + ring.grain_codes))
    excepted = normalise(span for spans in exceptions.values() for span in spans)
    wanted = {
        node: union(
            subtract(rectangle.spans(grain_level=ring.grain_level), excepted),
            normalise(exceptions.get(node, ())),
        )
        for node, rectangle in shares.rectangles.items()
    }
    return _finished(ring, "join", wanted, load)


def _centre(ring: Ring, spans: Spans) -> tuple[float, float]:
    """The centre of an area, in grains."""
    total = x_sum = y_sum = 0.0
    for level, index in spans_to_cells(spans):
        x, y = code_to_xy(index)
        side = 1 << (ring.grain_level - level)
        area = float(side * side)
        total += area
        x_sum += area * (x + 0.5) * side
        y_sum += area * (y + 0.5) * side
    return x_sum / total, y_sum / total


def _heirs(ring: Ring, node: str, load: Load) -> dict[str, Spans]:
    """For each other owner the codes of a node to which it lies nearest."""
    spans = ring.owned(node)
    if not spans:
        raise InvalidPlan(f"node {node} owns nothing; there is nothing to hand on")
    others = [owner for owner in ring.owners() if owner != node]
    if not others:
        raise InvalidPlan(
            f"node {node} is the last owner; {_described(ring, spans, load)} would have none"
        )
    return nearest_heirs(ring, spans, others)


def _finished(
    ring: Ring, kind: PlanKind, wanted: Mapping[str, Spans], load: Load, *, gone: str | None = None
) -> Plan:
    """Check the wanted owners against the rules and work out what the change costs."""
    moves = tuple(sorted(_moves(ring, wanted), key=lambda move: move.span))
    if not moves and kind in ("assign", "join"):
        raise InvalidPlan("nothing would move; the area belongs to the node already")
    result = ring
    for target in sorted({move.target for move in moves}):
        spans = normalise(move.span for move in moves if move.target == target)
        result = result.assign(spans, owner=target)
    _check(ring, result, moves, load, gone=gone)
    before, after = holder_map(ring), holder_map(result)
    records = _records_to_carry(before, after, load, grain_bits=ring.grain_bits)
    at_risk: Spans = ()
    if gone is not None:
        archives = set(ring.settings.archives)
        at_risk = after.spans_with(
            lambda holders: len(set(holders) - archives) < after.copies_wanted
        )
        if kind == "remove":
            at_risk = union(at_risk, before.spans_of(gone))
    return Plan(
        kind=kind,
        moves=moves,
        records=records,
        bytes=round(records * load.record_bytes),
        imbalance_before=load.imbalance(ring),
        imbalance_after=load.imbalance(result),
        at_risk=at_risk,
        ring_digest=ring.digest(),
    )


def _moves(ring: Ring, wanted: Mapping[str, Spans]) -> Iterable[Move]:
    owned = {owner: ring.owned(owner) for owner in ring.owners()}
    for target, spans in wanted.items():
        for source, theirs in owned.items():
            if source != target:
                for span in intersect(theirs, spans):
                    yield Move(span, source, target)


def _check(
    ring: Ring, result: Ring, moves: tuple[Move, ...], load: Load, *, gone: str | None
) -> None:
    moving = normalise(move.span for move in moves)
    for span in ring.spans:
        if span.next is not None and intersect(((span.start, span.stop),), moving):
            crossing = intersect(((span.start, span.stop),), moving)
            # What is on its way to or from a node that is removed has nowhere else to go.
            if gone not in (span.next, span.owner):
                raise InvalidPlan(
                    f"{_described(ring, crossing, load)} is on its way from {span.owner} to "
                    f"{span.next}; wait until that is done, or abort it"
                )
    for target in {move.target for move in moves} & set(ring.settings.archives):
        raise InvalidPlan(f"node {target} is an archive, and archives own nothing")
    emptied = set(ring.owners()) - set(result.owners()) - {gone}
    for owner in sorted(emptied):
        raise InvalidPlan(
            f"node {owner} would own nothing: {_described(ring, ring.owned(owner), load)} is all "
            "it has; let it leave instead, or move less"
        )


def _records_to_carry(before: HolderMap, after: HolderMap, load: Load, *, grain_bits: int) -> int:
    """Records times nodes that become holders of them."""
    codes = load.grains << grain_bits
    pairs = before.holders_of(codes) * len(after.sets) + after.holders_of(codes)
    kinds, kind = np.unique(pairs, return_inverse=True)
    new_holders = [
        len(set(after.sets[pair % len(after.sets)]) - set(before.sets[pair // len(after.sets)]))
        for pair in kinds.tolist()
    ]
    if not new_holders:
        return 0
    return int((np.array(new_holders, np.int64)[kind.reshape(-1)] * load.records).sum())


def _described(ring: Ring, spans: Spans, load: Load) -> str:
    """An area in words: its share of the domain in grains, and its records."""
    grains = sum(stop - start for start, stop in spans) >> ring.grain_bits
    records = load.within(spans, grain_bits=ring.grain_bits)
    return f"{grains} grains with {records} records"
