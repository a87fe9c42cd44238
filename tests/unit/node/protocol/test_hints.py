"""Hints: what is owed, told, sent again and forgotten."""

import numpy as np
import pyarrow as pa
import pytest

from node.protocol.hints import (
    ANY_SLOT,
    ENTRIES_MAX,
    SLOT_US,
    SUMMARY_SPANS_MAX,
    Hints,
    Place,
    places_of,
)
from node.records import Rows, empty_rows
from zring.morton import CODE_STOP
from zring.span import contains, normalise

CELL = CODE_STOP // 256
HERE = Place("c", 3, 7)
NEXT = Place("c", 3, 8)


def rows_at(*pairs: tuple[int, int]) -> Rows:
    """Rows at (code, time)."""
    count = len(pairs)
    return Rows.build(
        time=np.array([time for _, time in pairs], np.int64),
        lon=np.zeros(count, np.int32),
        lat=np.zeros(count, np.int32),
        code=np.array([code for code, _ in pairs], np.int64),
        sensor=pa.array(["s"] * count),
        values={},
    )


def test_places() -> None:
    rows = rows_at((7 * CELL, 3 * SLOT_US), (8 * CELL - 1, 4 * SLOT_US - 1), (0, -1), (8 * CELL, 0))
    assert places_of("c", rows) == (Place("c", -1, 0), Place("c", 0, 8), HERE)
    assert places_of("c", empty_rows()) == ()


def test_a_copy_confirmed_before_the_acknowledgement_is_never_told() -> None:
    hints = Hints()
    hints.intend("h", [HERE])
    assert hints.dirty
    hints.confirm("h", [HERE], late=False)
    assert not hints.summary() and hints.epoch == 0
    hints.dirty = False
    hints.tick()
    assert hints.dirty, "the intent is taken back"


def test_a_late_copy_is_told_until_the_tick_after_it_arrived() -> None:
    hints = Hints()
    hints.intend("h", [HERE])
    hints.acknowledge("h", [HERE])
    assert hints.summary() == {"h": ((7 * CELL, 8 * CELL),)}
    assert not hints.holders(), "it is on its way, not to be sent again"
    hints.tick()
    assert hints.summary(), "what is on its way stays"
    hints.confirm("h", [HERE], late=True)
    hints.tick()
    assert not hints.summary()


def test_a_failed_copy_is_sent_again() -> None:
    hints = Hints()
    hints.intend("h", [HERE, NEXT])
    hints.fail("h", [HERE, NEXT], late=False)
    assert hints.holders() == ["h"]
    (work,) = hints.resends("h")
    assert work.spans == ((7 * CELL, 9 * CELL),)
    assert (work.time_start, work.time_stop) == (3 * SLOT_US, 4 * SLOT_US)
    hints.resent("h", work)
    assert not hints.holders() and not hints.summary()
    hints.tick()
    assert Hints.decode(hints.encode()).holders() == []


def test_what_failed_again_while_it_was_sent_stays_owed() -> None:
    hints = Hints()
    hints.fail("h", [HERE], late=False)
    (work,) = hints.resends("h")
    hints.fail("h", [HERE], late=False)
    hints.resent("h", work)
    assert hints.holders() == ["h"]


def test_every_intent_is_owed_after_a_crash() -> None:
    hints = Hints()
    hints.intend("h", [HERE])
    hints.fail("g", [NEXT], late=False)
    again = Hints.decode(hints.encode())
    assert again.holders() == ["g", "h"]
    assert not again.dirty
    assert again.encode() == hints.encode()
    assert Hints.decode(None).holders() == []


def test_too_many_slots_are_given_up_but_no_cell_is() -> None:
    hints = Hints()
    places = [Place("c", slot, slot % 256) for slot in range(ENTRIES_MAX)]
    hints.fail("h", places, late=False)
    hints.fail("h", [Place("c", 99_999, 5)], late=False)
    (work,) = hints.resends("h")
    assert (work.time_start, work.time_stop) == (None, None)
    assert work.spans == ((0, CODE_STOP),)
    assert all(place.slot == ANY_SLOT for place, _ in work.marks)
    assert len(work.marks) == 256


def test_folding_keeps_count_of_what_is_on_its_way() -> None:
    hints = Hints()
    hints.intend("h", [HERE])
    hints.acknowledge("h", [HERE])
    hints.intend("h", [Place("c", slot, 200) for slot in range(ENTRIES_MAX)])
    hints.tick()
    assert contains(hints.summary()["h"], np.array([7 * CELL]))[0]
    hints.confirm("h", [HERE], late=True)
    hints.tick()
    assert not hints.summary()


def test_summaries_are_bounded_supersets() -> None:
    hints = Hints()
    cells = [3 * index for index in range(SUMMARY_SPANS_MAX + 20)]
    hints.fail("h", [Place("c", 0, cell) for cell in cells], late=False)
    spans = hints.summary()["h"]
    assert len(spans) <= SUMMARY_SPANS_MAX and normalise(spans) == spans
    assert contains(spans, np.array([cell * CELL for cell in cells])).all()


def test_a_node_that_left_is_owed_nothing() -> None:
    hints = Hints()
    hints.fail("h", [HERE], late=False)
    epoch = hints.epoch
    hints.forget("h")
    assert not hints.holders() and hints.epoch > epoch


@pytest.mark.parametrize("late", [True, False])
def test_confirming_what_is_unknown_changes_nothing(late: bool) -> None:
    hints = Hints()
    hints.confirm("h", [HERE], late=late)
    assert not hints.summary()
