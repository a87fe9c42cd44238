"""How complete an answer is (PROTOCOL 6).

An answer's state is the worst of its parts. `as_of` is the oldest moment at which a member in
contact was asked what it owes to whom: everything acknowledged before is at its reader or known
to be outstanding, because a node counts a copy as owed before it acknowledges the record.

Where a replica reads in the place of an owner without contact, it speaks for that owner up to
its last word, if that said that it owed nobody anything there; else nobody knows up to when.
"""

from collections.abc import Iterable, Mapping

from node.protocol.routing import Route
from node.query import COVERAGE_ORDER, Coverage, CoverageState
from zring.span import Spans, intersect, subtract, union


def worst(states: Iterable[CoverageState]) -> CoverageState:
    """The worst of some states; nothing is `complete`."""
    return max(states, key=COVERAGE_ORDER.index, default="complete")


def is_acceptable(state: CoverageState, require: CoverageState | None) -> bool:
    """Whether a state is no worse than what the caller requires."""
    return require is None or COVERAGE_ORDER.index(state) <= COVERAGE_ORDER.index(require)


def is_worse(coverage: Coverage, told: Coverage) -> bool:
    """Whether an answer can no longer keep what was told of it: its state, who is away, and
    where records may be missing."""
    open_areas = union(tuple(coverage.settling), tuple(coverage.missing))
    return bool(
        not is_acceptable(coverage.state, told.state)
        or coverage.away.keys() - told.away.keys()
        or subtract(open_areas, union(tuple(told.settling), tuple(told.missing)))
    )


def coverage_of(
    route: Route,
    *,
    as_of: int,
    away: Mapping[str, int],
    owed_by_away: Mapping[str, Spans],
    alone: bool,
) -> Coverage:
    """What can be said of an answer that was read along `route`.

    Args:
        as_of: microseconds.
        away: member without contact → since when (microseconds).
        owed_by_away: member without contact → codes in which others may lack what it had taken
            when it was last heard.
        alone: no other member is in contact.
    """
    state: CoverageState = "complete"
    if away:
        state = "local"
    if route.settling:
        state = "settling"
    if route.missing:
        state = "partial"
    return Coverage(
        state=state,
        as_of=as_of,
        away=dict(sorted(away.items())),
        replicas=route.stand_ins,
        settling=route.settling,
        missing=route.missing,
        replicas_as_of={
            owner: None
            if intersect(owed_by_away.get(owner, ()), spans)
            else min(as_of, away.get(owner, as_of))
            for owner, spans in route.stand_ins.items()
        },
        alone_since=max(away.values()) if alone and away else None,
    )
