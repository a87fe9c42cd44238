"""How complete an answer is (PROTOCOL 6), as far as a fixed list of members can know.

An answer's state is the worst of its parts. `as_of` is the oldest moment at which a member in
contact was asked what it owes to whom: everything acknowledged before is at its reader or known
to be outstanding, because a node counts a copy as owed before it acknowledges the record.
"""

from collections.abc import Iterable, Mapping

from node.protocol.routing import Route
from node.query import COVERAGE_ORDER, Coverage, CoverageState


def worst(states: Iterable[CoverageState]) -> CoverageState:
    """The worst of some states; nothing is `complete`."""
    return max(states, key=COVERAGE_ORDER.index, default="complete")


def is_acceptable(state: CoverageState, require: CoverageState | None) -> bool:
    """Whether a state is no worse than what the caller requires."""
    return require is None or COVERAGE_ORDER.index(state) <= COVERAGE_ORDER.index(require)


def coverage_of(route: Route, *, as_of: int, away: Mapping[str, int]) -> Coverage:
    """What can be said of an answer that was read along `route`.

    Args:
        as_of: microseconds.
        away: member without contact → since when (microseconds).
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
    )
