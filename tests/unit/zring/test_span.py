"""Sets of codes: normal form, ends, cells."""

import numpy as np
import pytest

from zring.morton import CODE_STOP
from zring.span import EVERYTHING, cells_to_spans, contains, normalise, spans_to_cells


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], ()),
        ([(5, 5), (7, 3)], ()),
        ([(3, 5), (0, 3)], ((0, 5),)),
        ([(0, 9), (2, 4)], ((0, 9),)),
        ([(8, 9), (0, 1), (4, 6), (5, 8)], ((0, 1), (4, 9))),
        ([(0, CODE_STOP)], EVERYTHING),
    ],
)
def test_normal_form(pairs: list[tuple[int, int]], expected: tuple[tuple[int, int], ...]) -> None:
    assert normalise(pairs) == expected


def test_spans_outside_the_curve_are_a_broken_promise() -> None:
    with pytest.raises(AssertionError):
        normalise([(-1, 5)])
    with pytest.raises(AssertionError):
        normalise([(0, CODE_STOP + 1)])


def test_starts_are_inside_and_stops_are_not() -> None:
    codes = np.array([0, 1, 2, 3, 4, CODE_STOP - 1])
    assert contains(((1, 3),), codes).tolist() == [False, True, True, False, False, False]
    assert contains(((1, 3), (4, 5)), codes).tolist() == [False, True, True, False, True, False]
    assert not contains((), codes).any()
    assert contains(EVERYTHING, codes).all()


def test_cells_of_well_known_spans() -> None:
    quarter = CODE_STOP // 4
    assert spans_to_cells(EVERYTHING) == [(0, 0)]
    assert spans_to_cells(((quarter, 3 * quarter),)) == [(1, 1), (1, 2)]
    assert spans_to_cells(((0, 1),)) == [(31, 0)]
    assert cells_to_spans([(1, 2), (1, 1)]) == ((quarter, 3 * quarter),)
