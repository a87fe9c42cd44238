"""Records of the station data set as messages: single JSON records, batches as columns."""

from collections.abc import Iterator

import msgpack
import orjson
import pyarrow as pa

from bench.dataset import Dataset


def json_bodies(dataset: Dataset, count: int) -> Iterator[bytes]:
    """One record a message, as a gateway sends it."""
    for row in _rows(dataset, count):
        sensor, time, lon, lat, value = row
        yield orjson.dumps(
            {"sensor": sensor, "time": time, "lon": lon, "lat": lat, "values": {"value": value}}
        )


def batch_bodies(dataset: Dataset, count: int, *, records: int) -> Iterator[bytes]:
    """Batches of records as columns in msgpack; times in microseconds."""
    table = dataset.table.slice(0, count)
    for start in range(0, count, records):
        part = table.slice(start, records)
        yield msgpack.packb(
            {
                "sensor": part["sensor"].to_pylist(),
                "time": part["time"].cast(pa.int64()).to_pylist(),
                "lon": part["lon"].to_pylist(),
                "lat": part["lat"].to_pylist(),
                "value": part["value"].to_pylist(),
            }
        )


def _rows(dataset: Dataset, count: int) -> Iterator[tuple[str, str, float, float, float]]:
    table = dataset.table.slice(0, count)
    times = table["time"].cast(pa.timestamp("ms", "UTC")).cast(pa.string())
    yield from zip(
        table["sensor"].to_pylist(),
        (text.replace(" ", "T") for text in times.to_pylist()),
        table["lon"].to_pylist(),
        table["lat"].to_pylist(),
        table["value"].to_pylist(),
        strict=True,
    )
