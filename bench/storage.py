"""Times the storage engine alone: `python bench/storage.py [--records N] [--path DIR]`.

Two kinds of records in the demo's square: stations (40 positions, 7 elements as sensors, a
reading every ten minutes, one decimal) and moving sensors (20,000, every position different).
With ZRING_TEST_DATA also the real readings under amedas/.
"""

import argparse
import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from node.records import Rows
from node.storage.engine import Scan
from node.storage.lmdb_engine import LmdbEngine
from zring.domain import DEMO_DOMAIN, degrees_to_e7

MICROS = 1_000_000
START = 1_690_000_000 // 600 * 600 * MICROS
STEP = 600 * MICROS
ELEMENTS = ("temp", "rain", "wind", "gust", "sun", "snow", "humidity")
LOAD_ROWS = 100_000


def station_rows(count: int, *, seed: int = 1) -> Rows:
    """Readings of 40 stations in order of time, all elements of a moment side by side."""
    rng = np.random.default_rng(seed)
    width, height = DEMO_DOMAIN.east - DEMO_DOMAIN.west, DEMO_DOMAIN.north - DEMO_DOMAIN.south
    lons = DEMO_DOMAIN.west + rng.integers(0, width, 40)
    lats = DEMO_DOMAIN.south + rng.integers(0, height, 40)
    number = np.arange(count)
    sensor = number % (40 * len(ELEMENTS))
    moment = number // (40 * len(ELEMENTS))
    names = pa.array([f"{47000 + s}/{e}" for s in range(40) for e in ELEMENTS])
    lon = lons[sensor // len(ELEMENTS)].astype(np.int32)
    lat = lats[sensor // len(ELEMENTS)].astype(np.int32)
    daily = 10 * np.sin(moment / 144 * 2 * np.pi) + 15 + sensor % 7
    value = np.round(daily + rng.normal(0, 1, count), 1) + 0.0
    return Rows.build(
        time=START + moment * STEP,
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        sensor=names.take(pa.array(sensor)),
        values={"value": pa.array(value)},
    )


def moving_rows(count: int, *, seed: int = 2) -> Rows:
    """Readings of 20,000 sensors that wander: every position is another one."""
    rng = np.random.default_rng(seed)
    sensors = 20_000
    number = np.arange(count)
    sensor, moment = number % sensors, number // sensors
    width, height = DEMO_DOMAIN.east - DEMO_DOMAIN.west, DEMO_DOMAIN.north - DEMO_DOMAIN.south
    lon = (
        rng.integers(0, width, sensors)[sensor] + moment * rng.integers(-900, 900, sensors)[sensor]
    )
    lat = (
        rng.integers(0, height, sensors)[sensor] + moment * rng.integers(-900, 900, sensors)[sensor]
    )
    lon = (DEMO_DOMAIN.west + lon % width).astype(np.int32)
    lat = (DEMO_DOMAIN.south + lat % height).astype(np.int32)
    names = pa.array([f"m{s:05d}" for s in range(sensors)])
    return Rows.build(
        time=START + moment * 60 * MICROS,
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        sensor=names.take(pa.array(sensor)),
        values={"speed": pa.array(np.round(rng.gamma(4, 3, count), 1))},
    )


def real_rows(path: Path) -> Rows:
    """The real single-value readings; a station's element is a sensor."""
    table = pcsv.read_csv(path)
    sensor = pc.binary_join_element_wise(
        pc.cast(table["station"], pa.string()), table["element"], "/"
    ).combine_chunks()
    when = pc.cast(pc.cast(table["time"], pa.timestamp("us", tz="UTC")), pa.int64())
    lon = degrees_to_e7(table["lon"].to_numpy()).astype(np.int32)
    lat = degrees_to_e7(table["lat"].to_numpy()).astype(np.int32)
    return Rows.build(
        time=when.to_numpy(),
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        sensor=sensor,
        values={"value": pc.cast(table["value"], pa.float64()).combine_chunks()},
    )


def anonymous_mb() -> float:
    """Anonymous resident memory of this process."""
    text = Path("/proc/self/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def timed_us(call: Callable[[], object], times: int = 300) -> tuple[float, float]:
    """Median of one call in microseconds: by the wall, and of this thread's processor time."""
    call()
    taken = []
    for _ in range(times):
        begin, used = time.perf_counter(), time.thread_time()
        call()
        taken.append(((time.perf_counter() - begin) * 1e6, (time.thread_time() - used) * 1e6))
    wall, cpu = zip(*taken, strict=True)
    return sorted(wall)[times // 2], sorted(cpu)[times // 2]


async def scan_all(engine: LmdbEngine, scan: Scan) -> int:
    """Rows of a complete scan."""
    count, after = 0, None
    while True:
        step = engine.scan(scan, after=after)
        count, after = count + len(step.rows), step.resume
        if after is None:
            return count


def show_query(engine: LmdbEngine, label: str, scan: Scan) -> None:
    """Print rows and time of one query that is one step."""
    step = engine.scan(scan)
    median, cpu = timed_us(lambda: engine.scan(scan))
    more = "" if step.resume is None else " (more steps)"
    print(
        f"  {label:28} {len(step.rows):7} rows {median:9.0f} us, processor {cpu:.0f} us, "
        f"{step.blocks_read} blocks{more}"
    )


def queries(rows: Rows) -> list[tuple[str, Scan]]:
    """One position and sensor for two days; 20,000 rows by box and time."""
    middle = len(rows) // 2
    day = 86_400 * MICROS
    lon, lat, when = int(rows.lon[middle]), int(rows.lat[middle]), int(rows.time[middle])
    spot = Scan("c", when, when + 2 * day, lon - 10, lat - 10, lon + 10, lat + 10)
    name = rows.sensor[middle].as_py()
    one = Scan("c", when, when + day, lon - 10, lat - 10, lon + 10, lat + 10,
               sensors=frozenset([name]))  # fmt: skip
    west, south = DEMO_DOMAIN.west, DEMO_DOMAIN.south
    half = (DEMO_DOMAIN.east - west) // 2
    inside = (rows.lon <= west + half) & (rows.lat <= south + half)
    times = np.sort(rows.time[inside])
    begin = len(times) // 2
    stop = int(times[min(begin + 20_000, len(times) - 1)])
    box = Scan("c", int(times[begin]), stop, west, south, west + half, south + half)
    times = np.sort(rows.time)
    begin, stop = int(times[middle]), int(times[min(middle + 20_000, len(times) - 1)])
    return [
        ("one sensor, one day", one),
        ("one position, two days", spot),
        ("quarter, 20 k rows", box),
        ("everywhere, 20 k rows", Scan("c", begin, stop)),
    ]


async def measure(label: str, rows: Rows, folder: Path) -> None:
    """Load, merge, query, reopen; print the figures."""
    print(f"{label}: {len(rows):,} records")
    engine = LmdbEngine.open(folder, domain=DEMO_DOMAIN)
    begin = time.perf_counter()
    for start in range(0, len(rows), LOAD_ROWS):
        await engine.write([("c", rows.slice(start, start + LOAD_ROWS))])
    loaded = time.perf_counter() - begin
    await engine.merge()
    merged = time.perf_counter() - begin
    print(f"  load durable {len(rows) / loaded:,.0f}/s, merged {len(rows) / merged:,.0f}/s")
    statistics = engine.statistics()
    print(f"  {statistics.blocks} blocks, {statistics.bytes_live / len(rows):.1f} bytes a record")
    print(f"  counters {dict(statistics.counters)}")
    begin = time.perf_counter()
    count = await scan_all(engine, Scan("c"))
    print(f"  everything: {count:,} rows in {(time.perf_counter() - begin) * 1e3:.0f} ms")
    for name, scan in queries(rows):
        show_query(engine, name, scan)
    await engine.close()
    begin = time.perf_counter()
    engine = LmdbEngine.open(folder, domain=DEMO_DOMAIN)
    engine.scan(Scan("c", 0, 1))
    print(f"  open {(time.perf_counter() - begin) * 1e3:.0f} ms, RssAnon {anonymous_mb():.0f} MB")
    begin = time.perf_counter()
    batches = [rows.slice(start, start + 1_000) for start in range(0, 200_000, 1_000)]
    for batch in batches:
        await engine.write([("d", batch)])
    taken = time.perf_counter() - begin
    print(f"  batches of 1,000, one client: {len(batches) * 1_000 / taken:,.0f} records/s")
    await engine.close()


def main() -> None:
    """Run everything in a temporary folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--path", type=Path, default=None)
    parser.add_argument("--only", choices=["stations", "moving", "real"])
    options = parser.parse_args()
    made: dict[str, Callable[[], Rows]] = {
        "stations": lambda: station_rows(options.records),
        "moving": lambda: moving_rows(options.records),
    }
    data = os.environ.get("ZRING_TEST_DATA")
    if data:
        real = Path(data) / "amedas" / "square_long_real_1218583.csv.gz"
        made["real"] = lambda: real_rows(real)
    for label, make in made.items():
        if options.only in (None, label):
            with tempfile.TemporaryDirectory(dir=options.path) as folder:
                asyncio.run(measure(label, make(), Path(folder)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak resident memory {peak:.0f} MB (the generated records included)")


if __name__ == "__main__":
    main()
