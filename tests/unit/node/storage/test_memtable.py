"""Rows in memory: how they are gathered, and how they come out when they are merged."""

import numpy as np
import pyarrow as pa

from node.records import Rows, newest_rows, record_digests, sort_rows
from node.storage.memtable import Segments, make_segment, pieces_of, segments_of, with_rows
from zring.domain import DEMO_DOMAIN


def make_rows(numbers: np.ndarray, *, version: int = 0) -> Rows:
    """One record a number: time, position and content follow from it."""
    lon = (1_350_000_000 + numbers % 9 * 1_000_000).astype(np.int32)
    lat = (330_000_000 + numbers % 7 * 1_000_000).astype(np.int32)
    return Rows.build(
        time=numbers.astype(np.int64) * 1_000_000,
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        version=np.full(len(numbers), version, np.int64),
        sensor=pa.array([f"s{number % 9}" for number in numbers]),
        values={"n": pa.array(numbers + version)},
    )


def digest(rows: Rows) -> int:
    return int(record_digests("c", rows).sum(dtype=np.uint64))


def test_a_log_comes_in_pieces_that_follow_in_time_and_hold_everything_once() -> None:
    rng = np.random.default_rng(7)
    segments: Segments = ()
    for _ in range(12):
        rows = make_rows(rng.integers(0, 900, 150), version=int(rng.integers(0, 3)))
        segments = with_rows(segments, rows, rows_max=400)
    assert len(segments) > 3 and max(len(segment.rows) for segment in segments) <= 400
    whole = [segment.rows for segment in segments]
    last, total, count = -1, 0, 0
    for until, piece in pieces_of(segments, rows_max=250, bytes_max=1 << 30):
        assert len(piece) <= 300
        assert piece.time.min() > last and (until is None or piece.time.max() < until)
        last = int(piece.time.max())
        total, count = (total + digest(piece)) % (1 << 64), count + len(piece)
    (one,) = segments_of(whole, rows_max=1 << 20)
    assert count == len(one.rows) and total == digest(one.rows)
    assert one.rows is newest_rows(sort_rows(one.rows))
    few_bytes = list(pieces_of(segments, rows_max=1 << 20, bytes_max=one.size_bytes // 5))
    assert len(few_bytes) >= 5 and few_bytes[-1][0] is None
    same_time = (make_segment(make_rows(np.zeros(50, np.int64))),)
    assert [until for until, _ in pieces_of(same_time, rows_max=1, bytes_max=1 << 30)] == [None]
