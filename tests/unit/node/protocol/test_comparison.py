"""Comparing by digests: every difference is found, and nothing that is equal is looked into."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest

from node.protocol.comparison import (
    OFFER_ROWS_MAX,
    WINDOWS_MAX,
    Pieces,
    cells_of,
    children_of,
    compare,
    finer_level,
    slices_of,
)
from node.storage.bucket_digests import DAY_US, NO_DIGESTS, BucketDigests, summed
from zring.morton import CODE_BITS
from zring.span import EVERYTHING

GRAIN = 5
Record = tuple[int, int, int]
"""(day, grain, digest)"""


def digests(records: set[Record], *, level: int) -> BucketDigests:
    listed = sorted(records)
    return summed(
        np.array([grain >> 2 * (GRAIN - level) for _, grain, _ in listed], np.int64),
        np.array([day for day, _, _ in listed], np.int64),
        np.array([digest for _, _, digest in listed], np.uint64),
        np.ones(len(listed), np.int64),
    )


def found_by(mine: set[Record], theirs: set[Record]) -> tuple[list[Pieces], list[Pieces], int]:
    """Run a whole comparison: absent and offered pieces, and how many digests were told."""
    absent: list[Pieces] = []
    offer: list[Pieces] = []
    level, told = 0, 0
    my_part, their_part = digests(mine, level=0), digests(theirs, level=0)
    while True:
        told += len(their_part)
        found = compare(my_part, their_part, level=level, grain_level=GRAIN)
        absent.append(found.absent)
        offer.append(found.offer)
        if not len(found.deeper):
            return absent, offer, told
        level = finer_level(level, grain_level=GRAIN)
        my_part = children_of(digests(mine, level=level), found.deeper, level=level)
        their_part = children_of(digests(theirs, level=level), found.deeper, level=level)


def inside(record: Record, pieces: list[Pieces]) -> int:
    day, grain, _ = record
    return sum(
        int(((some.days == day) & (some.cells == grain >> 2 * (GRAIN - some.level))).sum())
        for some in pieces
    )


@pytest.mark.parametrize("seed", range(8))
def test_every_record_that_they_lack_is_found_once(seed: int) -> None:
    rng = Random(seed)
    shared = {
        (rng.randrange(-3, 4), rng.randrange(1 << 2 * GRAIN), rng.getrandbits(64))
        for _ in range(4_000)
    }
    mine = shared | {
        (rng.randrange(-3, 5), rng.randrange(1 << 2 * GRAIN), rng.getrandbits(64))
        for _ in range(rng.choice((0, 1, 30)))
    }
    theirs = shared | {(rng.randrange(-3, 4), 5, rng.getrandbits(64)) for _ in range(3)}
    theirs -= set(rng.sample(sorted(shared), rng.choice((0, 1, 20))))
    absent, offer, _ = found_by(mine, theirs)
    for record in mine - theirs:
        assert inside(record, absent) + inside(record, offer) == 1, record
    for record in theirs:
        assert not inside(record, absent) or record not in mine


def test_equal_sides_ask_nothing_and_one_difference_asks_little() -> None:
    rng = Random(1)
    shared = {(day, rng.randrange(1 << 2 * GRAIN), day) for day in range(10) for _ in range(900)}
    absent, offer, told = found_by(shared, shared)
    assert told == 10 and not sum(map(len, absent)) + sum(map(len, offer))
    absent, offer, told = found_by(shared | {(3, 77, 99)}, shared)
    assert told <= 10 + 3 * 16
    assert sum(pieces.records() for pieces in (*absent, *offer)) <= OFFER_ROWS_MAX


def test_what_they_have_nothing_of_is_found_at_the_top() -> None:
    mine = {(day, grain, 1) for day in (1, 2) for grain in range(200)}
    absent, offer, told = found_by(mine, {(1, 5, 3)})
    assert told > 1 and absent[0].days.tolist() == [2]
    assert found_by(mine, set())[2] == 0
    assert not sum(map(len, offer)) or offer
    assert len(compare(NO_DIGESTS, digests(mine, level=0), level=0, grain_level=GRAIN).absent) == 0


def pieces(level: int, *triples: tuple[int, int, int]) -> Pieces:
    days, cells, counts = (np.array(column, np.int64) for column in zip(*triples, strict=True))
    return Pieces(level, days, cells, counts)


def test_slices_go_from_new_to_old_and_join_whole_days() -> None:
    whole = pieces(0, (1, 0, 10), (2, 0, 10), (3, 0, 10), (7, 0, 10))
    slices = list(slices_of([whole], rows_max=20))
    assert [(one.day_start, one.day_stop, one.records) for one in slices] == [
        (7, 8, 10),
        (2, 4, 20),
        (1, 2, 10),
    ]
    assert all(one.spans == EVERYTHING for one in slices)
    assert list(slices_of([], rows_max=5)) == []


def test_slices_hold_the_cells_of_their_day() -> None:
    quarter = 1 << (CODE_BITS - 2)
    some = [pieces(1, (4, 1, 3), (4, 3, 3), (5, 1, 3)), pieces(2, (5, 0, 1))]
    slices = list(slices_of(some, rows_max=100))
    assert [(one.day_start, one.records) for one in slices] == [(5, 4), (4, 6)]
    assert slices[0].spans == ((0, quarter // 4), (quarter, 2 * quarter))
    assert slices[1].spans == ((quarter, 2 * quarter), (3 * quarter, 4 * quarter))
    assert cells_of(some[0]) == slices[1].spans


def test_large_slices_are_read_in_windows_newest_first() -> None:
    (day,) = slices_of([pieces(0, (4, 0, 90))], rows_max=40)
    windows = list(day.windows(rows=40))
    assert windows[0][1] == 5 * DAY_US
    assert windows[-1][0] == 4 * DAY_US
    assert len(windows) == 3
    assert all(later[0] == earlier[1] for later, earlier in pairwise(windows))
    assert list(day.windows(rows=90)) == [(4 * DAY_US, 5 * DAY_US)]
    (huge,) = slices_of([pieces(0, (4, 0, 1 << 40))], rows_max=1)
    assert len(list(huge.windows(rows=1))) == WINDOWS_MAX
