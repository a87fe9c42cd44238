"""Which blocks a step of a scan may need: found in the index, without reading any of them.

Most questions meet one or two slices of some ten blocks: these are tested one by one, in
Python's numbers, which costs less than twenty calls of numpy. A question over many slices is
answered by comparing columns. Both give the same blocks with the same bounds.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from node.records import Bools, Key
from node.storage.block_index import BlockIndex, Entry, Summaries
from node.storage.block_select import BlockFilter
from node.storage.engine import Scan
from node.storage.selection import above_key
from zring.digest import UInt64s

FEW_BLOCKS_MAX = 64
"""Blocks around a question's time that are tested one by one."""


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


class Candidate(NamedTuple):
    """A block that may hold wanted rows.

    Attributes:
        bound: the smallest key above `after` that it may hold; where `begun`, only a lower bound.
        begun: whether the block's first key is not above `after`.
    """

    bound: Key
    begun: bool
    entry: Entry


def candidates(request: StepRequest, index: BlockIndex) -> Iterable[Candidate]:
    """Blocks that may hold wanted rows, in order of their bounds."""
    scan = request.scan
    around = index.between(scan.time_start, scan.time_stop)
    if around.stop - around.start <= FEW_BLOCKS_MAX:
        return few_candidates(request, index.entries(scan.time_start, scan.time_stop))
    return many_candidates(request, index, around)


def few_candidates(request: StepRequest, entries: Iterable[Entry]) -> list[Candidate]:
    """One by one. Cost: some 0.3 µs a block."""
    scan, after, pad = request.scan, request.after, request.padding
    found = []
    for entry in entries:
        (
            _, _, _, code_low, code_high, time_first, hash_first, time_low, time_high,
            west, south, east, north, _, _,
        ) = entry  # fmt: skip
        if (
            time_high < scan.time_start
            or time_low >= scan.time_stop
            or code_high < request.code_low
            or code_low > request.code_high
            or west > scan.east + pad
            or east < scan.west - pad
            or south > scan.north + pad
            or north < scan.south - pad
            or (scan.spans is not None and not _spans_meet(scan.spans, code_low, code_high))
        ):
            continue
        first = Key(code_low, time_first, hash_first)
        if after is None or first > after:
            found.append(Candidate(first, False, entry))
        elif (code_high, time_high) >= after[:2]:
            found.append(Candidate(_bound_behind(after, time_low, time_high), True, entry))
    found.sort()
    return found


def _bound_behind(after: Key, time_low: int, time_high: int) -> Key:
    """No key behind `after` in a block of these times is smaller.

    The block goes on there, or at its first time when that is later, or with the next code when
    all of its times are earlier: so that blocks of other slices are not read again for each code
    and time.
    """
    if time_high < after.time:
        return Key(after.code + 1, time_low, 0)
    return after if time_low <= after.time else Key(after.code, time_low, 0)


def many_candidates(request: StepRequest, index: BlockIndex, around: slice) -> Iterator[Candidate]:
    """All at once. Cost: 50 µs and some 0.1 µs a block around the time."""
    scan, after = request.scan, request.after
    column = {name: values[around] for name, values in index.columns.items()}
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
        mask &= (column["code_high"] > after.code) | (same & (column["time_high"] >= after.time))
    found = index.summaries[mask.nonzero()[0] + around.start]
    code, time, low_hash, begun = _starts(found, after)
    for place in np.lexsort((low_hash, time, code)):
        bound = Key(int(code[place]), int(time[place]), int(low_hash[place]))
        yield Candidate(bound, bool(begun[place]), found[place].item())


def _starts(
    column: Summaries, after: Key | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], UInt64s, Bools]:
    """The smallest key > after that each block may hold, and whether that is only a bound."""
    code, time, low_hash = column["code_low"], column["time_first"], column["hash_first"]
    if after is None:
        return code, time, low_hash, np.zeros(len(code), np.bool_)
    passed = ~above_key(code, time, low_hash, after)
    # As `_bound_behind`.
    first_time = column["time_low"]
    same_code = column["time_high"] >= after.time
    same_time = same_code & (first_time <= after.time)
    code = np.where(passed, np.where(same_code, after.code, after.code + 1), code)
    time = np.where(passed, np.where(same_time, after.time, first_time), time)
    start_hash = np.where(same_time, np.uint64(after.sensor_hash), np.uint64(0))
    return code, time, np.where(passed, start_hash, low_hash), passed


def filter_of(request: StepRequest, entry: Entry) -> BlockFilter:
    """What has to be tested in this block."""
    scan, pad = request.scan, request.padding
    _, _, _, code_low, code_high, _, _, time_low, time_high, west, south, east, north, _, _ = entry
    outside_time = time_low < scan.time_start or time_high >= scan.time_stop
    outside_box = west < scan.west or east > scan.east or south < scan.south or north > scan.north
    outside_spans = scan.spans is not None and not _spans_hold(scan.spans, code_low, code_high)
    return BlockFilter(
        (scan.time_start, scan.time_stop) if outside_time else None,
        (scan.west - pad, scan.south - pad, scan.east + pad, scan.north + pad)
        if outside_box
        else None,
        scan.spans if outside_spans else None,
        request.wanted,
    )


def _meets_spans(low: Any, high: Any, spans: tuple[tuple[int, int], ...]) -> Bools:
    edges = np.array(spans, np.int64).ravel()
    first = edges.searchsorted(low, side="right")
    return np.asarray((first & 1 == 1) | (first != edges.searchsorted(high, side="right")))


def _spans_meet(spans: tuple[tuple[int, int], ...], low: int, high: int) -> bool:
    """Whether one of the codes from low to high lies in a span."""
    at = bisect_right(spans, high, key=itemgetter(0)) - 1
    return at >= 0 and low < spans[at][1]


def _spans_hold(spans: tuple[tuple[int, int], ...], low: int, high: int) -> bool:
    """Whether one span holds all codes from low to high."""
    at = bisect_right(spans, low, key=itemgetter(0)) - 1
    return at >= 0 and high < spans[at][1]
