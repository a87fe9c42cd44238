"""Finding what another node lacks by comparing set digests from coarse to fine.

One side has the digests of its own buckets and gets those of the other for the same question;
`compare` says what follows: what the other has nothing of is sent at once, what is small or of
the finest level is offered record by record, and the rest is asked again, `LEVELS_AT_ONCE`
levels of the quadtree further down. What is large at the finest level is told apart by ranges of
hashes (`hash_ranges`). Only what this side has is looked at: the other side runs the same for
itself, so differences flow both ways.

Source: the shape is that of Merkle trees in G. DeCandia et al., Dynamo (2007), section 4.7, with
sums instead of hashes of hashes, so that a bucket's digest changes by one record at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from node.protocol.hash_ranges import LARGE_ROWS
from node.records import Bools
from node.storage.bucket_digests import DAY_MIN, DAY_US, BucketDigests
from zring.morton import Int64s
from zring.span import Spans, cells_to_spans

LEVELS_AT_ONCE = 2
"""16 cells for each one that differs: half the round trips of 4, at most four times the bytes."""
WINDOWS_MAX = 288
"""Parts of one slice: a day by five minutes."""
OFFER_ROWS_MAX = 64
"""Rows of a bucket that are offered rather than split further: 40 bytes each, as much as the
digests of two more questions."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """(day, cell) pairs of one level, sorted, with the number of this side's records in each."""

    level: int
    days: Int64s
    cells: Int64s
    counts: Int64s

    def __len__(self) -> int:
        return len(self.days)

    def take(self, chosen: Bools) -> "Pieces":
        """Some of them."""
        return Pieces(self.level, self.days[chosen], self.cells[chosen], self.counts[chosen])

    def each(self) -> "list[Pieces]":
        """Each of them alone."""
        return [
            Pieces(
                self.level,
                self.days[at : at + 1],
                self.cells[at : at + 1],
                self.counts[at : at + 1],
            )
            for at in range(len(self))
        ]

    def records(self) -> int:
        """This side's records in all of them."""
        return int(self.counts.sum())


@dataclass(frozen=True, slots=True)
class Findings:
    """What one comparison says.

    Attributes:
        absent: the other side has nothing there.
        offer: both have something, and it is small or of the finest level.
        deeper: both have something, to be asked for `finer_level`.
        large: both have something at the finest level, too much to be offered.
    """

    absent: Pieces
    offer: Pieces
    large: Pieces
    deeper: Pieces


def compare(
    mine: BucketDigests, theirs: BucketDigests, *, level: int, grain_level: int
) -> Findings:
    """Tell apart what is equal, absent and different.

    Args:
        mine, theirs: answers to the same question, of buckets of `level`.
    """
    my_keys = keys_of(mine.days, mine.cells, level)
    their_keys = keys_of(theirs.days, theirs.cells, level)
    at = np.searchsorted(their_keys, my_keys)
    inside = at < len(their_keys)
    at[~inside] = 0
    present = np.zeros(len(my_keys), np.bool_)
    equal = np.zeros(len(my_keys), np.bool_)
    if len(their_keys):
        present = inside & (their_keys[at] == my_keys)
        equal = present & (theirs.totals[at] == mine.totals) & (theirs.counts[at] == mine.counts)
    pieces = Pieces(level, mine.days, mine.cells, mine.counts)
    different = present & ~equal
    finest = level >= grain_level
    small = different & (mine.counts <= (LARGE_ROWS if finest else OFFER_ROWS_MAX))
    large = different & ~small & finest
    return Findings(
        absent=pieces.take(~present),
        offer=pieces.take(small),
        deeper=pieces.take(different & ~small & ~large),
        large=pieces.take(large),
    )


def finer_level(level: int, *, grain_level: int) -> int:
    """The level to ask for next."""
    return min(level + LEVELS_AT_ONCE, grain_level)


def children_of(digests: BucketDigests, parents: Pieces, *, level: int) -> BucketDigests:
    """Those digests of `level` that lie in one of the (day, cell) pairs of a coarser level."""
    cells = digests.cells >> (2 * (level - parents.level))
    keys = keys_of(digests.days, cells, parents.level)
    chosen = np.isin(keys, keys_of(parents.days, parents.cells, parents.level))
    return BucketDigests(
        cells=digests.cells[chosen],
        days=digests.days[chosen],
        totals=digests.totals[chosen],
        counts=digests.counts[chosen],
    )


def keys_of(days: Int64s, cells: Int64s, level: int) -> Int64s:
    """One number for each (day, cell), in the same order."""
    return ((days - DAY_MIN) << (2 * level)) | cells


def cells_of(pieces: Pieces) -> Spans:
    """The codes of all cells that occur."""
    return cells_to_spans((pieces.level, cell) for cell in np.unique(pieces.cells).tolist())


@dataclass(frozen=True, slots=True)
class Slice:
    """Days and codes to be read from the store in one scan; about `records` of them."""

    day_start: int
    day_stop: int
    spans: Spans
    records: int

    def windows(self, *, rows: int) -> Iterator[tuple[int, int]]:
        """Its time (microseconds) in equal parts of about so many rows, the newest first."""
        count = max(1, min(WINDOWS_MAX, -(-self.records // rows)))
        start, stop = self.day_start * DAY_US, self.day_stop * DAY_US
        ends = [start + (stop - start) * at // count for at in range(count + 1)]
        yield from reversed(list(pairwise(ends)))


def slices_of(pieces: Sequence[Pieces], *, rows_max: int) -> Iterator[Slice]:
    """Scans that read exactly these pieces, newest day first.

    Neighbouring days that are wanted whole are read together, up to about `rows_max` rows.
    """
    by_day: dict[int, tuple[list[tuple[int, int]], int]] = {}
    for some in pieces:
        for day, cell, count in zip(
            some.days.tolist(), some.cells.tolist(), some.counts.tolist(), strict=True
        ):
            cells, records = by_day.get(day, ([], 0))
            cells.append((some.level, cell))
            by_day[day] = (cells, records + count)
    waiting: Slice | None = None
    for day in sorted(by_day, reverse=True):
        cells, records = by_day[day]
        spans = cells_to_spans(cells)
        if (
            waiting is not None
            and waiting.day_start == day + 1
            and waiting.spans == spans
            and waiting.records + records <= rows_max
        ):
            waiting = Slice(day, waiting.day_stop, spans, waiting.records + records)
            continue
        if waiting is not None:
            yield waiting
        waiting = Slice(day, day + 1, spans, records)
    if waiting is not None:
        yield waiting
