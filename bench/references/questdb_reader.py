"""A client of the QuestDB reference: psycopg 3 over the PostgreSQL wire."""

from datetime import datetime

import psycopg

from bench.question import Checksum, Question, wrapped_sum

COLUMNS = "sensor, ts, lon, lat, value"
WHERE = "ts >= %s AND ts < %s AND lon >= %s AND lon <= %s AND lat >= %s AND lat <= %s"
EPOCH = datetime(1970, 1, 1)


class QuestDbReader:
    """One connection to one table."""

    name = "QuestDB"

    def __init__(self, dsn: str, table: str) -> None:
        self._link = psycopg.connect(dsn, autocommit=True)
        self._cursor = self._link.cursor(binary=True)
        self._box = f"SELECT {COLUMNS} FROM {table} WHERE {WHERE}"
        self._cells = (
            "SELECT cast(floor((lon - 135.0) / 0.1 + 1e-9) AS int) AS x,"
            " cast(floor((lat - 33.0) / 0.1 + 1e-9) AS int) AS y, count(), avg(value)"
            f" FROM {table} WHERE {WHERE}"
        )

    def rows(self, asked: Question) -> list[tuple[object, ...]]:
        """The records of a box, as Python values."""
        return self._cursor.execute(self._box, _bound(asked), prepare=True).fetchall()

    def count(self, asked: Question) -> int:
        """How many records came."""
        return len(self.rows(asked))

    def checksum(self, asked: Question) -> Checksum:
        """Of the same answer as `rows`."""
        rows = self.rows(asked)
        times = [_microseconds(row[1]) for row in rows]
        return Checksum(len(rows), wrapped_sum(times), float(sum(row[4] for row in rows)))  # type: ignore[misc]

    def cells(self, asked: Question) -> dict[tuple[int, int], tuple[int, float]]:
        """Count and mean per cell of 0.1 degrees."""
        found = self._cursor.execute(self._cells, _bound(asked), prepare=True).fetchall()
        return {(column, row): (count, mean) for column, row, count, mean in found}

    def close(self) -> None:
        """End the session."""
        self._link.close()


def _bound(asked: Question) -> list[object]:
    west, south, east, north = asked.bbox
    start, stop = (moment.replace(tzinfo=None) for moment in (asked.start(), asked.stop()))
    return [start, stop, west, east, south, north]


def _microseconds(moment: object) -> int:
    assert isinstance(moment, datetime)
    passed = moment.replace(tzinfo=None) - EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds
