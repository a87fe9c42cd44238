"""One bounded step of a scan: candidate blocks in order of key, the log in memory, one answer.

A step reads the candidates with the smallest keys. Everything below the first key of the first
candidate that was not read (the safe key) is then complete and returned; the next step begins
there. Steps keep nothing between them, so merges and writes may happen in the meantime: a record
is found by its key, wherever it lies by then.
"""

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from node.records import Bools, Key, Rows, concat_rows, empty_rows, join_sorted, newest_rows
from node.storage.block_cache import BlockCache
from node.storage.block_index import BlockIndex, Entry
from node.storage.block_read import read_rows
from node.storage.block_search import key_of, row_above, row_behind
from node.storage.candidates import Candidate, StepRequest, candidates, filter_of
from node.storage.engine import Scan, Step
from node.storage.memtable import Segment
from node.storage.selection import (
    above_key,
    matching,
    select_columns,
    sensor_hashes,
    without_sensor_names,
)
from node.storage.settings import EngineSettings
from node.storage.view import CollectionView
from zring.digest import UInt64s

HASH_MAX = (1 << 64) - 1
MEMORY_AGE = 1 << 62
"""Above the number of any run: rows in memory came later than those in blocks."""


@dataclass(slots=True)
class _Found:
    """Rows of a step while they are gathered."""

    parts: list[Rows]
    memory_rows: int
    safe: Key | None
    rows_read: int
    blocks_read: int
    ages: list[int] = field(default_factory=list)
    """Of each part: the run of its block; of memory, more than that. What came later is in greater
    ones (`node.storage.merger`)."""
    runs: set[tuple[int, int]] = field(default_factory=set)
    """Slice and run of every block that rows came from."""

    @property
    def may_repeat(self) -> bool:
        """Whether a record may have come twice: a slice has it once in each run."""
        if len(self.parts) < 2:
            return False
        return self.memory_rows > 0 or len({start for start, _ in self.runs}) < len(self.runs)


def run_step(
    request: StepRequest,
    view: CollectionView,
    cache: BlockCache,
    txn: Any,
    settings: EngineSettings,
) -> Step:
    """Do one step over one view of a collection.

    Raises:
        BlockMissing: the view is older than the transaction; take the newer one.
    """
    scan = request.scan
    found = _gather(request, view, cache, txn, settings)
    rows, repeated = _newest_of(found, ordered=scan.ordered)
    if repeated and scan.columns is not None:
        # Versions are settled by all values, not only by those that were asked for.
        whole = replace(request, scan=replace(scan, columns=None, metadata=None))
        found = _gather(whole, view, cache, txn, settings)
        rows, _ = _newest_of(found, ordered=scan.ordered)
        rows = select_columns(rows, scan.columns, scan.metadata)
    if request.padding:
        rows = rows.where(_inside_box(scan, rows))
    if rows.deleted.any() and not scan.deletions:
        rows = rows.where(~rows.deleted)
    resume = None if found.safe is None else key_below(found.safe)
    return Step(rows, resume, rows_read=found.rows_read, blocks_read=found.blocks_read)


def _newest_of(found: _Found, *, ordered: bool) -> tuple[Rows, bool]:
    """Rows below the safe key, newest versions only; whether any was repeated.

    A single part, block or segment, is in key order as it is.
    """
    if len(found.parts) == 1 and found.safe is None:
        return found.parts[0], False
    in_order = ordered or found.may_repeat
    if found.may_repeat:
        # Of equal versions the one that was stored first is kept.
        found.parts = [found.parts[at] for at in np.argsort(found.ages)]
    rows = join_sorted(found.parts) if in_order else concat_rows(found.parts)
    if found.safe is not None and len(rows):
        below = key_below(found.safe)
        rows = rows.where(~above_key(rows.code, rows.time, rows.sensor_hash, below))
    if not found.may_repeat:
        return rows, False
    newest = newest_rows(rows)
    return newest, len(newest) < len(rows)


def _inside_box(scan: Scan, rows: Rows) -> Bools:
    return (
        (rows.lon >= scan.west)
        & (rows.lon <= scan.east)
        & (rows.lat >= scan.south)
        & (rows.lat <= scan.north)
    )


def _gather(
    request: StepRequest,
    view: CollectionView,
    cache: BlockCache,
    txn: Any,
    settings: EngineSettings,
) -> _Found:
    found = _Found([], 0, None, 0, 0)
    _gather_blocks(request, view.index, cache, txn, settings, found)
    for segment in (*view.frozen, *view.active):
        if segment.meets(request.scan):
            _gather_segment(request, segment, settings, found)
    return found


def _gather_blocks(
    request: StepRequest,
    index: BlockIndex,
    cache: BlockCache,
    txn: Any,
    settings: EngineSettings,
    found: _Found,
) -> None:
    """Read candidates in order of the first key that each adds; set the safe key.

    Blocks that reach beyond the end of one step are met again by the next ones, so of each block
    only the rows of the step's own range are read, and no more than are wanted in all.
    """
    found_blocks = candidates(request, index)
    order, safe = _order(found_blocks, request.after, cache, txn, settings.step_blocks_max)
    taken_max = None if request.rows_max is None else request.rows_max + 1
    for start in order:
        if safe is not None and start.key >= safe:
            break
        if found.rows_read >= settings.step_rows_max and start.key > order[0].key:
            safe = start.key
            break
        block, run, slice_start = start.entry[:3]
        data, header = cache.read(txn, block)
        stop = header.rows if safe is None else row_behind(data, header, safe.code)
        rows = read_rows(
            data,
            header,
            where=filter_of(request, start.entry),
            within=slice(start.row, stop),
            rows_max=taken_max,
            columns=request.scan.columns,
            metadata=request.scan.metadata,
            sensor_names=request.scan.sensor_names,
            name=f"block {block}",
        )
        found.rows_read += stop - start.row
        found.blocks_read += 1
        if rows is None:
            continue
        found.parts.append(rows)
        found.ages.append(run)
        found.runs.add((slice_start, run))
        if len(rows) == taken_max and (safe is None or rows.key(-1) < safe):
            # The block may have more: everything below its last row taken is certain.
            safe = rows.key(-1)
    found.safe = safe


class _Start(NamedTuple):
    """Where a block goes on: its first key above `after`, its place among the candidates, the row
    of that key, and its summary."""

    key: Key
    place: int
    row: int
    entry: Entry


def _order(
    found: Iterable[Candidate], after: Key | None, cache: BlockCache, txn: Any, blocks_max: int
) -> tuple[list[_Start], Key | None]:
    """The blocks of one step, sorted by start, and the start of the first one left out.

    Of a block that began before `after`, the index knows only a bound of its next key. It is
    looked up in the block, but only until enough blocks come before all bounds that are left.
    """
    order: list[_Start] = []
    for place, (bound, begun, entry) in enumerate(found):
        if len(order) > blocks_max and order[0].key < order[blocks_max].key <= bound:
            break
        if after is None or not begun:
            insort(order, _Start(bound, place, 0, entry))
            continue
        data, header = cache.read(txn, entry[0])
        row = row_above(data, header, after)
        if row < header.rows:
            insort(order, _Start(key_of(data, header, row), place, row, entry))
    count = blocks_max
    while count < len(order) and order[count].key == order[0].key:
        count += 1  # the same record in very many runs: they are settled together
    return order[:count], order[count].key if count < len(order) else None


def _gather_segment(
    request: StepRequest,
    segment: Segment,
    settings: EngineSettings,
    found: _Found,
) -> None:
    """Add a memory segment's rows below the safe key, and lower that when there are too many."""
    rows, scan = segment.rows, request.scan
    low_code, high_code = request.code_low, request.code_high
    if request.after is not None:
        low_code = max(low_code, request.after.code)
    if found.safe is not None:
        high_code = min(high_code, found.safe.code)
    start, stop = rows.code.searchsorted((low_code, high_code + 1))
    part = select_columns(rows.slice(int(start), int(stop)), scan.columns, scan.metadata)
    if not len(part):
        return
    if not scan.sensor_names:
        part = without_sensor_names(part)
    found.rows_read += len(part)
    mask = matching(_padded(scan, request.padding), part, request.wanted, request.after)
    at = mask.nonzero()[0]
    if len(at) > settings.step_rows_max:
        at = at[: settings.step_rows_max + 1]
        last = part.key(int(at[-1]))
        if found.safe is None or last < found.safe:
            found.safe = last
    if len(at):
        found.parts.append(part.take(at))
        found.ages.append(MEMORY_AGE + len(found.parts))
        found.memory_rows += len(at)


def _padded(scan: Scan, padding: int) -> Scan:
    if not padding:
        return scan
    return Scan(
        scan.collection,
        scan.time_start,
        scan.time_stop,
        scan.west - padding,
        scan.south - padding,
        scan.east + padding,
        scan.north + padding,
        scan.spans,
        scan.sensors,
        scan.columns,
    )


def key_below(key: Key) -> Key:
    """The greatest key that is smaller."""
    if key.sensor_hash:
        return Key(key.code, key.time, key.sensor_hash - 1)
    return Key(key.code, key.time - 1, HASH_MAX)


def nothing() -> Step:
    """The step over a collection that does not exist."""
    return Step(empty_rows(), None)


def wanted_sensors(scan: Scan) -> UInt64s | None:
    """Hashes of the wanted sensors, sorted."""
    return sensor_hashes(scan)
