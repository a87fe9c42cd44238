"""2,000,000 records of 20,000 moving sensors: every position is different.

Each sensor is a vehicle that makes trips of ten records, one every ten minutes, at 5 to 25 m/s
into a direction that turns a little between two records; trips start anywhere in the square and at
any ten minutes of 800 days. The value is a temperature with one decimal.
"""

import numpy as np
import pyarrow as pa

from bench.dataset import Dataset, cached_table
from bench.stopwatch import Floats

COLLECTION = "vehicles"
SENSORS = 20_000
TRIP_RECORDS = 10
STEP_US = 600 * 1_000_000
START_US = 1_689_206_400_000_000
"""2023-07-13T00:00Z: the station records begin on the same day."""
DAYS = 800
WEST, SOUTH, SIDE = 135.0, 33.0, 1.6
METRES_PER_DEGREE = 111_195.0


def moving_records(count: int, *, seed: int = 20_250_301) -> Dataset:
    """`count` records (a multiple of ten) in order of time."""
    table = cached_table(f"vehicles-{seed}-{count}", lambda: _drive(count, seed))
    origin = f"{count:,} generated records of {SENSORS:,} vehicles, seed {seed}"
    return Dataset("vehicles", COLLECTION, origin, table)


def _drive(count: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    trips = count // TRIP_RECORDS
    shape = (trips, TRIP_RECORDS)
    vehicle = np.arange(trips) % SENSORS
    start = START_US + rng.integers(0, DAYS * 144 - TRIP_RECORDS, trips) * STEP_US
    time = start[:, None] + np.arange(TRIP_RECORDS) * STEP_US
    heading = rng.uniform(0, 2 * np.pi, trips)[:, None] + np.cumsum(rng.normal(0, 0.3, shape), 1)
    step = rng.uniform(5, 25, trips)[:, None] * (STEP_US / 1e6) / METRES_PER_DEGREE
    across = np.cumsum(np.sin(heading) * step / np.cos(np.radians(33.8)), axis=1)
    along = np.cumsum(np.cos(heading) * step, axis=1)
    lon = WEST + _folded(rng.uniform(0, SIDE, trips)[:, None] + across)
    lat = SOUTH + _folded(rng.uniform(0, SIDE, trips)[:, None] + along)
    value = np.round(
        15 + 10 * np.sin(time / 86_400e6 / 365 * 2 * np.pi) + rng.normal(0, 3, shape), 1
    )
    order = np.argsort(time.ravel(), kind="stable")
    names = pa.array([f"vehicle-{index:05d}" for index in range(SENSORS)])
    return pa.table(
        {
            "sensor": names.take(pa.array(np.repeat(vehicle, TRIP_RECORDS)[order])),
            "time": pa.array(time.ravel()[order]).view(pa.timestamp("us", tz="UTC")),
            "lon": pa.array(np.rint(lon.ravel()[order] * 1e7) / 1e7),
            "lat": pa.array(np.rint(lat.ravel()[order] * 1e7) / 1e7),
            "value": pa.array(value.ravel()[order]),
        }
    )


def _folded(offset: Floats) -> Floats:
    """Reflect at the edges of the square, so that a trip never leaves it."""
    folded = np.mod(offset, 2 * SIDE)
    return np.where(folded >= SIDE, 2 * SIDE - folded, folded)
