"""Removing, expiring and comparing by buckets: what every engine promises of them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from node.records import Rows, concat_rows, newest_rows, record_digests, sort_rows
from node.storage.bucket_digests import DAY_MAX, DAY_MIN, DAY_US, summed
from node.storage.bucket_set import Bucket
from node.storage.engine import Engine, Scan
from node.storage.lmdb_engine import LmdbEngine
from node.storage.memory_engine import MemoryDisk, MemoryEngine
from node.storage.settings import EngineSettings
from zring.digest import SetDigest, set_digest
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_BITS
from zring.span import EVERYTHING

LEVEL = 8
SHIFT = CODE_BITS - 2 * LEVEL
SMALL = EngineSettings(
    map_bytes_max=256 << 20,
    block_rows_max=32,
    slice_rows_max=256,
    slice_rows=128,
    grain_level=LEVEL,
    disk_space=lambda path: (1 << 40, 1 << 39),
)


class Store:
    """An engine that can be closed and opened again."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind = kind
        self._folder = folder
        self._disk = MemoryDisk()
        self.engine = self._open()

    def _open(self) -> Engine:
        if self._kind == "lmdb":
            return LmdbEngine.open(self._folder / "store", domain=DEMO_DOMAIN, settings=SMALL)
        return MemoryEngine(domain=DEMO_DOMAIN, disk=self._disk)

    async def reopen(self) -> None:
        await self.engine.close()
        self.engine = self._open()


@pytest.fixture(params=["lmdb", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = Store(request.param, tmp_path)
    yield made
    await made.engine.close()


def make_rows(seed: int, count: int, *, days: int = 4, version: int = 0) -> Rows:
    """Rows of a dozen stations and as many wanderers, anywhere in the first days."""
    rng = np.random.default_rng(seed)
    sensor = rng.integers(0, 24, count)
    lon = (1_350_000_000 + sensor * 600_000).astype(np.int32)
    lat = (330_000_000 + sensor * 600_000).astype(np.int32)
    moving = sensor >= 12
    lon[moving] += rng.integers(0, 100_000, int(moving.sum()), np.int32)
    lat[moving] += rng.integers(0, 100_000, int(moving.sum()), np.int32)
    return Rows.build(
        time=rng.integers(0, days * 1_440, count) * 60_000_000,
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        version=np.full(count, version, np.int64),
        sensor=pa.array([f"s{i}" for i in sensor.tolist()], pa.string()),
        values={"temp": pa.array(np.round(rng.normal(10, 5, count), 1))},
    )


def newest(*parts: Rows) -> Rows:
    return newest_rows(sort_rows(concat_rows(parts)))


def stored(engine: Engine, name: str = "c") -> Rows:
    """Everything of a collection, deletions included."""
    parts, after = [], None
    while True:
        step = engine.scan(Scan(name, deletions=True), after=after)
        parts.append(step.rows)
        after = step.resume
        if after is None:
            return sort_rows(concat_rows(parts))


def keys(rows: Rows) -> list[tuple[int, ...]]:
    columns = rows.code, rows.time, rows.sensor_hash, rows.version, record_digests("c", rows)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def buckets_of(rows: Rows, cells: Sequence[int]) -> list[Bucket]:
    """Every (grain, day) bucket of some cells, with the digest of these rows."""
    found = []
    for cell in cells:
        for day in np.unique(rows.time // DAY_US).tolist():
            inside = rows.where((rows.code >> SHIFT == cell) & (rows.time // DAY_US == day))
            digest = set_digest(record_digests("c", inside))
            found.append(Bucket(cell << SHIFT, (cell + 1) << SHIFT, day, digest))
    return found


async def everything_as_one(engine: Engine) -> SetDigest:
    found = await engine.digests(
        "c", level=0, spans=EVERYTHING, day_start=DAY_MIN, day_stop=DAY_MAX, by_day=False
    )
    return found.total()


async def scattered(store: Store) -> Rows:
    """A store with blocks in several overlapping runs and a log; its newest rows."""
    parts = [make_rows(1, 900), make_rows(2, 300), make_rows(2, 100, version=3), make_rows(4, 60)]
    for part in parts:
        await store.engine.write([("c", part), ("other", part)])
        if part is not parts[-1]:
            await store.engine.merge()
    return newest(*parts)


async def test_records_that_are_in_no_block_yet_are_compared(store: Store) -> None:
    """Four nodes with young stores compared nothing, and their merge threads ended."""
    assert await everything_as_one(store.engine) == SetDigest()
    rows = make_rows(6, 40)
    await store.engine.write([("c", rows)])
    wanted = set_digest(record_digests("c", newest(rows)))
    assert await everything_as_one(store.engine) == wanted
    await store.engine.merge()
    later = make_rows(7, 40, days=1, version=1)
    await store.engine.write([("c", later)])
    found = await store.engine.digests(
        "c", level=LEVEL, spans=EVERYTHING, day_start=40, day_stop=50, by_day=True
    )
    assert found.total() == SetDigest()
    wanted = set_digest(record_digests("c", newest(rows, later)))
    assert await everything_as_one(store.engine) == wanted


async def test_removing_takes_exactly_the_records_of_the_buckets(store: Store) -> None:
    rows = await scattered(store)
    cells = np.unique(rows.code >> SHIFT)[::3].tolist()
    buckets = buckets_of(rows, cells)
    wrong = Bucket(
        buckets[5].start, buckets[5].stop, buckets[5].day, buckets[5].digest + SetDigest(1, 0)
    )
    asked = [*buckets[:5], wrong, *buckets[6:]]
    await store.engine.write([], meta={"ring": b"7"})
    removed = await store.engine.remove(
        "c", asked, expected_meta={"ring": b"7"}, meta={"filled": b"less"}
    )
    assert removed == (True,) * 5 + (False,) + (True,) * (len(asked) - 6)
    gone = np.isin(rows.code >> SHIFT, cells)
    stays = (rows.code >> SHIFT == wrong.start >> SHIFT) & (rows.time // DAY_US == wrong.day)
    left = rows.where(~gone | stays)
    for _ in range(2):
        assert keys(stored(store.engine)) == keys(left)
        assert keys(stored(store.engine, "other")) == keys(rows)
        assert await everything_as_one(store.engine) == set_digest(record_digests("c", left))
        assert store.engine.read_meta("filled") == b"less"
        assert store.engine.statistics().collections["c"].records == len(left)
        await store.reopen()
    again = await store.engine.remove("c", asked, expected_meta={}, meta={})
    assert again == tuple(bucket.digest.count == 0 for bucket in asked)


async def test_another_setting_than_expected_keeps_everything(store: Store) -> None:
    rows = await scattered(store)
    buckets = buckets_of(rows, np.unique(rows.code >> SHIFT).tolist())
    await store.engine.write([], meta={"ring": b"7"})
    for expected in ({"ring": b"6"}, {"ring": b"7", "filled": b""}):
        removed = await store.engine.remove(
            "c", buckets, expected_meta=expected, meta={"filled": b"less"}
        )
        assert removed == (False,) * len(buckets)
    assert store.engine.read_meta("filled") is None
    assert keys(stored(store.engine)) == keys(rows)


async def test_nothing_removed_writes_no_setting(store: Store) -> None:
    await scattered(store)
    absent = Bucket(0, 1 << SHIFT, 0, SetDigest(5, 1))
    assert await store.engine.remove("c", [absent], expected_meta={}, meta={"filled": b"less"}) == (
        False,
    )
    assert store.engine.read_meta("filled") is None
    assert await store.engine.remove("c", [], expected_meta={}) == ()


async def test_a_collection_of_which_nothing_is_left_is_unknown(store: Store) -> None:
    rows = await scattered(store)
    buckets = buckets_of(rows, np.unique(rows.code >> SHIFT).tolist())
    assert all(await store.engine.remove("c", buckets, expected_meta={}))
    for _ in range(2):
        assert list(store.engine.statistics().collections) == ["other"]
        assert len(stored(store.engine)) == 0
        await store.reopen()
    await store.engine.write([("c", rows)])
    assert keys(stored(store.engine)) == keys(rows)
    # An empty bucket is as gone as one can be, also of a collection that nobody knows.
    assert await store.engine.remove(
        "unknown", [Bucket(0, 4, 0, SetDigest())], expected_meta={}, meta={"filled": b"x"}
    ) == (True,)
    assert store.engine.read_meta("filled") == b"x"


async def test_removing_and_writing_at_once_lose_nothing(store: Store) -> None:
    rows = make_rows(1, 2_000)
    await store.engine.write([("c", rows)])
    await store.engine.merge()
    known = newest(rows)
    cells = np.unique(known.code >> SHIFT).tolist()
    buckets = buckets_of(known, cells)
    later = [make_rows(seed, 5) for seed in range(10, 40)]
    outcomes = await asyncio.gather(
        store.engine.remove("c", buckets, expected_meta={}),
        *(store.engine.write([("c", part)]) for part in later),
        store.engine.remove("c", buckets, expected_meta={}),
    )
    left = stored(store.engine)
    # What came before a removal kept its bucket, what came after it is there alone.
    assert set(keys(newest(*later))) <= set(keys(left))
    for removals in (outcomes[0], outcomes[-1]):
        assert isinstance(removals, tuple)
        for bucket, removed in zip(buckets, removals, strict=True):
            inside = (left.code >= bucket.start) & (left.code < bucket.stop)
            inside &= left.time // DAY_US == bucket.day
            whole = set(keys(left.where(inside))) >= set(
                keys(
                    known.where(
                        (known.code >= bucket.start)
                        & (known.code < bucket.stop)
                        & (known.time // DAY_US == bucket.day)
                    )
                )
            )
            assert not (removed and bucket.digest.count and whole)
    once = [one or other for one, other in zip(outcomes[0], outcomes[-1], strict=True)]
    for bucket, removed in zip(buckets, once, strict=True):
        if not removed:
            inside = (known.code >= bucket.start) & (known.code < bucket.stop)
            inside &= known.time // DAY_US == bucket.day
            there = {key[:3] for key in keys(left)}
            assert {key[:3] for key in keys(known.where(inside))} <= there
    await store.reopen()
    assert keys(stored(store.engine)) == keys(left)


async def test_records_in_the_log_are_removed_for_good(store: Store) -> None:
    rows = newest(make_rows(1, 200))
    await store.engine.write([("c", rows)])
    cell = int(rows.code[0] >> SHIFT)
    buckets = buckets_of(rows, [cell])
    assert all(await store.engine.remove("c", buckets, expected_meta={}))
    await store.reopen()
    assert keys(stored(store.engine)) == keys(rows.where(rows.code >> SHIFT != cell))


async def test_ranges_need_not_be_grains(store: Store) -> None:
    rows = await scattered(store)
    middle = int(np.median(rows.code)) | 1
    inside = (rows.code < middle) & (rows.time // DAY_US == 1)
    digest = set_digest(record_digests("c", rows.where(inside)))
    assert await store.engine.remove("c", [Bucket(0, middle, 1, digest)], expected_meta={}) == (
        True,
    )
    assert keys(stored(store.engine)) == keys(rows.where(~inside))


async def test_expiring_drops_what_is_older_than_a_day(store: Store) -> None:
    rows = await scattered(store)
    for day in (-1, 0, 2, 2, 9):
        await store.engine.expire("c", day)
        left = rows.where(rows.time >= day * DAY_US)
        assert keys(stored(store.engine)) == keys(left)
        assert await everything_as_one(store.engine) == set_digest(record_digests("c", left))
        await store.reopen()
        assert keys(stored(store.engine)) == keys(left)
    assert keys(stored(store.engine, "other")) == keys(rows)
    await store.engine.expire("unknown", 5)


async def test_a_renewed_store_has_another_id_and_goes_on(store: Store) -> None:
    sequence = await store.engine.write([("c", make_rows(1, 10))])
    before = store.engine.store_id
    first = await store.engine.renew_store_id()
    assert first == store.engine.store_id != before
    await store.reopen()
    assert store.engine.store_id == first and store.engine.sequence >= sequence
    assert await store.engine.renew_store_id() not in (before, first)
    assert len(stored(store.engine)) == 10


def test_groups_equal_sets() -> None:
    rng = np.random.default_rng(4)
    groups = rng.integers(0, 7, 200)
    digests = rng.integers(0, 1 << 64, 200, dtype=np.uint64)
    days, ones = np.zeros(200, np.int64), np.ones(200, np.int64)
    found = summed(groups, days, digests, ones)
    assert found.cells.tolist() == sorted(set(groups.tolist()))
    for group, total, count in zip(found.cells, found.totals, found.counts, strict=True):
        assert SetDigest(int(total), int(count)) == set_digest(digests[groups == group])
    none = summed(groups[:0], days[:0], digests[:0], ones[:0])
    assert [len(part) for part in (none.cells, none.totals, none.counts)] == [0, 0, 0]
