"""Single-value weather records: the real ones of the square, or generated ones of the same kind."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ingest.generate import generate_records

REAL_FILE = Path("amedas") / "square_long_real_1218583.csv.gz"
GENERATED_COUNT = 1_000_000
TIME_TYPE = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Observations:
    """Records as a table for writing and as numpy columns for the brute-force answer.

    Attributes:
        table: sensor, time, lon, lat, value; every (sensor, time) once.
        sensor: int[n], index into `names`.
        time: int64[n], microseconds.
        lon, lat: int64[n], e7 units.
        value: float64[n].
    """

    table: pa.Table
    names: list[str]
    sensor: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]
    lon: npt.NDArray[np.int64]
    lat: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)


def load_observations(*, seed: int) -> Observations:
    """All records in a random order."""
    folder = os.environ.get("ZRING_TEST_DATA")
    table = _real(Path(folder) / REAL_FILE) if folder else _generated()
    order = np.random.default_rng(seed).permutation(table.num_rows)
    table = table.take(pa.array(order)).combine_chunks()
    sensor = table["sensor"].combine_chunks().dictionary_encode()
    return Observations(
        table=table,
        names=sensor.dictionary.to_pylist(),
        sensor=sensor.indices.to_numpy().astype(np.int64),
        time=table["time"].cast(pa.int64()).to_numpy(),
        lon=np.rint(table["lon"].to_numpy() * 1e7).astype(np.int64),
        lat=np.rint(table["lat"].to_numpy() * 1e7).astype(np.int64),
        value=table["value"].to_numpy(),
    )


def _real(path: Path) -> pa.Table:
    raw = csv.read_csv(
        path, convert_options=csv.ConvertOptions(column_types={"station": pa.string()})
    )
    return pa.table(
        {
            "sensor": pc.binary_join_element_wise(raw["station"], raw["element"], "/"),
            "time": raw["time"].cast(TIME_TYPE),
            "lon": raw["lon"],
            "lat": raw["lat"],
            "value": raw["value"].cast(pa.float64()),
        }
    )


def _generated() -> pa.Table:
    batches = generate_records(count=GENERATED_COUNT, seed=7, mode="single")
    names = ["sensor", "time", "lon", "lat", "value"]
    table = pa.Table.from_batches([batch.select(names) for batch in batches])
    return table.set_column(1, "time", table["time"].cast(TIME_TYPE))
