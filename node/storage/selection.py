"""Which rows a scan asks for: the exact test on rows in columns.

Blocks are filtered on their encoded form (`node.storage.block_read`); this is what is done with
rows that are not encoded: the log in memory, and everything in the in-memory engine.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from node.metadata import chosen_values
from node.records import Bools, Key, Rows
from node.storage.engine import Scan
from zring.digest import UInt64s, hash_text
from zring.morton import Int64s

Spans = tuple[tuple[int, int], ...]


def sensor_hashes(scan: Scan) -> UInt64s | None:
    """The hashes of the wanted sensors, sorted; None when all are wanted."""
    if scan.sensors is None:
        return None
    hashes = sorted(hash_text(name) for name in scan.sensors)
    return np.array(hashes, np.uint64)


def above_key(code: Int64s, time: Int64s, sensor_hash: UInt64s, key: Key) -> Bools:
    """Which keys are greater than `key`."""
    same_code = code == key.code
    same_time = same_code & (time == key.time)
    return (
        (code > key.code)
        | (same_code & (time > key.time))
        | (same_time & (sensor_hash > np.uint64(key.sensor_hash)))
    )


def inside_spans(code: Int64s, spans: Spans) -> Bools:
    """Which codes lie in one of the sorted, disjoint, half-open intervals."""
    if not spans:
        return np.zeros(len(code), np.bool_)
    if len(spans) == 1:
        start, stop = spans[0]
        return (code >= start) & (code < stop)
    edges = np.array(spans, np.int64).ravel()
    inside: npt.NDArray[np.intp] = np.searchsorted(edges, code, side="right") & 1
    # Touching spans share an edge, which counts twice and comes out even: still inside.
    return inside.astype(np.bool_)


def matching(scan: Scan, rows: Rows, wanted: UInt64s | None, after: Key | None) -> Bools:
    """bool[n]: rows that the scan asks for, deletions included.

    Args:
        wanted: `sensor_hashes(scan)`.
        after: only keys greater than this one.
    """
    mask = (rows.time >= scan.time_start) & (rows.time < scan.time_stop)
    mask &= (rows.lon >= scan.west) & (rows.lon <= scan.east)
    mask &= (rows.lat >= scan.south) & (rows.lat <= scan.north)
    if scan.spans is not None:
        mask &= inside_spans(rows.code, scan.spans)
    if wanted is not None:
        mask &= np.isin(rows.sensor_hash, wanted)
    if after is not None:
        mask &= above_key(rows.code, rows.time, rows.sensor_hash, after)
    return mask


def without_sensor_names(rows: Rows) -> Rows:
    """The same rows with empty texts for the sensors' names; their hashes stay."""
    return replace(rows, sensor=empty_texts(len(rows)))


def empty_texts(count: int) -> pa.StringArray:
    """Empty texts, at the cost of clearing four bytes for each."""
    offsets = pa.py_buffer(np.zeros(count + 1, np.int32))
    return pa.StringArray.from_buffers(count, offsets, pa.py_buffer(b""))


def select_columns(
    rows: Rows, columns: tuple[str, ...] | None, metadata: tuple[str, ...] | None
) -> Rows:
    """The same rows with only the values that a scan wants, as far as they exist."""
    if columns is None and metadata is None:
        return rows
    return rows.with_values(chosen_values(rows.values, columns, metadata))
