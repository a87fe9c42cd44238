"""Hourly temperature and rain of all Japan's stations, from 2023-07-13 to 2023-12-06.

The file is no part of the project: it lies in the folder that `ZRING_TEST_DATA` names (source:
Japan Meteorological Agency).
"""

import lzma
import os
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

RECORDS = "amedas/nikkei_japan_hourly_20230713_20231206.csv.xz"
STATIONS = "amedas/amedastable.json"
VALUES = ("temp", "precipitation1h")


def weather_folder() -> Path | None:
    """Where the files are; None where they are not."""
    folder = Path(os.environ.get("ZRING_TEST_DATA") or "nowhere")
    return folder if (folder / RECORDS).is_file() else None


def japan_records(folder: Path) -> pa.Table:
    """Columns sensor, time, lon, lat and `VALUES`; stations of unknown place are left out."""
    table = pcsv.read_csv(
        pa.BufferReader(lzma.decompress((folder / RECORDS).read_bytes())),
        convert_options=pcsv.ConvertOptions(column_types={"station": pa.string()}),
    )
    stations = orjson.loads((folder / STATIONS).read_bytes())
    names = sorted(stations)
    lon, lat = (_degrees([stations[name][side] for name in names]) for side in ("lon", "lat"))
    place = pc.index_in(table["station"], value_set=pa.array(names))
    known = pc.is_valid(place)
    table, place = table.filter(known), place.filter(known).combine_chunks()
    return pa.table(
        {
            "sensor": table["station"],
            "time": table["time_jst"].cast(pa.timestamp("us", tz="UTC")),
            "lon": pa.array(lon).take(place),
            "lat": pa.array(lat).take(place),
            **{name: table[name] for name in VALUES},
        }
    )


def _degrees(pairs: list[list[float]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Of degrees and decimal minutes."""
    return np.array([degrees + minutes / 60 for degrees, minutes in pairs])
