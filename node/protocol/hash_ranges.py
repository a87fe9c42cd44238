"""Large buckets, told apart by ranges of the hash of each record's identity (PROTOCOL 7.3).

A quadtree ends at the grain, and a day is its smallest time: where more than `LARGE_ROWS` records
of one grain and day differ in one of them, listing all would cost 40 bytes each. Their identities
are hashed instead, and the hashes cut into equal ranges: the records of a range have a set digest
like those of a bucket, and only what lies in ranges that differ is offered.

The other limit that one might expect, bytes, has no place here: an offer takes as much for a large
record as for a small one, and whole records go only where they lack.

Work at both ends is bounded by cutting a day into windows of about `WINDOW_ROWS` records.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from node.records import Bools, Places, Rows, record_digests
from node.storage.bucket_digests import DAY_US
from zring.digest import UInt64s, hash_words
from zring.morton import Int64s

LARGE_ROWS = 10_000
"""Rows of a bucket that are offered one by one at most: 400 kB."""
RANGE_ROWS = 256
"""Rows that a range should have: a range costs 12 bytes, a record that is offered 40; with these
one record that differs in a million costs some 60 kB."""
RANGE_BITS_MAX = 14
"""16,384 ranges: 200 kB of answer."""
WINDOW_ROWS = 200_000
"""Rows of one question: about half a second of reading at either end, in steps of some ms."""
WINDOWS_MAX = 1_440
"""Windows of a day: a minute each."""


def identity_hashes(code: Int64s, time: Int64s, sensor_hash: UInt64s) -> UInt64s:
    """One number for each identity in a collection."""
    return hash_words(
        [code.astype(np.uint64), time.astype(np.uint64), sensor_hash.astype(np.uint64)]
    )


def places_in_ranges(rows: Rows, *, bits: int) -> Places:
    """intp[n]: the range of each row, of 2**bits."""
    hashes = identity_hashes(rows.code, rows.time, rows.sensor_hash)
    return (hashes >> np.uint64(64 - bits)).astype(np.intp)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a day (microseconds, half-open), and into how many ranges it is cut: 2**bits."""

    time_start: int
    time_stop: int
    bits: int


def windows_of(day: int, *, records: int) -> Iterator[Window]:
    """A day in equal windows for so many records, the newest first."""
    count = max(1, min(WINDOWS_MAX, -(-records // WINDOW_ROWS)))
    bits = max(1, min(RANGE_BITS_MAX, (records // count // RANGE_ROWS).bit_length()))
    ends = [day * DAY_US + DAY_US * at // count for at in range(count + 1)]
    for start, stop in reversed(list(pairwise(ends))):
        yield Window(start, stop, bits)


@dataclass(slots=True)
class RangeDigests:
    """Set digests of the records in each range; rows are added in any order, each once."""

    bits: int
    totals: UInt64s = field(init=False)
    counts: Int64s = field(init=False)

    def __post_init__(self) -> None:
        assert 1 <= self.bits <= RANGE_BITS_MAX, self.bits
        self.totals = np.zeros(1 << self.bits, np.uint64)
        self.counts = np.zeros(1 << self.bits, np.int64)

    def add(self, collection: str, rows: Rows) -> None:
        """Count some rows in."""
        if not len(rows):
            return
        places = places_in_ranges(rows, bits=self.bits)
        np.add.at(self.totals, places, record_digests(collection, rows))
        self.counts += np.bincount(places, minlength=len(self.counts))

    def lacking(self, totals: UInt64s, counts: Int64s) -> Bools:
        """bool[2**bits]: ranges in which the other one may lack what is here."""
        differs = (self.totals != totals) | (self.counts != counts)
        chosen: Bools = differs & (self.counts > 0)
        return chosen
