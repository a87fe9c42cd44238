"""Blocks: what goes in comes out to the bit; any other bytes raise StoreDamaged."""

from pathlib import Path

import lmdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import StoreDamaged
from node.records import Rows, newest_rows, sort_rows
from node.storage.block_encode import encode_block
from node.storage.block_layout import read_header
from node.storage.block_read import read_rows
from node.storage.block_select import BlockFilter
from node.storage.engine import Scan
from node.storage.lmdb_engine import LmdbEngine
from zring.domain import DEMO_DOMAIN


def random_rows(seed: int, count: int, *, positions: int, floats: list[float]) -> Rows:
    rng = np.random.default_rng(seed)
    at = rng.integers(0, positions, count)
    lon = (1_350_000_000 + at * 1_301).astype(np.int32)
    lat = (330_000_000 + at * 2_909).astype(np.int32)
    rows = Rows.build(
        time=rng.integers(-50, 50, count) * 7 * 1_000_000,
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        sensor=pa.array([f"s{i}" for i in rng.integers(0, 9, count)], pa.string()),
        values={"v": pa.array([floats[i % len(floats)] for i in range(count)], pa.float64())},
    )
    return newest_rows(sort_rows(rows))


@settings(deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.integers(1, 200),
    st.integers(1, 300),
    st.lists(st.floats(allow_nan=False) | st.integers(-999, 999).map(lambda n: n / 10), min_size=1),
)
def test_rows_come_back_to_the_bit(seed: int, count: int, spots: int, floats: list[float]) -> None:
    rows = random_rows(seed, count, positions=spots, floats=floats)
    data = encode_block(rows)
    header = read_header(data, name="block 1")
    found = read_rows(data, header)
    assert found is not None
    for name in ("time", "lon", "lat", "code", "version", "deleted", "sensor_hash"):
        assert (getattr(found, name) == getattr(rows, name)).all()
    assert found.sensor.equals(rows.sensor)
    bits = [r.values["v"].to_numpy().view(np.int64) for r in (found, rows)]
    assert (bits[0] == bits[1]).all()
    start, stop = -10 * 7_000_000 - 1, 20 * 7_000_000 + 3
    box = (1_350_000_000 + 1_301, 330_000_000, 1_350_000_000 + 40 * 1_301, 340_000_000)
    where = BlockFilter(time=(start, stop), box=box, sensors=rows.sensor_hash[:1])
    mask = (rows.time >= start) & (rows.time < stop) & (rows.sensor_hash == rows.sensor_hash[0])
    mask &= (rows.lon >= box[0]) & (rows.lon <= box[2])
    part = read_rows(data, header, where=where)
    assert (0 if part is None else len(part)) == mask.sum()
    if part is not None:
        assert (part.time == rows.time[mask]).all() and (part.code == rows.code[mask]).all()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_no_block(data: bytes) -> None:
    with pytest.raises(StoreDamaged):
        read_header(data, name="block 1")


@settings(deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 255))
def test_one_changed_byte_is_found(place: int, change: int) -> None:
    data = bytearray(encode_block(random_rows(1, 50, positions=5, floats=[0.5])))
    data[place % len(data)] ^= change
    with pytest.raises(StoreDamaged, match="block 7"):
        read_header(bytes(data), name="block 7")


async def test_a_damaged_block_in_the_store_is_named(tmp_path: Path) -> None:
    engine = LmdbEngine.open(tmp_path, domain=DEMO_DOMAIN)
    await engine.write([("c", random_rows(3, 5_000, positions=500, floats=[1.5, 2.5]))])
    await engine.merge()
    await engine.close()
    with lmdb.open(str(tmp_path), max_dbs=6, map_size=1 << 30) as env:
        table = env.open_db(b"blocks")
        with env.begin(write=True) as txn:
            key, value = next(iter(txn.cursor(db=table)))
            changed = bytearray(value)
            changed[len(changed) // 2] ^= 1
            txn.put(key, bytes(changed), db=table)
    engine = LmdbEngine.open(tmp_path, domain=DEMO_DOMAIN)
    with pytest.raises(StoreDamaged, match=f"block {int.from_bytes(key, 'big')}"):
        engine.scan(Scan("c"))
    await engine.close()
