"""Arrow IPC streams: between nodes, to Python and Spark, and for bulk writes.

Columns: sensor utf8, time timestamp[us, UTC], lon and lat float64 degrees, version int64, then
the values by name; `deleted` bool only between nodes and only where a row is a deletion.
"""

import numpy as np
import pyarrow as pa

from node.records import FIXED_NAMES, Rows
from zring.domain import E7_PER_DEGREE, Domain, degrees_to_e7

TIME_TYPE = pa.timestamp("us", tz="UTC")


def rows_to_batch(rows: Rows) -> pa.RecordBatch:
    """The rows as one record batch with the columns above."""
    arrays = {
        "sensor": rows.sensor,
        "time": pa.array(rows.time).view(TIME_TYPE),
        "lon": pa.array(rows.lon / E7_PER_DEGREE),
        "lat": pa.array(rows.lat / E7_PER_DEGREE),
        "version": pa.array(rows.version),
        **rows.values,
    }
    if rows.deleted.any():
        arrays["deleted"] = pa.array(rows.deleted)
    return pa.RecordBatch.from_pydict(arrays)


def rows_to_stream(rows: Rows) -> pa.Buffer:
    """The rows as a complete Arrow IPC stream of one batch."""
    batch = rows_to_batch(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def trusted_batch_to_rows(batch: pa.RecordBatch, domain: Domain) -> Rows:
    """Rows of a batch that another node wrote: types and bounds are known to be right."""
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    lon = degrees_to_e7(columns["lon"].to_numpy()).astype(np.int32)
    lat = degrees_to_e7(columns["lat"].to_numpy()).astype(np.int32)
    deleted = columns.get("deleted")
    return Rows.build(
        time=columns["time"].view(pa.int64()).to_numpy(),
        lon=lon,
        lat=lat,
        code=domain.positions_to_codes(lon=lon, lat=lat),
        version=columns["version"].to_numpy(),
        deleted=None if deleted is None else deleted.to_numpy(zero_copy_only=False),
        sensor=columns["sensor"],
        values={name: column for name, column in columns.items() if name not in FIXED_NAMES},
    )
