"""2,000,000 weather records of 40 stations: real ones where there are files, else generated.

The real file of the square holds 1,218,583 single values of 25 months. The same rows shifted by
765 days (just after the last one) follow, and the first 2 M in order of time are taken. The sensor
is "<station>/<element>".
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from bench.dataset import Dataset, cached_table
from bench.place import test_data_folder
from ingest.generate import generate_records

COLLECTION = "amedas"
REAL_FILE = "amedas/square_long_real_1218583.csv.gz"
SHIFT_US = 765 * 86_400 * 1_000_000


def station_records(count: int) -> Dataset:
    """The first `count` station records in order of time."""
    folder = test_data_folder()
    if folder is not None:
        table = cached_table(f"stations-real-{count}", lambda: _real(folder / REAL_FILE, count))
        origin = "real AMeDAS records of the square, and the same shifted by 765 days"
        return Dataset("stations", COLLECTION, origin, table)
    table = cached_table(f"stations-generated-{count}", lambda: _generated(count))
    origin = "generated records of the 40 stations of the square (`ingest.generate`, seed 1)"
    return Dataset("observations", COLLECTION, origin, table)


def _generated(count: int) -> pa.Table:
    start = datetime(2025, 2, 1, tzinfo=UTC)
    batches = generate_records(count, seed=1, start=start, mode="single")
    return pa.Table.from_batches(list(batches))


def _real(path: Path, count: int) -> pa.Table:
    types = {"station": pa.string(), "time": pa.timestamp("us", tz="UTC")}
    rows = pyarrow.csv.read_csv(
        path, convert_options=pyarrow.csv.ConvertOptions(column_types=types)
    ).combine_chunks()
    time = rows["time"].cast(pa.int64()).to_numpy()
    sensor = pc.binary_join_element_wise(rows["station"], rows["element"], "/")
    times = np.concatenate([time, time + SHIFT_US])
    order = np.argsort(times, kind="stable")[:count]
    source = pa.array(order % len(time))
    return pa.table(
        {
            "sensor": sensor.take(source).combine_chunks(),
            "time": pa.array(times[order]).view(pa.timestamp("us", tz="UTC")),
            "lon": pa.array(np.rint(rows["lon"].to_numpy() * 1e7)[order % len(time)] / 1e7),
            "lat": pa.array(np.rint(rows["lat"].to_numpy() * 1e7)[order % len(time)] / 1e7),
            "value": rows["value"].take(source).combine_chunks(),
        }
    )
