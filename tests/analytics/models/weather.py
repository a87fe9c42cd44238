"""Weather of which the future can be known in part: real where it is there, else generated."""

import lzma
import os
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pcsv

from analytics.models.grid import DAY_US, HOUR_US, Grid, grid_of

REAL = "amedas/nikkei_japan_hourly_20230713_20231206.csv.xz"
STATIONS = 50
DAYS = 48
START_US = 1_691_452_800_000_000
"""2023-08-08T00:00:00Z"""
WEST, SOUTH, EAST, NORTH = 135.0, 33.0, 137.5, 35.5


def hourly_grid() -> Grid:
    """Some fifty stations over 48 days, with `temp` and `precipitation1h`."""
    folder = os.environ.get("ZRING_TEST_DATA")
    if folder and (Path(folder) / REAL).is_file():
        return _real(Path(folder))
    return generated_grid()


def _real(folder: Path) -> Grid:
    table = pcsv.read_csv(
        pa.BufferReader(lzma.decompress((folder / REAL).read_bytes())),
        convert_options=pcsv.ConvertOptions(column_types={"station": pa.string()}),
    )
    stations = orjson.loads((folder / "amedas" / "amedastable.json").read_bytes())
    places = {
        name: (entry["lon"][0] + entry["lon"][1] / 60, entry["lat"][0] + entry["lat"][1] / 60)
        for name, entry in stations.items()
        if entry["elems"][0] != "0"
    }
    inside = {
        name: place
        for name, place in places.items()
        if WEST <= place[0] < EAST and SOUTH <= place[1] < NORTH
    }
    names = table["station"]
    kept = table.filter(pa.compute.is_in(names, value_set=pa.array(sorted(inside))))
    station = kept["station"].to_pylist()
    records = pa.table(
        {
            "sensor": kept["station"],
            "time": kept["time_jst"].cast(pa.timestamp("us", tz="UTC")),
            "lon": [inside[name][0] for name in station],
            "lat": [inside[name][1] for name in station],
            "temp": kept["temp"],
            "precipitation1h": kept["precipitation1h"],
        }
    )
    return grid_of(
        records,
        ("temp", "precipitation1h"),
        start_us=START_US,
        stop_us=START_US + DAYS * DAY_US,
    )


def generated_grid(*, seed: int = 4) -> Grid:
    """Fronts that pass from west to east over stations, each with a course of its own."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(WEST, EAST, STATIONS), rng.uniform(SOUTH, NORTH, STATIONS)
    hour = np.arange(24 * DAYS)
    sun = np.clip(np.cos(2 * np.pi * (hour[None] - 4 + lon[:, None] / 15 - 9) / 24), -0.4, 1)
    phase = hour[None] - (lon[:, None] - WEST) * 3.0
    front = sum(
        rng.uniform(1, 3) * np.tanh((phase - passing) / 1.5) * (-1) ** number
        for number, passing in enumerate(np.cumsum(rng.uniform(20, 60, 3 * DAYS // 4)))
    )
    rain = np.maximum(0, np.gradient(-front, axis=1)) * 3
    own = rng.uniform(3, 8, (STATIONS, 1))
    temp = 18 + rng.normal(0, 2, (STATIONS, 1)) + own * sun + front
    temp += rng.normal(0, 0.3, temp.shape)
    values = {
        "temp": np.round(temp, 1).astype(np.float32),
        "precipitation1h": (np.floor(rain * 2) / 2).astype(np.float32),
    }
    names = tuple(f"s{number:03d}" for number in range(STATIONS))
    return Grid(names, lon, lat, START_US, HOUR_US, values)


def records_of_grid(grid: Grid) -> pa.Table:
    """The same as records."""
    station, hour = np.nonzero(np.isfinite(grid.values["temp"]))
    return pa.table(
        {
            "sensor": pa.array(np.array(grid.sensors, object)[station], pa.string()),
            "time": pa.array(grid.time_us(hour)).view(pa.timestamp("us", tz="UTC")),
            "lon": pa.array(np.round(grid.lon[station], 6)),
            "lat": pa.array(np.round(grid.lat[station], 6)),
            **{
                name: pa.array(values[station, hour].astype(np.float64), from_pandas=True)
                for name, values in grid.values.items()
            },
        }
    )
