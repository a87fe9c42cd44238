"""What a query gives back: rows as Arrow, and how complete they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from node.errors import PeerRefused
from node.query import COVERAGE_ORDER, CoverageState
from node.records import concat_values

COORDINATES = "EPSG:4326"


@dataclass(frozen=True, slots=True)
class AnswerCoverage:
    """How complete an answer is (PROTOCOL 6), as the node said it.

    Attributes:
        state: complete, local, settling or partial; the answer's state is the worst of its parts.
        details: what the node said besides: as_of, away, replicas, settling, missing.
    """

    state: CoverageState
    details: Mapping[str, Any] = field(default_factory=dict)


class Result:
    """Rows of one answer; decoded when first looked at.

    Usable wherever Arrow is: `pa.table(result)`, `polars.from_arrow(result)`, DuckDB.
    """

    def __init__(self, body: bytes | bytearray | pa.Table, coverage: AnswerCoverage) -> None:
        self._body = body
        self.coverage = coverage

    @property
    def table(self) -> pa.Table:
        """Columns sensor, time, lon, lat, version, then the values by name.

        Raises:
            PeerRefused: when the answer is no Arrow stream.
        """
        if not isinstance(self._body, pa.Table):
            self._body = _decode(self._body)
        return self._body

    def to_pandas(self) -> Any:
        """The rows as a pandas DataFrame."""
        return self.table.to_pandas()

    def to_geopandas(self) -> Any:
        """The rows as a GeoDataFrame with points in EPSG:4326."""
        import geopandas

        frame = self.to_pandas()
        points = geopandas.points_from_xy(frame["lon"], frame["lat"])
        return geopandas.GeoDataFrame(frame, geometry=points, crs=COORDINATES)

    def to_pylist(self) -> list[dict[str, Any]]:
        """The rows as dictionaries; for small answers."""
        return self.table.to_pylist()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        columns = ", ".join(self.table.column_names)
        return f"<Result of {len(self)} rows ({columns}), {self.coverage.state}>"


def coverage_of(headers: Mapping[str, str]) -> AnswerCoverage:
    """Coverage from the headers of an answer; details where the node sent them."""
    state: Any = headers.get("zring-coverage", "partial")
    details = headers.get("zring-coverage-details")
    return AnswerCoverage(state, orjson.loads(details) if details else {})


def joined(pages: Sequence[Result]) -> Result:
    """The rows of all pages in their order, with the worst of their coverages."""
    if len(pages) == 1:
        return pages[0]
    worst = max(
        (page.coverage for page in pages), key=lambda part: COVERAGE_ORDER.index(part.state)
    )
    return Result(_concatenated([page.table for page in pages]), worst)


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows; value types that differ from part to part are widened as nodes widen them."""
    if all(table.schema.equals(tables[0].schema) for table in tables):
        return pa.concat_tables(tables)
    filled = [table for table in tables if table.num_rows] or tables[:1]
    names = dict.fromkeys(name for table in filled for name in table.column_names)
    return pa.table(
        {
            name: concat_values([(_column(table, name), table.num_rows) for table in filled])
            for name in names
        }
    )


def _column(table: pa.Table, name: str) -> pa.Array | None:
    return table[name].combine_chunks() if name in table.column_names else None


def _decode(body: bytes | bytearray) -> pa.Table:
    try:
        return pa.ipc.open_stream(body).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise PeerRefused(f"the answer is no Arrow stream: {error}") from None
