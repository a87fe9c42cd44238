"""The log in memory: sorted segments, few of them, each with bounds that let a scan skip it.

Segments of similar size are merged, so that n rows lie in about log2(n) segments and each row
is moved about log2(n) times before it goes into blocks.
"""

from dataclasses import dataclass

import numpy as np

from node.records import Rows, concat_rows, newest_rows, sort_rows
from node.storage.engine import Scan

MERGE_RATIO = 2
"""A segment is merged with its older neighbour unless that has this many times its rows."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Sorted rows, the newest of each identity, with closed bounds; `size_bytes` of memory."""

    rows: Rows
    size_bytes: int
    time_low: int
    time_high: int
    west: int
    south: int
    east: int
    north: int
    code_low: int
    code_high: int

    def meets(self, scan: Scan) -> bool:
        """Whether a row of the segment may be wanted."""
        return (
            self.time_low < scan.time_stop
            and self.time_high >= scan.time_start
            and self.west <= scan.east
            and self.east >= scan.west
            and self.south <= scan.north
            and self.north >= scan.south
        )


Segments = tuple[Segment, ...]


def make_segment(rows: Rows) -> Segment:
    """A segment of rows in any order, repeated identities included."""
    rows = newest_rows(sort_rows(rows))
    return Segment(
        rows,
        rows.nbytes(),
        int(rows.time.min()),
        int(rows.time.max()),
        int(rows.lon.min()),
        int(rows.lat.min()),
        int(rows.lon.max()),
        int(rows.lat.max()),
        int(rows.code[0]),
        int(rows.code[-1]),
    )


def with_rows(segments: Segments, rows: Rows) -> Segments:
    """The segments with more rows, merged where sizes are similar."""
    kept = list(segments)
    added = [rows]
    count = len(rows)
    while kept and len(kept[-1].rows) < MERGE_RATIO * count:
        older = kept.pop().rows
        added.append(older)
        count += len(older)
    # Older rows first: it makes no difference which of equal ones is kept, but runs sort faster.
    return (*kept, make_segment(concat_rows(added[::-1])))


def all_rows(segments: Segments) -> Rows:
    """The newest version of everything in the segments, sorted."""
    return newest_rows(sort_rows(concat_rows([segment.rows for segment in segments])))


def count_rows(segments: Segments) -> int:
    """Rows of all segments; one that is in two of them counts twice."""
    return sum(len(segment.rows) for segment in segments)


def count_bytes(segments: Segments) -> int:
    """Bytes of all segments."""
    return int(np.sum([segment.size_bytes for segment in segments], dtype=np.int64))
