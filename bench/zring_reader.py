"""A client of the cluster: the one that users have, `zring.connect`."""

import io

import zring
from bench.question import Checksum, Question, checksum


class ZringReader:
    """One client of one collection.

    Args:
        direct: ask the node at `url` and no other; otherwise the owner of the area.
    """

    name = "zring"

    def __init__(self, url: str, collection: str, *, direct: bool = False) -> None:
        self._client = zring.connect(url, direct=direct)
        self._collection = collection

    def table(self, asked: Question) -> object:
        """The records of a box, as an Arrow table."""
        return self._result(asked).table

    def count(self, asked: Question) -> int:
        """How many records came."""
        return len(self._result(asked))

    def checksum(self, asked: Question) -> Checksum:
        """Of the same answer as `table`."""
        result = self._result(asked)
        return checksum(result.table["time"], result.table["value"])

    def cells(self, asked: Question, level: int = 4) -> dict[tuple[int, int], tuple[int, float]]:
        """Count and mean per cell of a level."""
        table = self._client.aggregate(
            self._collection, bbox=asked.bbox, from_=asked.start(), to=asked.stop(),
            level=level, columns=["value"],
        ).table  # fmt: skip
        return {
            _column_and_row(cell, level): (count, mean)
            for cell, count, mean in zip(
                table["cell"].to_pylist(),
                table["count"].to_pylist(),
                table["value_mean"].to_pylist(),
                strict=True,
            )
        }

    def geojson(self, asked: Question) -> bytes:
        """A FeatureCollection as it came."""
        sink = io.BytesIO()
        self._client.download(
            self._collection, sink, format="geojson", bbox=asked.bbox, from_=asked.start(),
            to=asked.stop(), limit=100_000,
        )  # fmt: skip
        return sink.getvalue()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _result(self, asked: Question):  # type: ignore[no-untyped-def]
        return self._client.query(
            self._collection, bbox=asked.bbox, from_=asked.start(), to=asked.stop()
        )


def _column_and_row(cell: int, level: int) -> tuple[int, int]:
    """Index of a cell along the curve → column from the west, row from the south."""
    column = row = 0
    for bit in range(level):
        column |= (cell >> (2 * bit + 1) & 1) << bit
        row |= (cell >> (2 * bit) & 1) << bit
    return column, row
