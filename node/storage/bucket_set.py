"""Which of some buckets each row lies in: by this it is compared, and left out when they go."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from node.records import Places, Rows
from node.storage.bucket_digests import DAY_US, BucketDigests
from zring.digest import Int64s, SetDigest, UInt64s
from zring.morton import CODE_BITS
from zring.span import Spans, normalise


@dataclass(frozen=True, slots=True)
class Bucket:
    """The records with codes in [start, stop) on one day, as somebody has seen them.

    Attributes:
        day: days since the epoch.
        digest: what the records were when it was decided what becomes of them.
    """

    start: int
    stop: int
    day: int
    digest: SetDigest

    def __post_init__(self) -> None:
        assert 0 <= self.start < self.stop <= 1 << CODE_BITS, (self.start, self.stop)


@dataclass(frozen=True, slots=True)
class BucketSet:
    """Buckets whose code ranges are equal or disjoint, each (range, day) once.

    Attributes:
        starts, stops: int64[r], the different ranges, rising. days: int64[d], rising.
        keys: int64[n], range and day of each bucket as one number, rising.
        order: the bucket's position in the sequence it came from, for each key.
        level: the coarsest level of which every range is a union of cells.
    """

    starts: Int64s
    stops: Int64s
    days: Int64s
    keys: Int64s
    order: Places
    level: int

    @classmethod
    def of(cls, buckets: Sequence[Bucket]) -> "BucketSet":
        """Of at least one bucket."""
        assert buckets, "no buckets"
        start = np.array([bucket.start for bucket in buckets], np.int64)
        stop = np.array([bucket.stop for bucket in buckets], np.int64)
        day = np.array([bucket.day for bucket in buckets], np.int64)
        starts, first = np.unique(start, return_index=True)
        stops = stop[first]
        assert (starts[1:] >= stops[:-1]).all(), "buckets with ranges that overlap"
        days = np.unique(day)
        at = np.searchsorted(starts, start)
        assert (stops[at] == stop).all(), "buckets with ranges that overlap"
        keys = at * len(days) + np.searchsorted(days, day)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        assert (keys[1:] != keys[:-1]).all(), "a bucket that is named twice"
        edges = int(np.bitwise_or.reduce(start) | np.bitwise_or.reduce(stop)) | 1 << CODE_BITS
        level = -(-(CODE_BITS + 1 - (edges & -edges).bit_length()) // 2)
        return cls(starts, stops, days, keys, order, level)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def spans(self) -> Spans:
        """The codes of all buckets."""
        return normalise(zip(self.starts.tolist(), self.stops.tolist(), strict=True))

    @property
    def day_start(self) -> int:
        """The first day."""
        return int(self.days[0])

    @property
    def day_stop(self) -> int:
        """The day after the last one."""
        return int(self.days[-1]) + 1

    def places(self, code: Int64s, day: Int64s) -> Places:
        """intp[n]: position in the sequence of the bucket of each (code, day); -1 for none."""
        of_range = np.searchsorted(self.starts, code, side="right") - 1
        of_day = np.minimum(np.searchsorted(self.days, day), len(self.days) - 1)
        key = of_range * len(self.days) + of_day
        at = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        inside = (of_range >= 0) & (code < self.stops[of_range]) & (self.days[of_day] == day)
        return np.where(inside & (self.keys[at] == key), self.order[at], -1)

    def places_of_rows(self, rows: Rows) -> Places:
        """intp[n]: position in the sequence of the bucket of each row; -1 for none."""
        return self.places(rows.code, rows.time // DAY_US)

    def digests_of(self, places: Places, totals: UInt64s, counts: Int64s) -> list[SetDigest]:
        """The set digest of every bucket in the sequence, from parts that lie at `places`."""
        inside = places >= 0
        sums = np.zeros(len(self), np.uint64)
        numbers = np.zeros(len(self), np.int64)
        np.add.at(sums, places[inside], totals[inside])
        np.add.at(numbers, places[inside], counts[inside])
        return [SetDigest(*pair) for pair in zip(sums.tolist(), numbers.tolist(), strict=True)]

    def digests_in(self, found: BucketDigests, *, level: int) -> list[SetDigest]:
        """The set digest of every bucket, from digests by day of a level that is fine enough."""
        assert level >= self.level, (level, self.level)
        codes = found.cells << (CODE_BITS - 2 * level)
        return self.digests_of(self.places(codes, found.days), found.totals, found.counts)
