"""Coverage: the worst part decides (PROTOCOL 6)."""

import pytest

from node.protocol.coverage import coverage_of, is_acceptable, is_worse, worst
from node.protocol.routing import Route
from node.query import COVERAGE_ORDER, Coverage, CoverageState

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
    coverage = coverage_of(route, as_of=7, away=away, owed_by_away={}, alone=False)
    assert coverage.state == state
    assert (coverage.as_of, coverage.away) == (7, away)
    assert coverage.replicas == route.stand_ins


def test_a_replica_speaks_for_an_owner_up_to_its_last_word() -> None:
    stand_in = Route(PLAIN.readers, stand_ins={"b": SPAN})
    for owed, away, as_of in (
        ({}, {"b": 5}, 5),
        ({"b": ((10, 20),)}, {"b": 5}, 5),
        ({"b": ((9, 20),)}, {"b": 5}, None),
        ({}, {}, 7),
    ):
        found = coverage_of(stand_in, as_of=7, away=away, owed_by_away=owed, alone=False)
        assert found.replicas_as_of == {"b": as_of} and found.alone_since is None


def test_alone_since_the_last_member_went() -> None:
    found = coverage_of(PLAIN, as_of=9, away={"b": 5, "c": 7}, owed_by_away={}, alone=True)
    assert found.alone_since == 7 and found.state == "local"
    single = coverage_of(PLAIN, as_of=9, away={}, owed_by_away={}, alone=True)
    assert single.alone_since is None and single.state == "complete"


def test_order() -> None:
    assert worst([]) == "complete"
    assert worst(["local", "partial", "settling"]) == "partial"
    for index, state in enumerate(COVERAGE_ORDER):
        for limit, required in enumerate(COVERAGE_ORDER):
            assert is_acceptable(state, required) == (index <= limit)
        assert is_acceptable(state, None)


def test_what_was_told_of_an_answer_ceases_to_be_true() -> None:
    told = Coverage("settling", as_of=7, away={"b": 5}, settling=((0, 10),))
    for same in (
        told,
        Coverage("local", as_of=9, away={"b": 5}),
        Coverage("settling", as_of=9, settling=((2, 4),)),
        Coverage("complete", as_of=9),
    ):
        assert not is_worse(same, told)
    for worse in (
        Coverage("partial", as_of=7, away={"b": 5}, missing=((0, 10),)),
        Coverage("settling", as_of=7, away={"b": 5}, settling=((0, 11),)),
        Coverage("local", as_of=7, away={"b": 5, "c": 6}),
    ):
        assert is_worse(worse, told)
