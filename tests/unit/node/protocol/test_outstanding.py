"""Outstanding: what is owed, told, compared and forgotten."""

import numpy as np
import pyarrow as pa

from node.protocol.outstanding import (
    MARKS_MAX,
    PLACES_MAX,
    SLOT_US,
    SUMMARY_SPANS_ALL_MAX,
    SUMMARY_SPANS_MAX,
    Outstanding,
    Place,
    places_of,
)
from node.records import Rows, empty_rows
from zring.morton import CODE_STOP
from zring.span import EVERYTHING, contains, normalise

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


def test_a_copy_that_is_late_is_told_until_it_is_confirmed() -> None:
    owed = Outstanding()
    owed.acknowledge("h", [HERE])
    owed.acknowledge("h", [HERE])
    assert owed.summary() == {"h": ((7 * CELL, 8 * CELL),)}
    assert not owed.holders(), "it is on its way, there is nothing to compare"
    owed.confirm("h", [HERE])
    assert owed.summary(), "the other one is still out"
    epoch = owed.epoch
    owed.confirm("h", [HERE])
    assert not owed.summary() and not owed.counts() and owed.epoch > epoch


def test_a_failed_copy_is_owed_until_a_job_has_compared_it() -> None:
    owed = Outstanding()
    owed.fail("h", [HERE, NEXT])
    owed.fail("h", [Place("d", -1, 0)])
    assert owed.holders() == ["h"] and owed.counts() == {"h": 3}
    work = owed.work("h")
    assert work.places == {"c": {3: ((7 * CELL, 9 * CELL),)}, "d": {-1: ((0, CELL),)}}
    assert work.uncompared == ()
    owed.done(work)
    assert not owed.holders() and not owed.summary()


def test_what_fails_during_a_job_outlives_it() -> None:
    owed = Outstanding()
    owed.fail("h", [HERE, NEXT])
    work = owed.work("h")
    owed.fail("h", [HERE])
    owed.done(work)
    assert owed.work("h").places == {"c": {3: ((7 * CELL, 8 * CELL),)}}


def test_what_is_marked_during_a_job_outlives_it() -> None:
    owed = Outstanding()
    owed.mark("h", EVERYTHING)
    work = owed.work("h")
    assert work.uncompared == EVERYTHING
    owed.mark("h", ((0, 9),))
    owed.done(work)
    assert owed.work("h").uncompared == ((0, 9),)
    owed.done(owed.work("h"))
    assert not owed.holders()


def test_a_broken_job_leaves_everything() -> None:
    owed = Outstanding()
    owed.mark("h", EVERYTHING)
    owed.fail("h", [HERE])
    owed.work("h")
    assert owed.work("h").uncompared == EVERYTHING and owed.work("h").places


def test_checks_are_worked_off_but_not_told() -> None:
    owed = Outstanding()
    owed.check("h", EVERYTHING)
    assert owed.holders() == ["h"] and not owed.summary() and not owed.counts()
    owed.done(owed.work("h"))
    assert not owed.holders()


def test_too_many_places_become_uncompared_cells() -> None:
    owed = Outstanding()
    owed.fail("h", [Place("c", slot, 7) for slot in range(PLACES_MAX)])
    owed.fail("h", [NEXT])
    work = owed.work("h")
    assert work.uncompared == ((7 * CELL, 9 * CELL),) and not work.places


def test_too_many_marks_are_joined_and_none_is_lost() -> None:
    owed = Outstanding()
    for index in range(2 * MARKS_MAX):
        owed.mark("h", ((2 * index, 2 * index + 1),))
    work = owed.work("h")
    assert len(work.uncompared) == 2 * MARKS_MAX
    for index in range(2 * MARKS_MAX):
        owed.mark("h", ((2 * index, 2 * index + 1),))
    owed.done(work)
    assert owed.work("h").uncompared == work.uncompared, "all were marked again"


def test_summaries_are_bounded_supersets() -> None:
    owed = Outstanding()
    cells = [3 * index for index in range(SUMMARY_SPANS_MAX + 20)]
    owed.fail("h", [Place("c", 0, cell) for cell in cells])
    spans = owed.summary()["h"]
    assert len(spans) <= SUMMARY_SPANS_MAX and normalise(spans) == spans
    assert contains(spans, np.array([cell * CELL for cell in cells])).all()


def test_many_holders_share_what_a_word_may_tell() -> None:
    owed = Outstanding()
    cells = [2 * index for index in range(100)]
    for index in range(300):
        owed.fail(f"h{index}", [Place("c", 0, cell) for cell in cells])
    summary = owed.summary()
    assert len(summary) == 300, "nobody is left out"
    assert sum(map(len, summary.values())) <= SUMMARY_SPANS_ALL_MAX
    for spans in summary.values():
        assert contains(spans, np.array([cell * CELL for cell in cells])).all()


def test_a_node_that_left_is_owed_nothing() -> None:
    owed = Outstanding()
    owed.fail("h", [HERE])
    epoch = owed.epoch
    owed.forget("h")
    assert not owed.holders() and owed.epoch > epoch
    owed.confirm("h", [HERE])
    assert not owed.summary(), "a copy that comes back late finds nothing"
