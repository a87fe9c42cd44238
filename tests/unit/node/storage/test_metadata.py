"""Metadata in a store: what came first stays, and costs little."""

from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from node.records import Rows, record_digests
from node.storage.block_encode import encode_block
from node.storage.block_layout import read_header
from node.storage.block_read import read_rows
from node.storage.engine import Scan
from node.storage.lmdb_engine import LmdbEngine
from zring.domain import DEMO_DOMAIN

from .test_contract import SMALL, Store, everything, make_rows, merged_too, store

__all__ = ["store"]


def marked(rows: Rows, source: str) -> Rows:
    return rows.with_values({**rows.values, "@source": pa.array([source] * len(rows))})


async def test_what_was_stored_first_stays(store: Store) -> None:
    rows = make_rows(300)
    await store.engine.write([("c", marked(rows.slice(0, 200), "first"))])
    await store.engine.merge()
    await store.engine.write([("c", marked(rows, "again"))])

    async def check() -> None:
        found = await everything(store.engine, Scan("c"))
        named = zip(found.time.tolist(), found.values["@source"].to_pylist(), strict=True)
        assert all((name == "first") == (time < 200 * 600_000_000) for time, name in named)
        assert (np.sort(record_digests("c", found)) == np.sort(record_digests("c", rows))).all()

    await merged_too(store, check)


@pytest.mark.parametrize("seed", range(6))
async def test_in_whatever_order_runs_are_merged(tmp_path: Path, seed: int) -> None:
    rng, rows = Random(seed), make_rows(240)
    engine = LmdbEngine.open(tmp_path / "store", domain=DEMO_DOMAIN, settings=SMALL)
    first: dict[int, str] = {}
    for number in range(14):
        start = rng.randrange(200)
        part = rows.slice(start, start + rng.choice((3, 20, 120)))
        await engine.write([("c", marked(part, f"w{number}"))])
        for time in part.time.tolist():
            first.setdefault(time, f"w{number}")
        if rng.random() < 0.5:
            await engine.merge()
        for scan in (Scan("c"), Scan("c", columns=("@source",))):
            found = await everything(engine, scan)
            named = zip(found.time.tolist(), found.values["@source"].to_pylist(), strict=True)
            assert dict(named) == first
    await engine.close()


async def test_metadata_are_read_only_where_they_are_wanted(store: Store) -> None:
    await store.engine.write([("c", marked(make_rows(50), "a"))])

    async def check() -> None:
        for scan, names in (
            (Scan("c"), {"temp", "@source"}),
            (Scan("c", metadata=()), {"temp"}),
            (Scan("c", metadata=("@source",)), {"temp", "@source"}),
            (Scan("c", columns=("temp",)), {"temp"}),
        ):
            assert set((await everything(store.engine, scan)).values) == names

    await merged_too(store, check)


async def test_named_metadata_come_along_where_records_came_twice(store: Store) -> None:
    """Redelivered records are settled by all their values, then only what was asked is returned."""
    rows = marked(make_rows(50), "a")
    await store.engine.write([("c", rows)])
    await store.engine.merge()
    await store.engine.write([("c", rows)])
    scan = Scan("c", columns=("@source",), metadata=())

    async def check() -> None:
        found = await everything(store.engine, scan)
        assert found.values["@source"].to_pylist() == ["a"] * 50

    await merged_too(store, check)


def test_a_constant_column_takes_no_room_in_a_block() -> None:
    rows = make_rows(4_000)
    values = {
        "@ingested": pa.array([1_700_000_000_000_000] * 4_000),
        "@source": pa.array(["kafka"] * 4_000),
        "minus": pa.array([-0.0] * 4_000),
        "some": pa.array([2.5, None] * 2_000),
    }
    bare, full = (
        encode_block(part) for part in (rows, rows.with_values({**rows.values, **values}))
    )
    assert len(full) - len(bare) < 1_000  # of it 500 bytes say which of `some` are null
    read = read_rows(full, read_header(full, name="block"))
    assert read is not None
    for name, column in values.items():
        assert read.values[name].equals(column), name
    assert np.signbit(read.values["minus"].to_numpy()).all()
