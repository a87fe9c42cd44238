"""What is accounted for: the broker's word, the store and the dead letters."""

import numpy as np
import pytest

from ingest.audit import StreamAudit, audit_streams, dead_sequences
from ingest.sources.source import Extent

STORED = np.array([3, 4, 4, 6, 9, 12])
DEAD = np.array([5, 6, 14])


def audited(extent: Extent | None) -> StreamAudit:
    extents = None if extent is None else {"t/0": extent}
    (found,) = audit_streams(extents, {"t/0": STORED}, {"t/0": DEAD})
    return found


def test_acknowledged_and_neither_stored_nor_dead_is_the_gap() -> None:
    found = audited(Extent(begin=2, end=20, committed=11))
    assert (found.first, found.stop, found.stored, found.dead) == (2, 11, 4, 1)
    assert (found.gap, found.examples, found.waiting, found.deleted) == (4, (2, 7, 8, 10), 9, 0)
    assert not found.is_whole


def test_a_stream_read_from_its_end_is_accounted_for_from_the_first_that_is_known() -> None:
    found = audited(Extent(begin=0, end=7, committed=7, is_whole=False))
    assert (found.first, found.stop, found.gap, found.is_whole) == (3, 7, 0, True)
    nothing = audited(Extent(begin=15, end=18, committed=16, is_whole=False))
    assert (nothing.first, nothing.stop, nothing.gap, nothing.waiting) == (16, 16, 0, 2)


def test_what_a_broker_deleted_before_it_was_acknowledged_is_missing() -> None:
    found = audited(Extent(begin=9, end=9, committed=7))
    assert (found.deleted, found.gap, found.waiting, found.is_whole) == (2, 0, 0, False)


def test_before_anything_was_acknowledged_everything_waits() -> None:
    found = audited(Extent(begin=3, end=8, committed=None))
    assert (found.first, found.stop, found.waiting, found.is_whole) == (3, 3, 5, True)


def test_without_a_broker_from_the_first_to_the_last_that_is_known() -> None:
    found = audited(None)
    assert (found.begin, found.end, found.committed, found.waiting) == (None, None, None, 0)
    assert (found.first, found.stop, found.gap) == (3, 15, 5)


@pytest.mark.parametrize(("source", "count"), [("a", 2), ("c", 0)])
def test_letters_of_one_source(source: str, count: int) -> None:
    places = [("a", "s", 1), ("b", "s", 2), ("a", "s", 3)]
    assert sum(map(len, dead_sequences(places, source).values())) == count
