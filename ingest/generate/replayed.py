"""Real records instead of made ones: those of files, in the order of their times."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ingest.errors import UnreadableFile
from ingest.formats import DECODERS, HEAD_BYTES, Context, detect
from ingest.formats.compressed import open_plain
from ingest.loading import find_files
from node.codec.arrow import rows_to_batch
from node.codec.columns import columns_to_rows
from node.codec.decoded import Rejecter
from node.records import Rows, concat_rows
from zring.domain import Domain

REPLAYED_RECORDS_MAX = 5_000_000
"""They are sorted in memory; a year of all stations of a prefecture is less."""
_BATCH_RECORDS = 65_536


def replay_records(paths: Sequence[Path], context: Context) -> Iterator[pa.RecordBatch]:
    """The good records of files and folders, sorted by time; rows that are none are left out.

    Raises:
        UnreadableFile: a file is of no known format, holds no record, or all are too many.
    """
    pieces: list[Rows] = []
    count = 0
    for path in find_files(tuple(paths)):
        with open_plain(path) as stream:
            name = detect(stream.read(HEAD_BYTES), str(path))
        if name not in DECODERS:
            continue  # a station table between the files
        with open_plain(path) as stream:
            for part in DECODERS[name](stream, context):
                rows = columns_to_rows(
                    part.columns, domain=Domain.parse("world"), rejecter=Rejecter(len(part.rows))
                ).rows
                pieces.append(rows)
                count += len(rows)
                if count > REPLAYED_RECORDS_MAX:
                    raise UnreadableFile(
                        f"the files hold more than {REPLAYED_RECORDS_MAX} records; name fewer"
                    )
    if not count:
        raise UnreadableFile(f"no record in {', '.join(map(str, paths))}")
    batch = rows_to_batch(concat_rows(pieces))
    batch = batch.drop_columns([name for name in ("version",) if name in batch.schema.names])
    order = np.argsort(batch["time"].cast("int64").to_numpy(), kind="stable")
    sorted_batch = batch.take(pa.array(order))
    for start in range(0, len(sorted_batch), _BATCH_RECORDS):
        yield sorted_batch.slice(start, _BATCH_RECORDS)
