"""The rows that every system gets: a table of sensor, time, lon, lat and one value.

Positions are rounded to 10**-7 degrees before anyone sees them, so that all systems compare the
same numbers.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from bench.place import cache_folder

SCHEMA = pa.schema(
    [
        ("sensor", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("lon", pa.float64()),
        ("lat", pa.float64()),
        ("value", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows of one collection in order of time.

    Attributes:
        name: short, also the name of tables and files made from it.
        origin: one sentence for the report: where the rows come from.
        table: the columns of `SCHEMA` in one chunk.
    """

    name: str
    collection: str
    origin: str
    table: pa.Table

    def __len__(self) -> int:
        return self.table.num_rows

    def key(self) -> str:
        """Names what was loaded: changes with the rows."""
        ends = self.table.take([0, len(self) // 2, len(self) - 1]).to_pylist()
        digest = hashlib.sha256(repr((self.collection, len(self), ends)).encode())
        return f"{self.name}-{digest.hexdigest()[:12]}"

    def head(self, count: int) -> "Dataset":
        """The first rows in order of time."""
        return Dataset(self.name, self.collection, self.origin, self.table.slice(0, count))


def cached_table(name: str, build: Callable[[], pa.Table]) -> pa.Table:
    """The table of this name from the cache, built and kept there when it is missing."""
    path = cache_folder() / f"{name}.arrow"
    if not path.exists():
        _write(path, build())
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def _write(path: Path, table: pa.Table) -> None:
    partial = path.with_suffix(".partial")
    with pa.ipc.new_file(str(partial), SCHEMA) as writer:
        (batch,) = table.select(SCHEMA.names).cast(SCHEMA).combine_chunks().to_batches()
        writer.write_batch(batch)
    partial.rename(path)
