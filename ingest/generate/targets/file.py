"""A file of records: Parquet, CSV or an Arrow stream, by its ending."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from ingest.errors import SettingsInvalid
from ingest.generate.targets.target import Place

SUFFIXES = (".parquet", ".csv", ".arrow")


class FileTarget:
    """See `ColumnTarget`; the file is complete when `finish` returns."""

    def __init__(self, place: Place) -> None:
        self._path: Path = place.need("output", "file")
        if self._path.suffix not in SUFFIXES:
            raise SettingsInvalid(f"--output {self._path} ends in none of {', '.join(SUFFIXES)}")
        self._writer: Any = None
        self.delivered = 0
        self.failed: Counter[str] = Counter()

    def open(self) -> None:
        """See `ColumnTarget`; the file is made with the first batch, whose columns it has."""
        if not self._path.parent.is_dir():
            raise SettingsInvalid(f"--output {self._path}: there is no folder {self._path.parent}")

    def send(self, batch: pa.RecordBatch) -> None:
        """See `ColumnTarget`."""
        if self._writer is None:
            self._writer = _open_writer(self._path, batch.schema)
        self._writer.write_batch(batch)
        self.delivered += len(batch)

    def finish(self) -> None:
        """See `ColumnTarget`."""
        if self._writer is not None:
            self._writer.close()


def _open_writer(path: Path, schema: Any) -> Any:
    if path.suffix == ".parquet":
        return pq.ParquetWriter(path, schema, compression="zstd")
    if path.suffix == ".csv":
        return pcsv.CSVWriter(path, schema)
    return pa.ipc.new_stream(str(path), schema)
