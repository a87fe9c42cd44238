"""Parquet with any column names, row group by row group."""

import io
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import UnreadableFile
from ingest.formats.part import BATCH_ROWS, Context, Part
from ingest.formats.table import TableMapper
from node.records import VALUE_NAMES_MAX

MAGIC = b"PAR1"
UNPACKED_BYTES_MAX = 256 << 20
"""A Parquet file inside a compressed one cannot be read in pieces."""
_ERRORS = (pa.ArrowException, OSError, ValueError)


def decode_parquet(stream: BinaryIO, context: Context) -> Iterator[Part]:
    """Parts of 65,536 rows; `Refused.row` counts the rows from 1.

    A seekable file is read where it lies; another stream (a compressed file) is held in memory.
    """
    try:
        source = pq.ParquetFile(_seekable(stream))
        names = source.schema_arrow.names
    except _ERRORS as error:
        raise UnreadableFile(f"the file is no Parquet: {error}") from None
    if len(set(names)) < len(names) or len(names) > VALUE_NAMES_MAX:
        raise UnreadableFile(f"column names repeat, or are more than {VALUE_NAMES_MAX}")
    mapper = TableMapper(context, [name for name in names if name != "geometry"])
    start = 1
    batches = source.iter_batches(batch_size=BATCH_ROWS, use_threads=False)
    while True:
        try:
            batch = next(batches, None)
        except _ERRORS as error:
            raise UnreadableFile(f"the file stops being Parquet: {error}") from None
        if batch is None:
            return
        columns = dict(zip(names, batch.columns, strict=True))
        rows = np.arange(start, start + len(batch), dtype=np.int64)
        start += len(batch)

        def original(index: int, batch: pa.RecordBatch = batch) -> object:
            return batch.slice(index, 1).to_pylist()[0]

        yield mapper.part(columns, rows, original)


def _seekable(stream: BinaryIO) -> BinaryIO:
    if hasattr(stream, "seekable") and stream.seekable():
        return stream
    data = stream.read(UNPACKED_BYTES_MAX + 1)
    if len(data) > UNPACKED_BYTES_MAX:
        raise UnreadableFile(
            f"more than {UNPACKED_BYTES_MAX} bytes of Parquet inside a compressed file; unpack it"
        )
    return io.BytesIO(data)
