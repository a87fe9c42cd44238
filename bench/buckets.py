"""Times comparing and letting go in one store: `python -m bench.buckets [--records N]`.

Loads the station records and the moving sensors of the other figures, and prints what one node
spends on the digests that a comparison with another node asks for, what removing costs, and what
the digest tables take on disk.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.dataset import Dataset
from bench.moving_records import moving_records
from bench.station_records import station_records
from node.records import Rows
from node.storage.bucket_digests import DAY_MAX, DAY_MIN, BucketDigests
from node.storage.bucket_set import Bucket
from node.storage.engine import Engine
from node.storage.lmdb_engine import LmdbEngine
from node.storage.settings import EngineSettings
from zring.digest import SetDigest
from zring.domain import DEMO_DOMAIN, degrees_to_e7
from zring.morton import CODE_BITS
from zring.span import EVERYTHING, Spans

GRAIN_LEVEL = DEMO_DOMAIN.grain_level_for()
LOAD_ROWS = 100_000
REPEATS = 5
REMOVED_AT_ONCE = 20_000
"""Buckets of one call of `remove`."""


class Commits:
    """How long the store's transactions last: from the first change to fdatasync's return."""

    def __init__(self) -> None:
        self._begin = 0.0
        self.taken_ms: list[float] = []

    def on_step(self, step: str) -> None:
        """For `EngineSettings.on_step`."""
        if step == "commit-begin":
            self._begin = time.perf_counter()
        elif step == "commit-durable":
            self.taken_ms.append((time.perf_counter() - self._begin) * 1e3)


def rows_of(dataset: Dataset) -> Rows:
    """The dataset as a store takes it."""
    table = dataset.table.combine_chunks()
    lon = degrees_to_e7(table["lon"].to_numpy()).astype(np.int32)
    lat = degrees_to_e7(table["lat"].to_numpy()).astype(np.int32)
    return Rows.build(
        time=pc.cast(table["time"], pa.int64()).to_numpy(),
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        sensor=table["sensor"].combine_chunks(),
        values={"value": table["value"].combine_chunks()},
    )


async def median_ms(call: Callable[[], Awaitable[BucketDigests]]) -> tuple[float, float, int]:
    """Wall and processor milliseconds of the process, and how many digests came."""
    taken = []
    for _ in range(REPEATS):
        begin, used = time.perf_counter(), time.process_time()
        found = len(await call())
        taken.append((time.perf_counter() - begin, time.process_time() - used))
    wall, processor = (sorted(column)[REPEATS // 2] * 1e3 for column in zip(*taken, strict=True))
    return wall, processor, found


async def show_digests(engine: Engine) -> BucketDigests:
    """What a comparison asks for, coarse to fine; returns all buckets of grain and day."""

    async def ask(level: int, spans: Spans = EVERYTHING, *, by_day: bool = True) -> BucketDigests:
        return await engine.digests(
            "c", level=level, spans=spans, day_start=DAY_MIN, day_stop=DAY_MAX, by_day=by_day
        )

    begin = time.perf_counter()
    await ask(0)
    print(f"  first question after opening: {(time.perf_counter() - begin) * 1e3:.0f} ms")
    for label, level, by_day in (
        ("total", 0, False),
        ("days", 0, True),
        ("cells of level 2 by day", 2, True),
        ("cells of level 4 by day", 4, True),
        ("grains, all days together", GRAIN_LEVEL, False),
        ("grains by day", GRAIN_LEVEL, True),
    ):
        wall, processor, count = await median_ms(lambda: ask(level, by_day=by_day))  # noqa: B023
        print(f"  {label:28}{count:9,} digests {wall:7.0f} ms, processor {processor:.0f} ms")
    quarter = ((0, 1 << (CODE_BITS - 2)),)
    wall, processor, count = await median_ms(lambda: ask(GRAIN_LEVEL, quarter))
    print(f"  {'grains by day of a quarter':28}{count:9,} digests {wall:7.0f} ms")
    return await ask(GRAIN_LEVEL)


async def show_removing(engine: Engine, found: BucketDigests, rows: Rows, commits: Commits) -> None:
    """Let go of a quarter of the square, newest days first."""
    shift = CODE_BITS - 2 * GRAIN_LEVEL
    chosen = np.flatnonzero(found.cells >> (2 * GRAIN_LEVEL - 2) == 0)[::-1]
    buckets = [
        Bucket(
            int(found.cells[at]) << shift,
            (int(found.cells[at]) + 1) << shift,
            int(found.days[at]),
            SetDigest(int(found.totals[at]), int(found.counts[at])),
        )
        for at in chosen.tolist()
    ]
    commits.taken_ms.clear()
    begin, calls = time.perf_counter(), 0
    for start in range(0, len(buckets), REMOVED_AT_ONCE):
        removed = await engine.remove(
            "c", buckets[start : start + REMOVED_AT_ONCE], expected_meta={}
        )
        assert all(removed)
        calls += 1
    taken = time.perf_counter() - begin
    records = int(found.counts[chosen].sum())
    print(
        f"  removing {records:,} records in {len(buckets):,} buckets and {calls} calls: "
        f"{records / taken:,.0f} records/s, {taken / calls * 1e3:.0f} ms a call"
    )
    lasted = sorted(commits.taken_ms)
    print(
        f"  {len(lasted)} transactions, half of them within {lasted[len(lasted) // 2]:.1f} ms, "
        f"the longest {lasted[-1]:.1f} ms with fdatasync"
    )
    left = engine.statistics()
    assert left.records == len(rows) - records
    print(f"  left {left.records:,} records in {left.blocks} blocks")


async def measure(label: str, rows: Rows, folder: Path) -> None:
    """Load, compare, remove; print the figures."""
    print(f"{label}: {len(rows):,} records, grain level {GRAIN_LEVEL}")
    commits = Commits()
    settings = EngineSettings(grain_level=GRAIN_LEVEL, on_step=commits.on_step)
    engine = LmdbEngine.open(folder, domain=DEMO_DOMAIN, settings=settings)
    begin = time.perf_counter()
    for start in range(0, len(rows), LOAD_ROWS):
        await engine.write([("c", rows.slice(start, start + LOAD_ROWS))])
    await engine.merge()
    print(f"  loaded and merged: {len(rows) / (time.perf_counter() - begin):,.0f} records/s")
    await engine.close()
    engine = LmdbEngine.open(folder, domain=DEMO_DOMAIN, settings=settings)
    statistics = engine.statistics()
    print(f"  {statistics.blocks} blocks, {statistics.bytes_live / len(rows):.1f} bytes a record")
    found = await show_digests(engine)
    await show_removing(engine, found, rows, commits)
    await engine.close()


def main() -> None:
    """Run both kinds of records in temporary folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--only", choices=["stations", "moving"])
    options = parser.parse_args()
    for label, make in (("stations", station_records), ("moving", moving_records)):
        if options.only in (None, label):
            with tempfile.TemporaryDirectory() as folder:
                asyncio.run(measure(label, rows_of(make(options.records)), Path(folder)))


if __name__ == "__main__":
    main()
