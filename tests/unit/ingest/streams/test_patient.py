"""A source that is refused waits and is opened again; what came by the old one is not confirmed."""

from collections.abc import Callable

import pytest

from ingest.errors import SourceLost, SourceRefused
from ingest.sources import Messages
from ingest.sources.patient import PatientSource
from tests.unit.ingest.streams.pumping import MemorySource, body, messages


class Refusing(MemorySource):
    """Is refused when it is opened, so many times."""

    def __init__(self, refusals: list[str], *polls: list[Messages] | Exception) -> None:
        super().__init__(polls)
        self._refusals = refusals

    def open(self) -> None:
        if self._refusals:
            raise SourceRefused(self._refusals.pop(0))


def polled(source: PatientSource) -> tuple[list[str], list[Messages]]:
    """Poll until something comes; returns the reasons for waiting, each once."""
    reasons: list[str] = []
    while True:
        try:
            found = list(source.poll(0.0))
        except SourceLost as error:
            reasons += [str(error)] if str(error) not in reasons else []
        else:
            if found:
                return reasons, found


def test_it_waits_for_its_broker_its_topic_and_the_place_of_dead_letters() -> None:
    refusals, letters = ["no broker", "no topic"], ["no topic for dead letters"]

    def prepare() -> None:
        if letters:
            raise SourceRefused(letters.pop())

    made: list[Refusing] = []

    def make() -> Refusing:
        made.append(Refusing(refusals, [messages(body(1))]))
        return made[-1]

    source = PatientSource(make, prepare=prepare, pause_first_s=0.001)
    source.open()
    reasons, (found,) = polled(source)
    assert reasons == ["no topic for dead letters", "no broker", "no topic"]
    source.acknowledge(found)
    assert made[-1].acknowledged == [("a", 0)]
    assert [one.closed for one in made] == [True, True, True, False]


@pytest.mark.parametrize("ask", [lambda s: s.poll(0.0), lambda s: s.keep_alive()])
def test_what_came_by_a_source_that_was_closed_is_not_confirmed_to_the_next(
    ask: Callable[[PatientSource], object],
) -> None:
    class Ending(Refusing):
        def keep_alive(self) -> None:
            raise SourceRefused("another password")

    made: list[Refusing] = []

    def make() -> Refusing:
        made.append(Ending([], [messages(body(1))], SourceRefused("another password")))
        return made[-1]

    source = PatientSource(make, pause_first_s=0.001)
    source.open()
    _, (found,) = polled(source)
    with pytest.raises(SourceLost, match="another password"):
        ask(source)
    source.acknowledge(found)
    assert not made[0].acknowledged and not made[-1].acknowledged
    assert polled(source)[1]
