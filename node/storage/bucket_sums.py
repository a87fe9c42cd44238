"""Set digests of what one view of a collection holds, from as few rows as can be.

Where rows of one cell and day lie in one run only, the digest tables of their blocks are added
up. A record may be in several runs of its slice, and in the log: cells and days that two of them
share are read, as are cells that are asked for in part or finer than their table has them. Of
those rows the newest version of each record counts, like everywhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from node.records import Bools, Rows, concat_rows, newest_rows, sort_rows
from node.storage.block_index import BlockIndex
from node.storage.bucket_digests import DAY_US, BucketDigests, digests_of_rows, summed
from node.storage.digest_table import DigestTable
from node.storage.view import CollectionView
from zring.morton import CODE_BITS, Int64s
from zring.span import Spans, contains, intersect, normalise

ReadTable = Callable[[int], DigestTable]
ReadPart = Callable[[int, Spans | None, int, int], Rows]
"""Rows of a block with codes in spans (None is all) and times in a half-open range."""


@dataclass(frozen=True, slots=True)
class Question:
    """What digests are wanted; see `Engine.digests`."""

    level: int
    spans: Spans
    day_start: int
    day_stop: int
    by_day: bool

    @property
    def time_start(self) -> int:
        """Microseconds since the epoch."""
        return self.day_start * DAY_US

    @property
    def time_stop(self) -> int:
        """Microseconds since the epoch."""
        return self.day_stop * DAY_US

    def holds(self, rows: Rows) -> Bools:
        """bool[n]: rows that are asked for."""
        inside = (rows.time >= self.time_start) & (rows.time < self.time_stop)
        return inside & contains(self.spans, rows.code)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Entries of the tables of some blocks, one after another.

    Attributes:
        block: position of the entry's block among the candidates.
        level: of the entry's cell. start, stop: codes of the cell.
    """

    block: npt.NDArray[np.intp]
    level: Int64s
    start: Int64s
    stop: Int64s
    day: Int64s
    total: npt.NDArray[np.uint64]
    count: Int64s


def view_digests(
    collection: str,
    view: CollectionView,
    question: Question,
    *,
    read_table: ReadTable,
    read_part: ReadPart,
) -> BucketDigests:
    """Set digests of the newest version of every record of a view that is asked for."""
    spans = question.spans
    if not spans or question.day_start >= question.day_stop:
        return summed(*_no_parts())
    index = view.index
    places = _candidates(index, question)
    parts = _read_tables(index.columns["block"][places], read_table)
    log = _log_rows(view, question)
    edges = np.array(spans, np.int64).ravel()
    first = np.searchsorted(edges, parts.start, side="right")
    inside = (parts.day >= question.day_start) & (parts.day < question.day_stop)
    whole = (first & 1 == 1) & (edges[np.minimum(first, len(edges) - 1)] >= parts.stop)
    inside &= (first & 1 == 1) | (first != np.searchsorted(edges, parts.stop, side="left"))
    used = inside & whole & (parts.level >= question.level)
    for members, log_rows in _meetings(index, places, log):
        used[_shared(parts, index, places, members, log_rows)] = False
    cells = parts.start[used] >> (CODE_BITS - 2 * question.level)
    days = parts.day[used] if question.by_day else np.zeros(len(cells), np.int64)
    found = [(cells, days, parts.total[used], parts.count[used])]
    for rows in _pools(index, places, parts, inside & ~used, log, question, read_part):
        one = digests_of_rows(collection, rows, level=question.level, by_day=question.by_day)
        found.append((one.cells, one.days, one.totals, one.counts))
    return summed(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _no_parts() -> tuple[Any, ...]:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, int)


def _candidates(index: BlockIndex, question: Question) -> npt.NDArray[np.intp]:
    """Positions of the blocks whose bounds meet the question, in order of the index."""
    column = index.columns
    edges = np.array(question.spans, np.int64).ravel()
    first = edges.searchsorted(column["code_low"], side="right")
    meets = (first & 1 == 1) | (first != edges.searchsorted(column["code_high"], side="right"))
    meets &= column["time_high"] >= question.time_start
    return np.flatnonzero(meets & (column["time_low"] < question.time_stop))


def _read_tables(blocks: npt.NDArray[np.uint64], read_table: ReadTable) -> _Parts:
    tables = [read_table(block) for block in blocks.tolist()]
    counts = [len(table.entries) for table in tables]
    level = np.repeat(np.array([table.level for table in tables], np.int64), counts)
    joined = np.concatenate([table.entries for table in tables]) if tables else None
    if joined is None:
        none = np.empty(0, np.int64)
        return _Parts(np.empty(0, np.intp), none, none, none, none, np.empty(0, np.uint64), none)
    start = joined["cell"].astype(np.int64) << (CODE_BITS - 2 * level)
    return _Parts(
        block=np.repeat(np.arange(len(tables)), counts),
        level=level,
        start=start,
        stop=start + (np.int64(1) << (CODE_BITS - 2 * level)),
        day=joined["day"].astype(np.int64),
        total=joined["total"].astype(np.uint64),
        count=joined["count"].astype(np.int64),
    )


def _log_rows(view: CollectionView, question: Question) -> Rows:
    """What the log holds of it, in key order, newest versions only."""
    parts = [
        segment.rows.where(question.holds(segment.rows))
        for segment in (*view.active, *view.frozen)
        if segment.time_low < question.time_stop and segment.time_high >= question.time_start
    ]
    return newest_rows(sort_rows(concat_rows(parts)))


def _slice_of(index: BlockIndex, times: Int64s) -> Int64s:
    """The start of the slice that each time lies in."""
    starts = index.slice_starts()
    return starts[np.searchsorted(starts, times, side="right") - 1]


def _meetings(
    index: BlockIndex, places: npt.NDArray[np.intp], log: Rows
) -> Iterator[tuple[npt.NDArray[np.intp], Rows]]:
    """Candidates, slice by slice, that may share records with another run or the log, and that.

    Blocks of one run share nothing; neither do blocks of two whose codes or times lie apart.
    """
    if not len(places):
        return
    column = index.columns
    slices = column["slice_start"][places]
    log_slices = _slice_of(index, log.time)
    edges = np.flatnonzero(np.append(True, slices[1:] != slices[:-1])[: len(slices)])
    for low, high in zip(edges, np.append(edges[1:], len(slices)), strict=True):
        at = places[low:high]
        run = column["run"][at]
        log_rows = log.where(log_slices == slices[low]) if len(log) else log
        if (run == run[0]).all() and not len(log_rows):
            continue
        bounds = [column[name][at] for name in ("code_low", "code_high", "time_low", "time_high")]
        code_low, code_high, time_low, time_high = bounds
        overlap = (run[:, None] != run) & (code_low[:, None] <= code_high)
        overlap &= (code_high[:, None] >= code_low) & (time_low[:, None] <= time_high)
        overlap &= time_high[:, None] >= time_low
        meets = overlap.any(axis=1)
        for block in np.flatnonzero(~meets) if len(log_rows) else ():
            first = np.searchsorted(log_rows.code, code_low[block])
            last = np.searchsorted(log_rows.code, code_high[block], side="right")
            times = log_rows.time[first:last]
            meets[block] = ((times >= time_low[block]) & (times <= time_high[block])).any()
        if meets.any():
            yield low + np.flatnonzero(meets), log_rows


def _shared(
    parts: _Parts,
    index: BlockIndex,
    places: npt.NDArray[np.intp],
    members: npt.NDArray[np.intp],
    log_rows: Rows,
) -> npt.NDArray[np.intp]:
    """Entries of cells and days that more than one run, or a run and the log, have rows of."""
    low, high = np.searchsorted(parts.block, (members[0], members[-1] + 1))
    mine = low + np.flatnonzero(np.isin(parts.block[low:high], members))
    if not len(mine):
        return mine
    shift = CODE_BITS - 2 * int(parts.level[mine].min())
    run = index.columns["run"][places[parts.block[mine]]].astype(np.int64)
    cells = np.concatenate((parts.start[mine] >> shift, log_rows.code >> shift))
    days = np.concatenate((parts.day[mine], log_rows.time // DAY_US))
    runs = np.concatenate((run, np.full(len(log_rows), -1)))
    order = np.lexsort((runs, cells, days))
    cells, days, runs = cells[order], days[order], runs[order]
    first = np.append(True, (cells[1:] != cells[:-1]) | (days[1:] != days[:-1]))
    group = np.cumsum(first) - 1
    differs = np.append(False, ~first[1:] & (runs[1:] != runs[:-1]))
    is_shared = np.zeros(int(group[-1]) + 1, np.bool_)
    is_shared[group[differs]] = True
    chosen = order[is_shared[group]]
    return mine[chosen[chosen < len(mine)]]


def _pools(
    index: BlockIndex,
    places: npt.NDArray[np.intp],
    parts: _Parts,
    needed: Bools,
    log: Rows,
    question: Question,
    read_part: ReadPart,
) -> Iterator[Rows]:
    """The newest rows of the needed entries and of the log, slice by slice."""
    column = index.columns
    log_slices = _slice_of(index, log.time)
    # Entries are in order of their blocks, and those in order of slices.
    at = np.flatnonzero(needed)
    blocks, first = np.unique(parts.block[at], return_index=True)
    ends = np.append(first, len(at))
    slices = column["slice_start"][places[blocks]]
    for start in np.union1d(slices, log_slices).tolist():
        pool = [log.where(log_slices == start)]
        for number in range(*np.searchsorted(slices, (start, start + 1)).tolist()):
            entries = at[ends[number] : ends[number + 1]]
            low, high = np.searchsorted(parts.block, (blocks[number], blocks[number] + 1))
            block = int(column["block"][places[blocks[number]]])
            pool.append(_read_entries(block, parts, entries, high - low, question, read_part))
        yield newest_rows(sort_rows(concat_rows(pool)))


def _read_entries(
    block: int,
    parts: _Parts,
    entries: npt.NDArray[np.intp],
    entries_all: int,
    question: Question,
    read_part: ReadPart,
) -> Rows:
    """The rows of some entries of one block, as far as they are asked for."""
    if len(entries) == entries_all:
        rows = read_part(block, None, question.time_start, question.time_stop)
        return rows.where(question.holds(rows))
    start, stop, day = parts.start[entries], parts.stop[entries], parts.day[entries]
    cells = normalise(zip(start.tolist(), stop.tolist(), strict=True))
    days = int(day.min()) * DAY_US, (int(day.max()) + 1) * DAY_US
    rows = read_part(block, intersect(cells, question.spans), *days)
    shift = CODE_BITS - 2 * int(parts.level[entries[0]])
    row_day = rows.time // DAY_US
    low = int(day.min())
    width = int(day.max()) - low + 1
    keys = np.unique((start >> shift) * width + (day - low))
    row_keys = (rows.code >> shift) * width + (row_day - low)
    return rows.where(np.isin(row_keys, keys))
