"""DuckDB in-process: one file, rows in the order of the Z-order code and time, Arrow out."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from bench.dataset import Dataset
from bench.question import Checksum, Question, checksum
from zring.domain import Domain, degrees_to_e7

DOMAIN = Domain.from_degrees(west=135.0, south=33.0, east=136.6, north=34.6)
WHERE = "lon BETWEEN ? AND ? AND lat BETWEEN ? AND ? AND time >= ? AND time < ?"


class DuckDbFile:
    """A library, not a server: no network between it and the client, nothing shared."""

    name = "DuckDB"

    def __init__(self, folder: Path, dataset: Dataset, *, progress: Callable[[str], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{dataset.key()}.duckdb"
        if not self.path.exists():
            progress(f"DuckDB: {len(dataset):,} records")
            _create(self.path, dataset)
        self._link = duckdb.connect(str(self.path), read_only=True, config={"threads": 2})

    def table(self, asked: Question) -> pa.Table:
        """The records of a box."""
        statement = f"SELECT sensor, time, lon, lat, value FROM records WHERE {WHERE}"
        found = self._link.sql(statement, params=_bound(asked))
        return found.to_arrow_table()

    def checksum(self, asked: Question) -> Checksum:
        """Of the same answer as `table`."""
        table = self.table(asked)
        return checksum(table["time"], table["value"])

    def cells(self, asked: Question) -> dict[tuple[int, int], tuple[int, float]]:
        """Count and mean per cell of 0.1 degrees."""
        found = self._link.execute(
            "SELECT floor((lon - 135.0) / 0.1 + 1e-9)::int, floor((lat - 33.0) / 0.1 + 1e-9)::int,"
            f" count(*), avg(value) FROM records WHERE {WHERE} GROUP BY 1, 2",
            _bound(asked),
        ).fetchall()
        return {(column, row): (count, mean) for column, row, count, mean in found}

    def bytes_on_disk(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def close(self) -> None:
        """Close the file."""
        self._link.close()


def _create(path: Path, dataset: Dataset) -> None:
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    table = dataset.table
    code = DOMAIN.positions_to_codes(
        lon=degrees_to_e7(table["lon"].to_numpy()), lat=degrees_to_e7(table["lat"].to_numpy())
    )
    rows = table.append_column("code", pa.array(code))
    with duckdb.connect(str(partial)) as link:
        link.register("rows", rows)
        link.execute(
            "CREATE TABLE records AS SELECT code, sensor, time, lon, lat, value"
            " FROM rows ORDER BY code, time"
        )
    partial.rename(path)


def _bound(asked: Question) -> list[float | datetime]:
    west, south, east, north = asked.bbox
    return [west, east, south, north, asked.start(), asked.stop()]
