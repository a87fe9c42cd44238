"""GeoParquet 1.1: the columns of the contract and `geometry` as WKB points in OGC:CRS84.

https://geoparquet.org/releases/v1.1.0/
"""

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from node.codec.arrow import rows_to_batch
from node.records import JSON, Rows
from zring.domain import E7_PER_DEGREE

_WKB_POINT = np.dtype(
    [("byte_order", "u1"), ("kind", "<u4"), ("lon", "<f8"), ("lat", "<f8")], align=False
)


def points_to_wkb(rows: Rows) -> pa.Array:
    """The positions as WKB points, 21 bytes each: byte order 1, kind 1, x, y."""
    points = np.empty(len(rows), _WKB_POINT)
    points["byte_order"], points["kind"] = 1, 1
    points["lon"], points["lat"] = rows.lon / E7_PER_DEGREE, rows.lat / E7_PER_DEGREE
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * _WKB_POINT.itemsize
    return pa.BinaryArray.from_buffers(
        pa.binary(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(points.tobytes())]
    )


def rows_to_parquet(rows: Rows) -> pa.Buffer:
    """A complete GeoParquet file, zstd-compressed; json columns are texts."""
    batch = rows_to_batch(rows)
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    plain = {
        name: column.storage if column.type == JSON else column for name, column in columns.items()
    }
    table = pa.table({**plain, "geometry": points_to_wkb(rows)})
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({"geo": orjson.dumps(_geo(rows))}), sink, compression="zstd"
    )
    return sink.getvalue()


def _geo(rows: Rows) -> dict[str, object]:
    column: dict[str, object] = {"encoding": "WKB", "geometry_types": ["Point"]}
    if len(rows):
        west, east = int(rows.lon.min()), int(rows.lon.max())
        south, north = int(rows.lat.min()), int(rows.lat.max())
        column["bbox"] = [edge / E7_PER_DEGREE for edge in (west, south, east, north)]
    # No `crs`: the specification's default is OGC:CRS84, longitude before latitude.
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
