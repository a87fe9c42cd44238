"""CSV with a header row and any column names, of any length."""

from collections.abc import Iterator
from typing import BinaryIO

from ingest.formats.csv_stream import read_text_batches
from ingest.formats.part import Context, Part
from ingest.formats.table import TableMapper


def decode_csv(stream: BinaryIO, context: Context) -> Iterator[Part]:
    """Parts of about 4 MB of text; `Refused.row` is the row, the header is row 1."""
    names, batches = read_text_batches(stream)
    mapper = TableMapper(context, names)
    for batch in batches:
        yield mapper.part(batch.columns, batch.rows, batch.original, batch.refused)
