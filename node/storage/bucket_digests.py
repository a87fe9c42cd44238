"""Set digests of records by cell and day: what two stores compare to find where they differ."""

from dataclasses import dataclass

import numpy as np

from node.records import Rows, record_digests
from zring.digest import Int64s, SetDigest, UInt64s
from zring.morton import CODE_BITS

DAY_US = 86_400_000_000
DAY_MIN, DAY_MAX = -(1 << 62) // DAY_US, (1 << 62) // DAY_US + 1
"""Every day that a record's time may lie in; half-open."""


@dataclass(frozen=True, slots=True)
class BucketDigests:
    """Set digests of cells of one level, by day where that was asked for.

    Attributes:
        cells: int64[n], index of the cell along the curve.
        days: int64[n], days since the epoch; 0 where all days are taken together.
        totals: uint64[n]. counts: int64[n], each above 0.
    Rows are sorted by (day, cell), each pair once.
    """

    cells: Int64s
    days: Int64s
    totals: UInt64s
    counts: Int64s

    def __len__(self) -> int:
        return len(self.cells)

    def total(self) -> SetDigest:
        """The digest of all of them together."""
        return SetDigest(int(self.totals.sum(dtype=np.uint64)), int(self.counts.sum()))


NO_DIGESTS = BucketDigests(
    np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.int64)
)


def digests_of_rows(collection: str, rows: Rows, *, level: int, by_day: bool) -> BucketDigests:
    """The digests of rows in which every record comes once. Cost: a hash and a sort of the rows."""
    return summed(
        rows.code >> (CODE_BITS - 2 * level),
        rows.time // DAY_US if by_day else np.zeros(len(rows), np.int64),
        record_digests(collection, rows),
        np.ones(len(rows), np.int64),
    )


def summed(cells: Int64s, days: Int64s, totals: UInt64s, counts: Int64s) -> BucketDigests:
    """Digests in any order, added up by (day, cell)."""
    if not len(cells):
        return NO_DIGESTS
    order = np.lexsort((cells, days))
    cells, days = cells[order], days[order]
    new = np.empty(len(cells), np.bool_)
    new[0] = True
    np.logical_or(cells[1:] != cells[:-1], days[1:] != days[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    with np.errstate(over="ignore"):  # totals are modulo 2**64
        return BucketDigests(
            cells[starts],
            days[starts],
            np.add.reduceat(totals[order], starts),
            np.add.reduceat(counts[order], starts),
        )
