"""One bounded step of a scan: candidate blocks in order of key, the log in memory, one answer.

A step reads the candidates with the smallest keys. Everything below the first key of the first
candidate that was not read (the safe key) is then complete and returned; the next step begins
there. Steps keep nothing between them, so merges and writes may happen in the meantime: a record
is found by its key, wherever it lies by then.
"""

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from node.records import Bools, Key, Rows, concat_rows, empty_rows, newest_rows, sort_rows
from node.storage.block_cache import BlockCache
from node.storage.block_index import BlockIndex, Summaries
from node.storage.block_read import BlockFilter, read_rows
from node.storage.block_search import key_of, row_above, row_behind
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


@dataclass(frozen=True, slots=True)
class StepRequest:
    """What one step is asked: the scan, where to go on, and what was worked out once.

    Attributes:
        wanted: hashes of the wanted sensors; None is all.
        code_low, code_high: closed bounds of the codes that can be meant.
        padding: e7 units by which boxes are widened before the newest version is chosen.
    """

    scan: Scan
    after: Key | None
    rows_max: int | None
    wanted: UInt64s | None
    code_low: int
    code_high: int
    padding: int


@dataclass(slots=True)
class _Found:
    """Rows of a step while they are gathered."""

    parts: list[Rows]
    memory_rows: int
    safe: Key | None
    rows_read: int
    blocks_read: int
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
    found = _gather(request, view, cache, txn, settings, scan.columns)
    rows, repeated = _newest_of(found, ordered=scan.ordered)
    if repeated and scan.columns is not None:
        # Versions are settled by all values, not only by those that were asked for.
        found = _gather(request, view, cache, txn, settings, None)
        rows, _ = _newest_of(found, ordered=scan.ordered)
        rows = select_columns(rows, scan.columns)
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
    rows = concat_rows(found.parts)
    if len(found.parts) > 1 and (ordered or found.may_repeat):
        rows = sort_rows(rows)
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
    columns: tuple[str, ...] | None,
) -> _Found:
    found = _Found([], 0, None, 0, 0)
    _gather_blocks(request, view.index, cache, txn, settings, columns, found)
    for segment in (*view.active, *view.frozen):
        if segment.meets(request.scan):
            _gather_segment(request, segment, settings, columns, found)
    return found


def _gather_blocks(
    request: StepRequest,
    index: BlockIndex,
    cache: BlockCache,
    txn: Any,
    settings: EngineSettings,
    columns: tuple[str, ...] | None,
    found: _Found,
) -> None:
    """Read candidates in order of the first key that each adds; set the safe key.

    Blocks that reach beyond the end of one step are met again by the next ones, so of each block
    only the rows of the step's own range are read, and no more than are wanted in all.
    """
    candidates = _Candidates.of(request, index)
    order, safe = _order(candidates, cache, txn, settings.step_blocks_max)
    taken_max = None if request.rows_max is None else request.rows_max + 1
    for start in order:
        if safe is not None and start.key >= safe:
            break
        if found.rows_read >= settings.step_rows_max and start.key > order[0].key:
            safe = start.key
            break
        block = candidates.block(start.place)
        where, run = candidates.filter(start.place)
        data, header = cache.read(txn, block)
        stop = header.rows if safe is None else row_behind(data, header, safe.code)
        rows = read_rows(
            data,
            header,
            where=where,
            within=slice(start.row, stop),
            rows_max=taken_max,
            columns=columns,
            sensor_names=request.scan.sensor_names,
            name=f"block {block}",
        )
        found.rows_read += stop - start.row
        found.blocks_read += 1
        if rows is None:
            continue
        found.parts.append(rows)
        found.runs.add(run)
        if len(rows) == taken_max and (safe is None or rows.key(-1) < safe):
            # The block may have more: everything below its last row taken is certain.
            safe = rows.key(-1)
    found.safe = safe


class _Start(NamedTuple):
    """Where a block goes on: its first key above `after`, its place, the row of that key."""

    key: Key
    place: int
    row: int


def _order(
    candidates: "_Candidates", cache: BlockCache, txn: Any, blocks_max: int
) -> tuple[list[_Start], Key | None]:
    """The blocks of one step, sorted by start, and the start of the first one left out.

    Of a block that began before `after`, the index knows only a bound of its next key. It is
    looked up in the block, but only until enough blocks come before all bounds that are left.
    """
    after = candidates.request.after
    order: list[_Start] = []
    for place in range(len(candidates)):
        bound = candidates.start_key(place)
        if len(order) > blocks_max and order[0].key < order[blocks_max].key <= bound:
            break
        if after is None or not candidates.begun[place]:
            insort(order, _Start(bound, place, 0))
            continue
        data, header = cache.read(txn, candidates.block(place))
        row = row_above(data, header, after)
        if row < header.rows:
            insort(order, _Start(key_of(data, header, row), place, row))
    count = blocks_max
    while count < len(order) and order[count].key == order[0].key:
        count += 1  # the same record in very many runs: they are settled together
    return order[:count], order[count].key if count < len(order) else None


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Blocks that may hold wanted rows, in order of the smallest wanted key of each.

    Attributes:
        code, time, hash: that key; where `begun`, only a lower bound of it.
        begun: bool[n] whether the block's first key is not above `after`.
    """

    request: StepRequest
    summaries: Summaries
    code: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]
    hash: UInt64s
    begun: Bools

    def __len__(self) -> int:
        return len(self.summaries)

    @classmethod
    def of(cls, request: StepRequest, index: BlockIndex) -> "_Candidates":
        scan, after = request.scan, request.after
        around = index.between(scan.time_start, scan.time_stop)
        column = _Around(index.columns, around)
        pad = request.padding
        mask = (
            (column["time_high"] >= scan.time_start)
            & (column["time_low"] < scan.time_stop)
            & (column["west"] <= scan.east + pad)
            & (column["east"] >= scan.west - pad)
            & (column["south"] <= scan.north + pad)
            & (column["north"] >= scan.south - pad)
            & (column["code_high"] >= request.code_low)
            & (column["code_low"] <= request.code_high)
        )
        if scan.spans is not None:
            mask &= _meets_spans(column["code_low"], column["code_high"], scan.spans)
        if after is not None:
            same = column["code_high"] == after.code
            mask &= (column["code_high"] > after.code) | (
                same & (column["time_high"] >= after.time)
            )
        found = index.summaries[mask.nonzero()[0] + around.start]
        code, time, low_hash, begun = _starts(found, after)
        if len(found) > 1:
            order = np.lexsort((low_hash, time, code))
            found, begun = found[order], begun[order]
            code, time, low_hash = code[order], time[order], low_hash[order]
        return cls(request, found, code, time, low_hash, begun)

    def start_key(self, place: int) -> Key:
        """No wanted key of this block or a later one is smaller."""
        return Key(int(self.code[place]), int(self.time[place]), int(self.hash[place]))

    def block(self, place: int) -> int:
        """The block's id."""
        return int(self.summaries["block"][place])

    def filter(self, place: int) -> tuple[BlockFilter, tuple[int, int]]:
        """What has to be tested in this block; start of its slice, and its run.

        One block at a time and with Python's numbers: of most steps there are one or two.
        """
        scan, pad = self.request.scan, self.request.padding
        (
            _, run, slice_start, code_low, code_high, _, _, time_low, time_high,
            west, south, east, north, _, _,
        ) = self.summaries[place].item()  # fmt: skip
        outside_time = time_low < scan.time_start or time_high >= scan.time_stop
        outside_box = (
            west < scan.west or east > scan.east or south < scan.south or north > scan.north
        )
        outside_spans = scan.spans is not None and not _spans_hold(scan.spans, code_low, code_high)
        where = BlockFilter(
            time=(scan.time_start, scan.time_stop) if outside_time else None,
            box=(scan.west - pad, scan.south - pad, scan.east + pad, scan.north + pad)
            if outside_box
            else None,
            spans=scan.spans if outside_spans else None,
            sensors=self.request.wanted,
        )
        return where, (slice_start, run)


class _Around:
    """Columns of an index cut to the blocks of a time range, when they are asked for."""

    def __init__(self, columns: dict[str, npt.NDArray[Any]], around: slice) -> None:
        self._columns = columns
        self._around = around

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name][self._around]


def _starts(
    column: Summaries, after: Key | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], UInt64s, Bools]:
    """The smallest key > after that each block may hold, and whether that is only a bound."""
    code, time, low_hash = column["code_low"], column["time_first"], column["hash_first"]
    if after is None:
        return code, time, low_hash, np.zeros(len(code), np.bool_)
    passed = ~above_key(code, time, low_hash, after)
    # A block that has passed `after` goes on there, or at its first time when that is later, or
    # with the next code when all of its times are earlier: so that blocks of other slices are
    # not read again for each code and time.
    first_time = column["time_low"]
    same_code = column["time_high"] >= after.time
    same_time = same_code & (first_time <= after.time)
    code = np.where(passed, np.where(same_code, after.code, after.code + 1), code)
    time = np.where(passed, np.where(same_time, after.time, first_time), time)
    start_hash = np.where(same_time, np.uint64(after.sensor_hash), np.uint64(0))
    return code, time, np.where(passed, start_hash, low_hash), passed


def _meets_spans(low: Any, high: Any, spans: tuple[tuple[int, int], ...]) -> Bools:
    edges = np.array(spans, np.int64).ravel()
    first = edges.searchsorted(low, side="right")
    return np.asarray((first & 1 == 1) | (first != edges.searchsorted(high, side="right")))


def _spans_hold(spans: tuple[tuple[int, int], ...], low: int, high: int) -> bool:
    """Whether one span holds all codes from low to high."""
    at = bisect_right(spans, low, key=itemgetter(0)) - 1
    return at >= 0 and high < spans[at][1]


def _gather_segment(
    request: StepRequest,
    segment: Segment,
    settings: EngineSettings,
    columns: tuple[str, ...] | None,
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
    part = select_columns(rows.slice(int(start), int(stop)), columns)
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
