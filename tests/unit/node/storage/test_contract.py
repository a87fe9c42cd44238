"""What every engine promises (`node.storage.engine`), on the real one and on its twin."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from node.errors import StoreFull, Unavailable
from node.records import (
    JSON,
    Key,
    Rows,
    concat_rows,
    json_text,
    newest_rows,
    record_digests,
    sort_rows,
)
from node.storage.bucket_digests import DAY_MAX, DAY_MIN
from node.storage.engine import Engine, Scan
from node.storage.lmdb_engine import LmdbEngine
from node.storage.memory_engine import MemoryDisk, MemoryEngine
from node.storage.settings import EngineSettings
from zring.domain import DEMO_DOMAIN
from zring.span import EVERYTHING

DAY = 86_400_000_000
SMALL = EngineSettings(
    map_bytes_max=256 << 20,
    block_rows_max=16,
    slice_rows_max=128,
    slice_rows=64,
    step_blocks_max=4,
    step_rows_max=64,
    full_fraction=0.95,
    disk_space=lambda path: (1 << 40, 1 << 39),
)


@dataclass
class Store:
    """An engine that can be closed and opened again."""

    engine: Engine
    open: Callable[[], Engine]

    async def reopen(self) -> None:
        await self.engine.close()
        self.engine = self.open()


@pytest.fixture(params=["lmdb", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    disk = MemoryDisk()

    def open_engine() -> Engine:
        if request.param == "lmdb":
            return LmdbEngine.open(tmp_path / "store", domain=DEMO_DOMAIN, settings=SMALL)
        return MemoryEngine(domain=DEMO_DOMAIN, disk=disk, step_rows_max=50)

    made = Store(open_engine(), open_engine)
    yield made
    await made.engine.close()


def make_rows(
    count: int,
    *,
    sensors: int = 7,
    start: int = 0,
    version: int = 0,
    deleted: bool = False,
    values: dict[str, pa.Array] | None = None,
) -> Rows:
    """Rows of `sensors` stations, one after another in time."""
    number = np.arange(start, start + count)
    station = number % sensors
    lon = (1_350_000_000 + station * 2_000_000).astype(np.int32)
    lat = (330_000_000 + station * 1_500_000).astype(np.int32)
    if values is None:
        values = {} if deleted else {"temp": pa.array(np.round(number * 0.1, 1))}
    return Rows.build(
        time=number.astype(np.int64) * 600_000_000,
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        version=np.full(count, version, np.int64),
        deleted=np.full(count, deleted),
        sensor=pa.array([f"s{i}" for i in station], pa.string()),
        values=values,
    )


async def everything(engine: Engine, scan: Scan, rows_max: int | None = None) -> Rows:
    """All rows of a scan; checks that the steps are in order and make progress."""
    parts, after = [], None
    last: Key | None = None
    while True:
        step = engine.scan(scan, after=after, rows_max=rows_max)
        if len(step.rows):
            assert last is None or step.rows.key(0) > last
            last = step.rows.key(-1)
            assert step.resume is None or step.resume >= last
        assert step.resume is None or after is None or step.resume > after
        parts.append(step.rows)
        after = step.resume
        if after is None:
            return concat_rows(parts)


async def merged_too(store: Store, check: Callable[[], Awaitable[None]]) -> None:
    """The check holds from the log, from blocks, and after opening again."""
    await check()
    await store.engine.merge()
    await check()
    await store.reopen()
    await check()


async def test_written_rows_are_found_and_writing_again_changes_nothing(store: Store) -> None:
    rows = make_rows(500)
    await store.engine.write([("c", rows)])
    await store.engine.write([("c", rows.slice(100, 300))])

    async def check() -> None:
        found = await everything(store.engine, Scan("c"))
        assert len(found) == 500
        assert sorted(found.time.tolist()) == rows.time.tolist()
        assert store.engine.scan(Scan("unknown")).resume is None

    await merged_too(store, check)
    assert store.engine.statistics().records == 500


async def test_digests_are_of_the_newest_versions_wherever_they_lie(store: Store) -> None:
    rows = make_rows(3_000)
    await store.engine.write([("c", rows)])
    await store.engine.merge()
    corrected = make_rows(40, start=100, version=5)
    deleted = make_rows(20, start=900, version=7, deleted=True)
    await store.engine.write([("c", corrected), ("c", deleted), ("c", rows.slice(0, 500))])
    newest = newest_rows(sort_rows(concat_rows([rows, corrected, deleted])))
    middle = int(np.median(rows.code))

    async def check() -> None:
        for level, by_day in ((0, False), (8, True), (3, False), (31, True)):
            found = await store.engine.digests(
                "c", level=level, spans=((0, middle),), day_start=2, day_stop=15, by_day=by_day
            )
            inside = newest.where(
                (newest.code < middle) & (newest.time >= 2 * DAY) & (newest.time < 15 * DAY)
            )
            digests = record_digests("c", inside).tolist()
            expected: dict[tuple[int, int], list[int]] = {}
            for index, digest in enumerate(digests):
                day = int(inside.time[index]) // DAY if by_day else 0
                cell = int(inside.code[index]) >> (62 - 2 * level)
                expected.setdefault((day, cell), []).append(digest)
            assert list(zip(found.days.tolist(), found.cells.tolist(), strict=True)) == sorted(
                expected
            )
            for at, key in enumerate(sorted(expected)):
                assert int(found.totals[at]) == sum(expected[key]) % (1 << 64)
                assert int(found.counts[at]) == len(expected[key])
        nothing = await store.engine.digests(
            "unknown", level=4, spans=EVERYTHING, day_start=DAY_MIN, day_stop=DAY_MAX, by_day=True
        )
        assert len(nothing) == 0

    await merged_too(store, check)


async def test_scans_select_by_time_box_spans_sensors_and_columns(store: Store) -> None:
    rows = make_rows(400)
    await store.engine.write([("c", rows)])

    async def check() -> None:
        engine = store.engine
        lon, lat, code = int(rows.lon[3]), int(rows.lat[3]), int(rows.code[3])
        at = rows.sensor.to_numpy(zero_copy_only=False) == "s3"
        for scan, mask in (
            (Scan("c", int(rows.time[50]), int(rows.time[90])), np.arange(400) // 40 == 99),
            (Scan("c", west=lon, east=lon, south=lat, north=lat), at),
            (Scan("c", spans=((code, code + 1),)), at),
            (Scan("c", spans=()), at & False),
            (Scan("c", sensors=frozenset({"s3", "nobody"})), at),
            (Scan("c", sensors=frozenset()), at & False),
        ):
            if scan.time_stop < 1 << 62:
                mask = (rows.time >= scan.time_start) & (rows.time < scan.time_stop)
            for rows_max in (None, 5):
                found = await everything(engine, scan, rows_max)
                assert sorted(found.time.tolist()) == rows.time[mask].tolist()
        named = engine.scan(Scan("c", columns=("temp", "absent")))
        assert list(named.rows.values) == ["temp"]
        assert not engine.scan(Scan("c", columns=())).rows.values

    await merged_too(store, check)


async def test_corrections_replace_and_deletions_hide(store: Store) -> None:
    await store.engine.write([("c", make_rows(100))])
    await store.engine.merge()
    fixed = make_rows(10, version=5, values={"temp": pa.array([99.5] * 10)})
    await store.engine.write([("c", fixed)])
    await store.engine.write([("c", make_rows(10, start=50, version=3, deleted=True))])
    await store.engine.write([("c", make_rows(100))])

    async def check() -> None:
        found = await everything(store.engine, Scan("c", columns=("temp",)))
        assert len(found) == 90
        temps = np.sort(found.values["temp"].to_numpy())
        assert (temps[-10:] == 99.5).all() and temps[-11] == 9.9

    await merged_too(store, check)


async def test_equal_versions_are_settled_the_same_way_in_any_order(store: Store) -> None:
    one = make_rows(20, values={"temp": pa.array([1.5] * 20), "note": pa.array(["x"] * 20)})
    other = make_rows(20, values={"temp": pa.array([1.5] * 20), "note": pa.array(["y"] * 20)})
    await store.engine.write([("a", one), ("b", other)])
    await store.engine.merge()
    await store.engine.write([("a", other), ("b", one)])

    async def check() -> None:
        both = [await everything(store.engine, Scan(name)) for name in "ab"]
        assert both[0].values["note"].equals(both[1].values["note"])
        narrow = await everything(store.engine, Scan("a", columns=("temp",)))
        assert len(narrow) == 20

    await merged_too(store, check)


async def test_values_of_any_type_come_back_as_they_were(store: Store) -> None:
    changing = [27, "abc", [1, 2], True, None, {"deep": [1.5]}, 2.5]
    image = bytes(range(256)) * 3 + bytes(16)
    columns = {
        "changing": pa.ExtensionArray.from_storage(
            JSON, pa.array([None if v is None else json_text(v) for v in changing], pa.string())
        ),
        "image": pa.array([image] * 6 + [None], pa.binary()),
        "whole": pa.array([1 << 62, -5, None, 0, 7, 7, 7], pa.int64()),
        "real": pa.array([0.1, -0.0, float("nan"), 1e300, None, float("inf"), 5e-324]),
        "decimal": pa.array([20.1, 20.2, None, -3.7, 0.0, 1013.2, 5.5]),
        "flag": pa.array([True, None, False, True, False, True, True]),
        "text": pa.array(["雨", "", None, "b", "b", "b", "b"], pa.string()),
        "nothing": pa.nulls(7, pa.float64()),
    }
    rows = make_rows(7, values=columns)
    await store.engine.write([("c", rows)])
    await store.engine.write(
        [("c", make_rows(3, start=7, values={"changing": pa.array([1, 2, 3])}))]
    )

    async def check() -> None:
        found = await everything(store.engine, Scan("c"))
        order = np.argsort(found.time)
        found = found.take(order)
        texts = found.values["changing"].storage.to_pylist()
        values = [None if text is None else orjson.loads(text) for text in texts]
        assert values == [*changing, 1, 2, 3]
        assert found.values["image"].to_pylist() == [image] * 6 + [None] * 4
        for name in ("whole", "decimal", "flag", "text"):
            assert found.values[name].to_pylist() == columns[name].to_pylist() + [None] * 3
        real = found.values["real"].slice(0, 7)
        assert real.is_null().to_pylist() == columns["real"].is_null().to_pylist()
        bits = [value.fill_null(0).to_numpy().view(np.int64) for value in (real, columns["real"])]
        assert (bits[0] == bits[1]).all()

    await merged_too(store, check)


async def test_times_far_away_are_stored_where_they_say(store: Store) -> None:
    rows = make_rows(200)
    rows.time[0], rows.time[1], rows.time[2] = -5, 4_070_908_800_000_000, 0
    await store.engine.write([("c", rows)])

    async def check() -> None:
        late = await everything(store.engine, Scan("c", time_start=4_000_000_000_000_000))
        assert late.time.tolist() == [4_070_908_800_000_000]
        assert len(await everything(store.engine, Scan("c", time_stop=1))) == 2
        known = store.engine.statistics().collections["c"]
        assert (known.time_min, known.time_max) == (-5, 4_070_908_800_000_000)

    await merged_too(store, check)


async def test_settings_and_sequence_survive(store: Store) -> None:
    engine = store.engine
    assert engine.read_meta("ring") is None
    first = await engine.write([("c", make_rows(5))], meta={"ring": b"1"})
    second = await engine.write([], meta={"ring": b"2"})
    assert second > first and engine.sequence == second
    store_id = engine.store_id
    await engine.merge()
    await store.reopen()
    assert store.engine.read_meta("ring") == b"2"
    assert (store.engine.store_id, store.engine.sequence) == (store_id, second)
    assert await store.engine.write([("c", make_rows(5))]) > second


async def test_concurrent_writes_are_all_there(store: Store) -> None:
    parts = [make_rows(20, start=20 * i) for i in range(30)]
    sequences = await asyncio.gather(*(store.engine.write([("c", part)]) for part in parts))
    assert max(sequences) == store.engine.sequence

    async def check() -> None:
        assert len(await everything(store.engine, Scan("c"))) == 600

    await merged_too(store, check)


async def test_pages_neither_skip_nor_repeat_while_data_arrives_and_merges(store: Store) -> None:
    engine = store.engine
    await engine.write([("c", make_rows(300))])
    await engine.merge()
    found: list[int] = []
    after, turn = None, 0
    while True:
        step = engine.scan(Scan("c", time_stop=300 * 600_000_000), after=after, rows_max=20)
        found += step.rows.time.tolist()
        after, turn = step.resume, turn + 1
        if after is None:
            break
        await engine.write([("c", make_rows(30, start=300 + 30 * turn))])
        await engine.write([("c", make_rows(50, start=turn * 10 % 250))])
        if turn % 2:
            await engine.merge()
    assert sorted(found) == [600_000_000 * i for i in range(300)]


async def test_statistics_know_types_and_bounds(store: Store) -> None:
    await store.engine.write([("c", make_rows(50))])
    await store.engine.write([("c", make_rows(5, values={"note": pa.array(["a"] * 5)}))])
    await store.engine.write([("c", make_rows(5, values={"note": pa.array([1] * 5)}))])

    async def check() -> None:
        known = store.engine.statistics().collections["c"]
        assert dict(known.value_types) == {"temp": "number", "note": "json"}
        assert (known.west, known.south) == (1_350_000_000, 330_000_000)

    await merged_too(store, check)


async def test_a_closed_engine_says_so(store: Store) -> None:
    await store.engine.close()
    with pytest.raises(Unavailable, match="closed"):
        store.engine.scan(Scan("c"))
    with pytest.raises(Unavailable, match="closed"):
        await store.engine.write([("c", make_rows(1))])
    store.engine = store.open()


async def test_a_full_disk_refuses_writes_and_goes_on_reading(tmp_path: Path) -> None:
    free = 1 << 39

    def space(path: Path) -> tuple[int, int]:
        return 1 << 40, free

    settings = EngineSettings(map_bytes_max=64 << 20, disk_space=space)
    engine = LmdbEngine.open(tmp_path, domain=DEMO_DOMAIN, settings=settings)
    await engine.write([("c", make_rows(100))])
    free = 1 << 30
    with pytest.raises(StoreFull, match="disk"):
        await engine.write([("c", make_rows(100, start=100))])
    assert engine.statistics().full
    await engine.merge()
    assert len(engine.scan(Scan("c")).rows) == 100
    free = 1 << 39
    await engine.write([("c", make_rows(100, start=100))])
    assert len(engine.scan(Scan("c")).rows) == 200
    await engine.close()


async def test_records_of_other_nodes_are_refused_earlier(tmp_path: Path) -> None:
    free_share = 0.15

    def space(path: Path) -> tuple[int, int]:
        return 1 << 40, int(free_share * (1 << 40))

    settings = EngineSettings(map_bytes_max=64 << 20, disk_space=space)
    engine = LmdbEngine.open(tmp_path, domain=DEMO_DOMAIN, settings=settings)
    with pytest.raises(StoreFull, match="records of other nodes' areas up to 80%"):
        await engine.write([("c", make_rows(100))], foreign=True)
    await engine.write([("c", make_rows(100))])
    assert not engine.statistics().full
    free_share = 0.25
    await engine.write([("c", make_rows(100, start=100))], foreign=True)
    assert len(engine.scan(Scan("c")).rows) == 200
    await engine.close()


async def test_a_full_map_refuses_writes_and_goes_on_merging(tmp_path: Path) -> None:
    settings = EngineSettings(
        map_bytes_max=4 << 20,
        full_fraction=0.6,
        block_bytes_max=1 << 16,
        disk_space=SMALL.disk_space,
    )
    engine = LmdbEngine.open(tmp_path, domain=DEMO_DOMAIN, settings=settings)
    written = 0
    noise = np.random.default_rng(1)
    with pytest.raises(StoreFull, match="map_bytes_max"):
        while True:
            images = [noise.bytes(784) for _ in range(100)]
            rows = make_rows(100, start=written, values={"image": pa.array(images, pa.binary())})
            await engine.write([("c", rows)])
            written += 100
    assert written > 500
    await engine.merge()
    assert len(await everything(engine, Scan("c"))) == written
    assert engine.statistics().log_records == 0
    await engine.close()


async def test_a_memory_disk_loses_only_what_was_not_synced() -> None:
    gate = asyncio.Event()
    disk = MemoryDisk()
    engine = MemoryEngine(domain=DEMO_DOMAIN, disk=disk)
    await engine.write([("c", make_rows(10))])
    disk.wait = gate.wait
    late = asyncio.ensure_future(engine.write([("c", make_rows(10, start=10))]))
    await asyncio.sleep(0)
    assert len(engine.scan(Scan("c")).rows) == 10
    disk.crash()
    gate.set()
    with pytest.raises(Unavailable, match="crashed"):
        await late
    again = MemoryEngine(domain=DEMO_DOMAIN, disk=disk)
    assert len(again.scan(Scan("c")).rows) == 10
    with pytest.raises(Unavailable):
        engine.scan(Scan("c"))


async def test_newest_time_until_a_time(store: Store) -> None:
    far = make_rows(2, start=50_000_000)
    await store.engine.write([("w", make_rows(200))])
    await store.engine.merge()
    await store.engine.write([("w", concat_rows([make_rows(50, start=300), far]))])
    first, last, future = 0, 349, 50_000_001

    async def check() -> None:
        ticks = 600_000_000
        for until, expected in (
            (first * ticks - 1, None),
            (first * ticks, first),
            (120 * ticks + 7, 120),
            (250 * ticks, 199),
            (310 * ticks, 310),
            (49_000_000 * ticks, last),
            (1 << 61, future),
        ):
            found = store.engine.newest_time("w", until=until)
            assert found == (None if expected is None else expected * ticks), until
        assert store.engine.newest_time("unknown", until=1 << 61) is None

    await merged_too(store, check)


async def test_names_and_order_that_nobody_needs_change_nothing_else(store: Store) -> None:
    await store.engine.write([("w", make_rows(300))])
    await store.engine.merge()
    # A slice with two runs, rewritten and deleted records, and a log: all may repeat a record.
    await store.engine.write([("w", make_rows(40, start=20, version=1))])
    await store.engine.merge()
    await store.engine.write([("w", make_rows(30, start=100, version=2, deleted=True))])
    wanted = Scan("w", time_start=10 * 600_000_000, time_stop=280 * 600_000_000)

    async def check() -> None:
        expected = await everything(store.engine, wanted)
        parts, after, last = [], None, None
        while True:
            step = store.engine.scan(
                replace(wanted, sensor_names=False, ordered=False), after=after
            )
            parts.append(step.rows)
            keys = [step.rows.key(at) for at in range(len(step.rows))]
            assert last is None or not keys or min(keys) > last
            last = max(keys, default=last)
            after = step.resume
            if after is None:
                break
            assert last is None or last <= after
        found = sort_rows(concat_rows(parts))
        assert found.sensor.to_pylist() == [""] * len(expected)
        for name in ("code", "time", "sensor_hash", "version", "lon", "lat"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert found.values["temp"].equals(expected.values["temp"])

    await merged_too(store, check)
