"""Weather of which the future can be known in part: real where it is there, else generated."""

import numpy as np
import pyarrow as pa

from analytics.models.grid import DAY_US, HOUR_US, Grid, grid_of
from bench.hourly_weather import VALUES, japan_records, weather_folder

STATIONS = 50
DAYS = 48
START_US = 1_691_452_800_000_000
"""2023-08-08T00:00:00Z"""
WEST, SOUTH, EAST, NORTH = 135.0, 33.0, 137.5, 35.5


def hourly_grid() -> Grid:
    """Some fifty stations over 48 days, with `temp` and `precipitation1h`."""
    folder = weather_folder()
    if folder is None:
        return generated_grid()
    records = japan_records(folder)
    lon, lat = records["lon"].to_numpy(), records["lat"].to_numpy()
    inside = (lon >= WEST) & (lon < EAST) & (lat >= SOUTH) & (lat < NORTH)
    stop_us = START_US + DAYS * DAY_US
    chosen = records.filter(pa.array(inside & records["temp"].is_valid().to_numpy()))
    return grid_of(chosen, VALUES, start_us=START_US, stop_us=stop_us)


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
