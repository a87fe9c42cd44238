"""Rows of an answer as the bytes of a file, where the node does not send that file itself."""

import pyarrow as pa

from node.codec.arrow import trusted_batch_to_rows
from node.codec.csv import rows_to_csv
from node.codec.geojson import rows_to_collection
from node.codec.ndjson import rows_to_ndjson
from node.codec.parquet import rows_to_parquet
from node.records import Rows, empty_rows
from zring.domain import WORLD


def encode_rows(table: pa.Table, kind: str) -> bytes:
    """A whole file of the kind `arrow`, `csv`, `ndjson`, `geojson` or `parquet`."""
    if kind == "arrow":
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes()
    rows = _rows(table)
    if kind == "geojson":
        return rows_to_collection(rows, {"numberReturned": len(rows)})
    if kind == "parquet":
        return rows_to_parquet(rows).to_pybytes()
    return {"csv": rows_to_csv, "ndjson": rows_to_ndjson}[kind](rows)


def _rows(table: pa.Table) -> Rows:
    # The codes that rows carry inside a node mean nothing in a file: any domain will do.
    batches = table.combine_chunks().to_batches()
    return trusted_batch_to_rows(batches[0], WORLD) if batches else empty_rows()
