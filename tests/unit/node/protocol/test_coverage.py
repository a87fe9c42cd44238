"""Coverage: the worst part decides (PROTOCOL 6)."""

import pytest

from node.protocol.coverage import coverage_of, is_acceptable, worst
from node.protocol.routing import Route
from node.query import COVERAGE_ORDER, CoverageState

SPAN = ((0, 10),)
PLAIN = Route(readers=(("a", SPAN),))


@pytest.mark.parametrize(
    ("route", "away", "state"),
    [
        (PLAIN, {}, "complete"),
        (PLAIN, {"b": 5}, "local"),
        (Route(PLAIN.readers, settling=SPAN), {}, "settling"),
        (Route(PLAIN.readers, settling=SPAN), {"b": 5}, "settling"),
        (Route(PLAIN.readers, settling=SPAN, missing=SPAN), {"b": 5}, "partial"),
        (Route((), missing=SPAN), {}, "partial"),
        (Route(PLAIN.readers, stand_ins={"b": SPAN}), {"b": 5}, "local"),
    ],
)
def test_state(route: Route, away: dict[str, int], state: CoverageState) -> None:
    coverage = coverage_of(route, as_of=7, away=away)
    assert coverage.state == state
    assert (coverage.as_of, coverage.away) == (7, away)
    assert coverage.replicas == route.stand_ins


def test_order() -> None:
    assert worst([]) == "complete"
    assert worst(["local", "partial", "settling"]) == "partial"
    for index, state in enumerate(COVERAGE_ORDER):
        for limit, required in enumerate(COVERAGE_ORDER):
            assert is_acceptable(state, required) == (index <= limit)
        assert is_acceptable(state, None)
