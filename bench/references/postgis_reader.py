"""A client of the PostGIS reference: psycopg 3 with binary cursors."""

from datetime import UTC, datetime

import psycopg

from bench.question import Checksum, Question, wrapped_sum

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = "sensor, ts, lon, lat, value"
WHERE = (
    "geom && ST_MakeEnvelope(%s, %s, %s, %s, 4326) AND ts >= %s AND ts < %s"
    " AND lon BETWEEN %s AND %s AND lat BETWEEN %s AND %s"
)


class PostGisReader:
    """One connection; `table` is the view that is named after the data set."""

    name = "PostGIS"

    def __init__(self, dsn: str, table: str) -> None:
        self._link = psycopg.connect(
            dsn, autocommit=True, options="-c plan_cache_mode=force_custom_plan"
        )
        self._cursor = self._link.cursor(binary=True)
        self._box = f"SELECT {COLUMNS} FROM {table} WHERE {WHERE}"
        self._cells = (
            "SELECT floor((lon - 135.0) / 0.1 + 1e-9)::int, floor((lat - 33.0) / 0.1 + 1e-9)::int,"
            f" count(*), avg(value) FROM {table} WHERE {WHERE} GROUP BY 1, 2"
        )
        self._geojson = GEOJSON.format(table=table, where=WHERE)
        self._pasted = PASTED_GEOJSON.format(table=table, where=WHERE)

    def rows(self, asked: Question) -> list[tuple[object, ...]]:
        """The records of a box, as Python values."""
        return self._cursor.execute(self._box, _bound(asked), prepare=True).fetchall()

    def count(self, asked: Question) -> int:
        """How many records came."""
        return len(self.rows(asked))

    def checksum(self, asked: Question) -> Checksum:
        """Of the same answer as `rows`."""
        rows = self.rows(asked)
        times = (_microseconds(row[1]) for row in rows)
        return Checksum(len(rows), wrapped_sum(times), float(sum(row[4] for row in rows)))  # type: ignore[misc]

    def cells(self, asked: Question) -> dict[tuple[int, int], tuple[int, float]]:
        """Count and mean per cell of 0.1 degrees."""
        found = self._cursor.execute(self._cells, _bound(asked), prepare=True).fetchall()
        return {(column, row): (count, mean) for column, row, count, mean in found}

    def geojson(self, asked: Question) -> str:
        """A FeatureCollection, built in the server."""
        return self._text(self._geojson, asked)

    def pasted_geojson(self, asked: Question) -> str:
        """Nearly the same text put together by hand, without quoting what might need it."""
        return self._text(self._pasted, asked)

    def _text(self, statement: str, asked: Question) -> str:
        row = self._cursor.execute(statement, _bound(asked), prepare=True).fetchone()
        assert row is not None
        return str(row[0])

    def close(self) -> None:
        """End the session."""
        self._link.close()


GEOJSON = """
SELECT '{{"type":"FeatureCollection","features":[' || coalesce(string_agg(
  ST_AsGeoJSON(answer.*, 'geom', 7), ','), '') || ']}}'
FROM (SELECT geom, sensor, ts AS time, value FROM {table} WHERE {where}) AS answer
"""
"""The way of the PostGIS manual: each row as a Feature (`ST_AsGeoJSON(record)`), joined as text,
which is faster than json_agg because nothing is parsed again."""

PASTED_GEOJSON = """
SELECT '{{"type":"FeatureCollection","features":[' || coalesce(string_agg(
  '{{"type":"Feature","geometry":{{"type":"Point","coordinates":[' || lon || ',' || lat
  || ']}},"properties":{{"sensor":"' || sensor || '","time":"' || ts || '","value":' || value
  || '}}}}', ','), '') || ']}}'
FROM {table} WHERE {where}
"""
"""Faster than any JSON function of PostgreSQL, and wrong as soon as a name holds a quote."""


def _bound(asked: Question) -> list[object]:
    west, south, east, north = asked.bbox
    return [west, south, east, north, asked.start(), asked.stop(), west, east, south, north]


def _microseconds(moment: object) -> int:
    assert isinstance(moment, datetime)
    passed = moment - EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds
