"""Where models get records from: a cluster, or a file that a query wrote."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics.models.errors import DataUnsuited
from analytics.models.grid import times_us
from analytics.source.selection import time_to_text
from node.client import AnswerCoverage, Client
from node.client.parameters import BoundingBox
from node.query import TIME_MAX, TIME_MIN

FIXED = ("sensor", "time", "lon", "lat")
KM_PER_DEGREE = 111.2
LAT_MAX = 85.0
"""Beyond, a degree of longitude is too short to reach around an area by degrees."""


def records_of_cluster(
    client: Client,
    collection: str,
    columns: Sequence[str],
    *,
    bbox: BoundingBox | None,
    start_us: int,
    stop_us: int,
    timeout_s: float,
) -> tuple[pa.Table, AnswerCoverage]:
    """Records of an area and a time with these values, and how complete they are."""
    result = client.query(
        collection,
        bbox=bbox,
        from_=None if start_us <= TIME_MIN else time_to_text(start_us),
        to=None if stop_us >= TIME_MAX else time_to_text(stop_us),
        columns=columns,
        timeout_s=timeout_s,
    )
    return result.table, result.coverage


def records_of_file(path: Path) -> pa.Table:
    """Records in the Parquet that `zring query --format parquet` writes.

    Raises:
        DataUnsuited: the file cannot be read, or lacks a column that every record has.
    """
    try:
        records = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataUnsuited(f"{path} cannot be read as Parquet: {error}") from None
    missing = [name for name in FIXED if name not in records.column_names]
    if missing:
        raise DataUnsuited(f"{path} has no column {missing[0]}; a file of records has it")
    return records


def describe_records(records: pa.Table, columns: Sequence[str]) -> dict[str, Any]:
    """What a saved model says about its data; the digest is the same in whatever order they came.

    Raises:
        DataUnsuited: there are no records.
    """
    if not len(records):
        raise DataUnsuited("there are no records in this area and time")
    chosen = records.select(
        [*FIXED, *sorted(name for name in columns if name in records.column_names)]
    ).sort_by([("sensor", "ascending"), ("time", "ascending"), ("lon", "ascending")])
    digest = hashlib.sha256()
    for name in chosen.column_names:
        digest.update(name.encode())
        digest.update(_content(chosen[name]))
    time = times_us(chosen)
    return {
        "sha256": digest.hexdigest(),
        "records": len(records),
        "sensors": len(chosen["sensor"].unique()),
        "from": time_to_text(int(time.min())),
        "to": time_to_text(int(time.max())),
    }


def _content(column: pa.ChunkedArray) -> bytes:
    """The bytes of a sorted column, whatever Arrow's pieces of it are."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    values = column.to_numpy()
    if values.dtype == object:
        return b"\0".join(str(value).encode() for value in values.tolist())
    return np.ascontiguousarray(values).tobytes()


def wider(bbox: BoundingBox, margin_km: float) -> tuple[float, float, float, float]:
    """The box with so much around it, inside the world."""
    west, south, east, north = (bbox[0], bbox[1], bbox[-2], bbox[-1]) if len(bbox) == 4 else (
        bbox[0], bbox[1], bbox[3], bbox[4]
    )  # fmt: skip
    rise = margin_km / KM_PER_DEGREE
    farthest = min(max(abs(south - rise), abs(north + rise)), LAT_MAX)
    run = rise / float(np.cos(np.radians(farthest)))
    return (
        max(west - run, -180.0),
        max(south - rise, -90.0),
        min(east + run, 180.0),
        min(north + rise, 90.0),
    )


def inside(records: pa.Table, bbox: BoundingBox | None) -> pa.Table:
    """Those of the records that lie in the box, edges included."""
    if bbox is None:
        return records
    west, south, east, north = wider(bbox, 0.0)
    lon, lat = records["lon"].to_numpy(), records["lat"].to_numpy()
    return records.filter(pa.array((lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)))
