"""Questions that all systems are asked, and the answers that numpy gives to them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench.dataset import Dataset

DAY_US = 86_400 * 1_000_000
CELL_DEGREES = 0.1
"""Side of a level 4 cell of the default square."""


@dataclass(frozen=True, slots=True)
class Question:
    """Records in a box (closed, degrees) and in a half-open time (microseconds, UTC)."""

    west: float
    south: float
    east: float
    north: float
    time_start: int
    time_stop: int

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        return (self.west, self.south, self.east, self.north)

    def start(self) -> datetime:
        """The first moment."""
        return datetime.fromtimestamp(self.time_start / 1e6, UTC)

    def stop(self) -> datetime:
        """The first moment after."""
        return datetime.fromtimestamp(self.time_stop / 1e6, UTC)


@dataclass(frozen=True, slots=True)
class Checksum:
    """What an answer must add up to, in whatever order it comes."""

    rows: int
    time_sum: int
    value_sum: float

    def check(self, other: "Checksum", who: str) -> None:
        """Raise WrongAnswer unless both are the same but for the rounding of a sum."""
        close = abs(self.value_sum - other.value_sum) <= 1e-6 * max(1.0, abs(self.value_sum))
        if (self.rows, self.time_sum) != (other.rows, other.time_sum) or not close:
            raise WrongAnswer(f"{who} answered {other}, numpy says {self}")


class WrongAnswer(Exception):
    """A system returned other records than numpy finds: nothing it timed means anything."""


def question(bbox: tuple[float, float, float, float], day: str, days: float) -> Question:
    """A box and some days from midnight UTC of `day` (YYYY-MM-DD)."""
    start = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000
    return Question(*bbox, start, start + int(days * DAY_US))


def checksum(time: pa.ChunkedArray, value: pa.ChunkedArray) -> Checksum:
    """Of the columns of an answer."""
    times = time.cast(pa.int64()).to_numpy()
    return Checksum(len(times), int(times.sum(dtype=np.int64)), float(value.to_numpy().sum()))


def wrapped_sum(times: Iterable[int]) -> int:
    """The sum of Python integers as int64 addition gives it."""
    return (sum(times) + (1 << 63)) % (1 << 64) - (1 << 63)


class Oracle:
    """Answers by brute force over a data set's columns."""

    def __init__(self, dataset: Dataset) -> None:
        table = dataset.table
        self.time = table["time"].cast(pa.int64()).to_numpy()
        self.lon = table["lon"].to_numpy()
        self.lat = table["lat"].to_numpy()
        self.value = table["value"].to_numpy()

    def matches(self, asked: Question) -> npt.NDArray[np.intp]:
        """int64[k]: the rows that match; rows are in order of time."""
        first, last = np.searchsorted(self.time, [asked.time_start, asked.time_stop])
        lon, lat = self.lon[first:last], self.lat[first:last]
        inside = (lon >= asked.west) & (lon <= asked.east)
        inside &= (lat >= asked.south) & (lat <= asked.north)
        return first + np.flatnonzero(inside)

    def answer(self, asked: Question) -> Checksum:
        """The checksum that a right answer has."""
        at = self.matches(asked)
        return Checksum(
            len(at), int(self.time[at].sum(dtype=np.int64)), float(self.value[at].sum())
        )

    def cells(self, asked: Question) -> dict[tuple[int, int], tuple[int, float]]:
        """(column, row) of the cell → count and mean of the value."""
        at = self.matches(asked)
        column = np.floor((self.lon[at] - 135.0) / CELL_DEGREES + 1e-9).astype(np.int64)
        row = np.floor((self.lat[at] - 33.0) / CELL_DEGREES + 1e-9).astype(np.int64)
        cell, group = np.unique(column * 16 + row, return_inverse=True)
        count = np.bincount(group)
        mean = np.bincount(group, weights=self.value[at]) / count
        return {
            divmod(int(key), 16): (int(n), float(m))
            for key, n, m in zip(cell, count, mean, strict=True)
        }


def check_cells(
    expected: dict[tuple[int, int], tuple[int, float]],
    answered: dict[tuple[int, int], tuple[int, float]],
    who: str,
) -> None:
    """Raise WrongAnswer unless both have the same cells, counts and (rounded) means."""
    if expected.keys() != answered.keys():
        raise WrongAnswer(f"{who}: cells {sorted(answered)} instead of {sorted(expected)}")
    for cell, (count, mean) in expected.items():
        other_count, other_mean = answered[cell]
        if count != other_count or abs(mean - other_mean) > 1e-6:
            raise WrongAnswer(f"{who}: cell {cell} has {answered[cell]}, numpy says {count, mean}")
