"""Hourly temperature and rain: real where `ZRING_TEST_DATA` names the files, else generated."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from bench.hourly_weather import VALUES, japan_records, weather_folder
from ingest.generate import generate_records

START = datetime(2023, 8, 8, tzinfo=UTC)
HOUR_US = 3_600_000_000
GENERATED_PER_DAY = 40 * 144
"""At most: 40 stations, every ten minutes."""


def hourly_records(box: tuple[float, float, float, float], *, days: int) -> pa.Table:
    """Columns sensor, time, lon, lat, temp and precipitation1h of the stations in a box.

    Real ones are of the Japan Meteorological Agency (source: 気象庁ホームページ, edited).
    """
    folder = weather_folder()
    if folder is None:
        made = generate_records(GENERATED_PER_DAY * days, seed=1, start=START)
        records = pa.Table.from_batches(list(made))
    else:
        records = japan_records(folder)
    west, south, east, north = box
    lon, lat = records["lon"].to_numpy(), records["lat"].to_numpy()
    time_us = records["time"].cast(pa.int64()).to_numpy()
    start_us = int(START.timestamp()) * 1_000_000
    kept = (lon >= west) & (lon < east) & (lat >= south) & (lat < north) & (time_us % HOUR_US == 0)
    kept &= (time_us >= start_us) & (time_us < start_us + days * 24 * HOUR_US)
    kept &= np.asarray(records["temp"].is_valid())
    return records.filter(pa.array(kept)).select(["sensor", "time", "lon", "lat", *VALUES])
