"""Merging: the log in memory becomes blocks, slice by slice, outside any write transaction.

Time is cut into slices (half-open, covering everything, split when they grow), and a slice holds
runs of blocks sorted by key. New rows of a slice absorb its runs from the smallest up, as long as
a run has at most `run_growth` times the rows gathered so far; a slice that has to be split
absorbs all of them. So a slice has few runs (each more than twice all smaller ones) and a row is
rewritten a bounded number of times.

A large log is merged in pieces that follow in time, each with the slices as the piece before has
left them: memory, and the time between two swaps, are those of a piece.

Order of steps: new blocks and index are committed and shown; then the replaced blocks are
deleted (a reader that still held the old index takes the new one when a block is gone); when all
rows of the log are in blocks, their entries are deleted and memory is dropped. Until then they
are in both, and identities remove doubles.

Source: size-tiered compaction as in Cassandra, inside leaves split as in a B+ tree.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from node.records import Rows, concat_rows, content_hashes, newest_rows, sort_rows
from node.storage.block_encode import encode_block
from node.storage.block_index import SUMMARY, BlockIndex, Summaries, summarise
from node.storage.digest_table import make_table, table_to_bytes
from node.storage.settings import EngineSettings

ReadBlocks = Callable[[list[int]], list[Rows]]


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A block to be put: its number, its bytes, the bytes of its digest table."""

    block: int
    data: bytes
    table: bytes

    @property
    def size_bytes(self) -> int:
        """Bytes to be put."""
        return len(self.data) + len(self.table)


@dataclass(frozen=True, slots=True)
class Swap:
    """Blocks that take the place of others, with the same rows or fewer.

    Attributes:
        added: new blocks. summaries: SUMMARY[len(added)].
        removed: ids of the blocks whose rows are in the new ones.
        rows: rows in the new blocks. conflicts: equal versions with different content met.
    """

    added: list[NewBlock]
    summaries: Summaries
    removed: npt.NDArray[np.uint64]
    rows: int
    conflicts: int


NO_SWAP = Swap([], np.empty(0, SUMMARY), np.empty(0, np.uint64), 0, 0)


@dataclass(slots=True)
class BlockNumbers:
    """Numbers for blocks and runs, never used twice in one store."""

    next: int

    def take(self) -> int:
        """The next number."""
        number = self.next
        self.next += 1
        return number


def slices_of(rows: Rows, index: BlockIndex) -> Iterator[tuple[int, Rows]]:
    """(slice start, its rows in key order) for the slices in which sorted rows lie."""
    starts = index.slice_starts()
    at = np.searchsorted(starts, rows.time, side="right") - 1
    if (at == at[0]).all():
        yield int(starts[at[0]]), rows
        return
    order = np.argsort(at, kind="stable")
    edges = np.flatnonzero(np.diff(at[order], prepend=-1, append=len(starts)))
    for low, high in itertools.pairwise(edges):
        yield int(starts[at[order[low]]]), rows.take(order[low:high])


def merge_slice(
    collection: str,
    rows: Rows,
    slice_start: int,
    index: BlockIndex,
    *,
    read_blocks: ReadBlocks,
    numbers: BlockNumbers,
    settings: EngineSettings,
) -> Swap:
    """Work out the new blocks of one slice.

    Args:
        rows: sorted new rows of the slice; none to join its runs.
        index: of the collection; only this merger changes it.
    """
    column = index.columns
    mine = np.flatnonzero(column["slice_start"] == slice_start)
    size_bytes = int(column["bytes"][mine].sum(dtype=np.int64)) + rows.nbytes()
    if size_bytes > settings.slice_bytes or not len(rows):
        absorbed = mine
    else:
        absorbed = _absorbed(column, mine, len(rows), settings)
    # Runs are numbered as they are made, and smaller ones are absorbed first: what lies in a
    # greater run came later. Of equal versions the one that was stored first is kept.
    absorbed = absorbed[np.argsort(column["run"][absorbed], kind="stable")]
    blocks = column["block"][absorbed]
    conflicts = 0
    if len(blocks):
        parts = read_blocks([int(block) for block in blocks])
        together = sort_rows(concat_rows([*parts, rows]))
        rows = newest_rows(together)
        conflicts = count_conflicts(together) if len(rows) < len(together) else 0
    added: list[NewBlock] = []
    summaries = []
    for start, part in split_rows(rows, slice_start, settings):
        run = numbers.take()
        for block_rows in cut_rows(part, settings):
            made, summary = new_block(
                collection,
                block_rows,
                run=run,
                slice_start=start,
                numbers=numbers,
                settings=settings,
            )
            added.append(made)
            summaries.append(summary)
    settings.on_step("merge-encoded")
    joined = np.concatenate(summaries) if summaries else np.empty(0, SUMMARY)
    return Swap(added, joined, blocks, len(rows), conflicts)


def slice_to_join(index: BlockIndex, settings: EngineSettings) -> int | None:
    """The start of a slice whose runs are worth joining; None when there is none."""
    column = index.columns
    if not len(index):
        return None
    order = np.lexsort((column["run"], column["slice_start"]))
    slices, runs = column["slice_start"][order], column["run"][order]
    rows = column["rows"][order].astype(np.int64)
    new_slice = np.append(True, slices[1:] != slices[:-1])
    new_run = new_slice | np.append(True, runs[1:] != runs[:-1])
    run_rows = np.add.reduceat(rows, np.flatnonzero(new_run))
    of_run = np.flatnonzero(new_slice[new_run])
    count = np.diff(np.append(of_run, len(run_rows)))
    total = np.add.reduceat(run_rows, of_run)
    beside = total - np.maximum.reduceat(run_rows, of_run)
    worth = (count > settings.runs_max) | (beside * settings.idle_join_share >= total)
    found = np.flatnonzero((count > 1) & worth)
    return int(slices[new_slice][found[0]]) if len(found) else None


def new_block(
    collection: str,
    rows: Rows,
    *,
    run: int,
    slice_start: int,
    numbers: BlockNumbers,
    settings: EngineSettings,
) -> tuple[NewBlock, Summaries]:
    """A block of sorted rows with its digest table, and its SUMMARY[1]."""
    data = encode_block(rows)
    block = numbers.take()
    table = table_to_bytes(make_table(collection, rows, grain_level=settings.grain_level))
    summary = summarise(rows, block=block, run=run, slice_start=slice_start, size_bytes=len(data))
    return NewBlock(block, data, table), summary


def _absorbed(
    column: dict[str, npt.NDArray[Any]],
    mine: npt.NDArray[np.intp],
    count: int,
    settings: EngineSettings,
) -> npt.NDArray[np.intp]:
    """Which of the slice's blocks are rewritten together with `count` new rows."""
    if not len(mine):
        return mine
    block_rows = column["rows"][mine].astype(np.int64)
    runs, of_run = np.unique(column["run"][mine], return_inverse=True)
    run_rows = np.bincount(of_run, weights=block_rows, minlength=len(runs)).astype(np.int64)
    if int(run_rows.sum()) + count > settings.slice_rows_max:
        return mine
    taken = []
    for run in np.argsort(run_rows, kind="stable"):
        if run_rows[run] > settings.run_growth * count:
            break
        count += int(run_rows[run])
        taken.append(run)
    return mine[np.isin(of_run, taken)]


def count_conflicts(rows: Rows) -> int:
    """Neighbours in sorted rows with one identity and version but different contents."""
    same = np.flatnonzero(
        (rows.code[1:] == rows.code[:-1])
        & (rows.time[1:] == rows.time[:-1])
        & (rows.sensor_hash[1:] == rows.sensor_hash[:-1])
        & (rows.version[1:] == rows.version[:-1])
    )
    if not len(same):
        return 0
    return int((content_hashes(rows.take(same)) != content_hashes(rows.take(same + 1))).sum())


def split_rows(
    rows: Rows, slice_start: int, settings: EngineSettings
) -> Iterator[tuple[int, Rows]]:
    """(slice start, rows): one slice, or several of about equal rows when there are too many."""
    size_bytes = rows.nbytes()
    if len(rows) <= settings.slice_rows_max and size_bytes <= settings.slice_bytes:
        yield slice_start, rows
        return
    count = max(-(-len(rows) // settings.slice_rows), -(-2 * size_bytes // settings.slice_bytes))
    count = min(count, len(rows))
    places = [len(rows) * i // count for i in range(1, count)]
    edges = np.unique(np.partition(rows.time, places)[places])
    edges = edges[edges > rows.time.min()]
    at = np.searchsorted(edges, rows.time, side="right")
    starts = [slice_start, *(int(edge) for edge in edges)]
    for number, start in enumerate(starts):
        yield start, rows.take(np.flatnonzero(at == number))


def cut_rows(rows: Rows, settings: EngineSettings) -> Iterator[Rows]:
    """Blocks' worth of rows: of about equal count, each within the limits of rows and bytes.

    Cuts move to the nearest change of position, so that a station's rows lie in one block; the
    room for that is why blocks are planned smaller than they may be.
    """
    planned = max(settings.block_rows_max * 3 // 4, 1)
    count = -(-len(rows) // planned)
    if len(rows) <= settings.block_rows_max:
        count = 1
    window = settings.block_rows_max // 8
    changes = np.flatnonzero(rows.code[1:] != rows.code[:-1]) + 1
    edges = [0]
    for number in range(1, count):
        ideal = len(rows) * number // count
        edges.append(_nearest(changes, ideal, window))
    for start, stop in itertools.pairwise([*edges, len(rows)]):
        if start < stop:
            yield from _halved(rows.slice(start, stop), settings.block_bytes_max)


def _nearest(changes: npt.NDArray[np.intp], ideal: int, window: int) -> int:
    """The change nearest to `ideal`, when it is less than `window` rows away."""
    at = int(np.searchsorted(changes, ideal))
    near = [int(change) for change in changes[max(at - 1, 0) : at + 1]]
    best = min(near, key=lambda change: abs(change - ideal), default=ideal)
    return best if abs(best - ideal) < window else ideal


def _halved(rows: Rows, bytes_max: int) -> Iterator[Rows]:
    if rows.nbytes() <= bytes_max or len(rows) == 1:
        yield rows
        return
    middle = len(rows) // 2
    yield from _halved(rows.slice(0, middle), bytes_max)
    yield from _halved(rows.slice(middle, len(rows)), bytes_max)
