"""The log in memory: sorted segments, few of them, each with bounds that let a scan skip it.

Segments of similar size are merged up to a limit, so that n rows lie in about log2(limit) +
n / limit segments and each row is moved about log2(limit) times before it goes into blocks.
"""

from collections.abc import Iterable, Iterator
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


def with_rows(segments: Segments, rows: Rows, *, rows_max: int) -> Segments:
    """The segments with more rows, merged where sizes are similar and up to `rows_max`."""
    kept = list(segments)
    added = [rows]
    count = len(rows)
    while kept and len(kept[-1].rows) < min(MERGE_RATIO * count, rows_max - count + 1):
        older = kept.pop().rows
        added.append(older)
        count += len(older)
    # Older rows first: of equal versions the one that was stored first is kept.
    return (*kept, make_segment(concat_rows(added[::-1])))


def segments_of(parts: Iterable[Rows], *, rows_max: int) -> Segments:
    """Segments of many parts, each of about `rows_max` rows."""
    made: list[Segment] = []
    gathered: list[Rows] = []
    count = 0
    for rows in parts:
        if gathered and count + len(rows) > rows_max:
            made.append(make_segment(concat_rows(gathered)))
            gathered, count = [], 0
        gathered.append(rows)
        count += len(rows)
    return (*made, make_segment(concat_rows(gathered))) if gathered else tuple(made)


def pieces_of(
    segments: Segments, *, rows_max: int, bytes_max: int
) -> Iterator[tuple[int | None, Rows]]:
    """The newest version of everything in the segments, sorted, in pieces that follow in time.

    Yields (time up to which everything has been given, None after the last piece; rows). A piece
    is larger than asked only where so many rows have one time, or rows differ widely in bytes.
    """
    count, size_bytes = count_rows(segments), count_bytes(segments)
    pieces = min(max(-(-count // rows_max), -(-size_bytes // bytes_max)), count)
    edges: list[int] = []
    if pieces > 1:
        times = np.concatenate([segment.rows.time for segment in segments])
        places = [count * number // pieces for number in range(1, pieces)]
        edges = np.unique(np.partition(times, places)[places]).tolist()
    low = min(segment.time_low for segment in segments)
    for high in [*(edge for edge in edges if edge > low), None]:
        parts = [_between(segment, low, high) for segment in segments]
        yield high, newest_rows(sort_rows(concat_rows(parts)))
        if high is not None:
            low = high
            segments = above(segments, low)


def above(segments: Segments, low: int) -> Segments:
    """The segments that have rows with time >= low."""
    return tuple(segment for segment in segments if segment.time_high >= low)


def _between(segment: Segment, low: int, high: int | None) -> Rows:
    """The segment's rows with low <= time < high."""
    if segment.time_low >= low and (high is None or segment.time_high < high):
        return segment.rows
    time = segment.rows.time
    return segment.rows.where((time >= low) if high is None else (time >= low) & (time < high))


def count_rows(segments: Segments) -> int:
    """Rows of all segments; one that is in two of them counts twice."""
    return sum(len(segment.rows) for segment in segments)


def count_bytes(segments: Segments) -> int:
    """Bytes of all segments."""
    return int(np.sum([segment.size_bytes for segment in segments], dtype=np.int64))
