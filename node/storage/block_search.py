"""Where a key lies in a block: rows are sorted by key, so a step reads only its part of a block.

A block that several steps meet is then decoded about once in all, whatever their number.
"""

import numpy as np

from node.records import Key
from node.storage.block_layout import Header
from node.storage.block_read import code_runs, ints_of, sensor_hashes_of
from node.storage.block_select import Data


def row_behind(data: Data, header: Header, code: int) -> int:
    """The first row with a greater code; the number of rows when there is none."""
    return _code_range(data, header, code)[1]


def key_of(data: Data, header: Header, row: int) -> Key:
    """The key of one row."""
    at = slice(row, row + 1)
    runs = code_runs(data, header)
    if runs is None:
        code = int(ints_of(data, header, "code", at)[0])
    else:
        code = int(runs[1][np.searchsorted(runs[0], row, side="right") - 1])
    time = int(ints_of(data, header, "time", at)[0])
    return Key(code, time, int(sensor_hashes_of(data, header, at)[0]))


def _code_range(data: Data, header: Header, code: int) -> tuple[int, int]:
    """First row of a code and first row behind it; equal where the block does not have it."""
    runs = code_runs(data, header)
    if runs is None:
        codes = ints_of(data, header, "code", slice(0, header.rows))
        low, high = np.searchsorted(codes, (code, code + 1))
        return int(low), int(high)
    starts, codes = runs
    low, high = np.searchsorted(codes, (code, code + 1))
    ends = (int(starts[at]) if at < len(starts) else header.rows for at in (low, high))
    return next(ends), next(ends)


def row_above(data: Data, header: Header, key: Key) -> int:
    """The first row with a key greater than this one; the number of rows when there is none."""
    start, stop = _code_range(data, header, key.code)
    if start == stop:
        return start
    times = ints_of(data, header, "time", slice(start, stop))
    low, high = np.searchsorted(times, (key.time, key.time + 1))
    if low == high:
        return start + int(low)
    hashes = sensor_hashes_of(data, header, slice(start + int(low), start + int(high)))
    passed = np.searchsorted(hashes, np.uint64(key.sensor_hash), side="right")
    return start + int(low) + int(passed)
