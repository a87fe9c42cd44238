"""Blocks without some of their rows: worked out like a merge, carried out as a swap.

Blocks that keep nothing go; what is left of neighbours is put together, so that letting go of
area after area does not leave a trail of small blocks.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from node.records import Bools, Rows, concat_rows
from node.storage.block_index import SUMMARY, BlockIndex, Summaries
from node.storage.bucket_digests import DAY_US
from node.storage.bucket_set import BucketSet
from node.storage.memtable import Segment
from node.storage.merger import BlockNumbers, NewBlock, ReadBlocks, Swap, cut_rows, new_block
from node.storage.settings import EngineSettings

Positions = npt.NDArray[np.intp]
MayGo = Callable[[Rows], Bools]


def blocks_with(index: BlockIndex, wanted: BucketSet) -> Positions:
    """Positions of the blocks whose bounds meet one of the ranges and the days of all buckets."""
    column = index.columns
    first = np.searchsorted(wanted.stops, column["code_low"], side="right")
    meets = np.searchsorted(wanted.starts, column["code_high"], side="right") > first
    meets &= column["time_high"] >= wanted.day_start * DAY_US
    return np.flatnonzero(meets & (column["time_low"] < wanted.day_stop * DAY_US))


def going_places(wanted: BucketSet, rows: Rows, going: Bools) -> Positions:
    """intp[n]: the bucket of each row, -1 for rows of no bucket or of one that stays."""
    places = wanted.places_of_rows(rows)
    return np.where((places >= 0) & going[places], places, -1)


def touched_by(segments: tuple[Segment, ...], wanted: BucketSet, going: Bools) -> Bools:
    """Which of the going buckets have rows in the log."""
    touched = np.zeros(len(wanted), np.bool_)
    low, high = int(wanted.starts[0]), int(wanted.stops[-1])
    for segment in segments:
        first, last = np.searchsorted(segment.rows.code, (low, high))
        if first < last:
            rows = segment.rows.slice(int(first), int(last))
            places = going_places(wanted, rows, going)
            touched[places[places >= 0]] = True
    return touched


def without_rows(
    collection: str,
    index: BlockIndex,
    positions: Positions,
    may_go: MayGo,
    *,
    read_blocks: ReadBlocks,
    numbers: BlockNumbers,
    settings: EngineSettings,
) -> Swap:
    """What replaces some blocks when the rows for which `may_go` is true are left out.

    Args:
        positions: rising; the blocks to be looked at. Those that keep all rows stay as they are.
    """
    added: list[NewBlock] = []
    summaries: list[Summaries] = []
    removed: list[int] = []
    for group in _neighbours(index, positions):
        kept: list[Rows] = []
        for position in group.tolist():
            block = int(index.columns["block"][position])
            (rows,) = read_blocks([block])
            mask = may_go(rows)
            if mask.any():
                removed.append(block)
                kept.append(rows.where(~mask))
        rest = concat_rows(kept)
        summary = index.summaries[group[0]]
        for part in cut_rows(rest, settings) if len(rest) else ():
            run, start = int(summary["run"]), int(summary["slice_start"])
            made, made_summary = new_block(
                collection, part, run=run, slice_start=start, numbers=numbers, settings=settings
            )
            added.append(made)
            summaries.append(made_summary)
    joined = np.concatenate(summaries) if summaries else np.empty(0, SUMMARY)
    rows_left = int(joined["rows"].sum(dtype=np.int64))
    return Swap(added, joined, np.array(removed, np.uint64), rows_left, 0)


def _neighbours(index: BlockIndex, positions: Positions) -> Iterator[Positions]:
    """Positions side by side in one run: what is left of them may lie in one block."""
    if not len(positions):
        return
    column = index.columns
    run, start = column["run"][positions], column["slice_start"][positions]
    broken = (np.diff(positions) != 1) | (run[1:] != run[:-1]) | (start[1:] != start[:-1])
    edges = np.concatenate(([0], np.flatnonzero(broken) + 1, [len(positions)]))
    for low, high in itertools.pairwise(edges.tolist()):
        yield positions[low:high]
