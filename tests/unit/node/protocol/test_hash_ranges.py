"""Ranges of identity hashes: few bytes for a record that differs, and nothing is passed over."""

from itertools import pairwise

import numpy as np
import pytest

from node.protocol.hash_ranges import (
    RANGE_BITS_MAX,
    RANGE_ROWS,
    WINDOW_ROWS,
    WINDOWS_MAX,
    RangeDigests,
    places_in_ranges,
    windows_of,
)
from node.records import Rows
from node.storage.bucket_digests import DAY_US
from tests.unit.node.service.conftest import make_rows


def digests(rows: Rows, bits: int = 6) -> RangeDigests:
    found = RangeDigests(bits)
    for start in range(0, len(rows), 700):
        found.add("c", rows.slice(start, min(start + 700, len(rows))))
    return found


def test_one_record_more_differs_in_its_range_alone() -> None:
    rows = make_rows(4_000, seed=3)
    theirs = digests(rows.slice(0, 3_999))
    differing = digests(rows).lacking(theirs.totals, theirs.counts)
    assert differing.sum() == 1 and differing[places_in_ranges(rows, bits=6)[3_999]]
    mine = digests(rows)
    assert not theirs.lacking(theirs.totals, theirs.counts).any()
    assert theirs.lacking(mine.totals, mine.counts).sum() == 1, "the other one looks as well"


def test_ranges_of_which_nothing_is_here_are_not_looked_at() -> None:
    mine, theirs = digests(make_rows(1)), digests(make_rows(500, seed=1))
    assert mine.lacking(theirs.totals, theirs.counts).sum() == 1


def test_ranges_hold_about_equally_many() -> None:
    counts = digests(make_rows(20_000, seed=2)).counts
    assert counts.sum() == 20_000 and counts.min() > 200 and counts.max() < 450


@pytest.mark.parametrize("records", [10_001, WINDOW_ROWS, 5 * WINDOW_ROWS + 3, 10**9])
def test_windows_are_the_day_and_bounded(records: int) -> None:
    windows = list(windows_of(19_000, records=records))
    assert windows[0].time_stop == 19_001 * DAY_US and windows[-1].time_start == 19_000 * DAY_US
    for newer, older in pairwise(windows):
        assert newer.time_start == older.time_stop
    assert len(windows) == min(WINDOWS_MAX, -(-records // WINDOW_ROWS))
    per_range = records / len(windows) / (1 << windows[0].bits)
    assert per_range < 4 * RANGE_ROWS or windows[0].bits == RANGE_BITS_MAX


def test_digests_add_up_in_any_order() -> None:
    rows = make_rows(900, seed=5)
    turned = rows.take(np.arange(len(rows))[::-1])
    assert (digests(rows).totals == digests(turned).totals).all()
