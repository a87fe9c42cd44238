"""Records of fixed stations on a regular clock: the form in which models see them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analytics.models.errors import DataUnsuited
from analytics.models.network import Float32s

Float64s = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
STATIONS_MAX = 5_000
"""More than any country has in one network; distances between all of them are computed."""
CELLS_MAX = 200_000_000
"""Stations × times × elements of one grid: 0.8 GB."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Values of stations at whole steps of time; NaN where there is none.

    Attributes:
        sensors: names in sorted order.
        lon, lat: float64[stations], degrees.
        start_us: time of the first column, microseconds since the epoch.
        step_us: between two columns.
        values: name → float32[stations, times].
    """

    sensors: tuple[str, ...]
    lon: Float64s
    lat: Float64s
    start_us: int
    step_us: int
    values: dict[str, Float32s]

    @property
    def times(self) -> int:
        """Columns of the grid."""
        return int(next(iter(self.values.values())).shape[1])

    def time_us(self, index: Places) -> npt.NDArray[np.int64]:
        """Times of columns."""
        return self.start_us + self.step_us * index.astype(np.int64)

    def index_of(self, time_us: int) -> int:
        """The first column at this time or after it; may lie outside."""
        return -((self.start_us - time_us) // self.step_us)


def grid_of(
    records: pa.Table,
    names: Sequence[str],
    *,
    step_us: int = HOUR_US,
    start_us: int | None = None,
    stop_us: int | None = None,
) -> Grid:
    """The grid of records with the columns sensor, time, lon, lat and these values.

    Records between two steps are left out; a value that no record has is NaN throughout. Where a
    sensor has moved, its last place counts.

    Args:
        start_us, stop_us: first time, and the time behind the last; default: those of the records.
    Raises:
        DataUnsuited: no record lies on the clock, or there are too many stations or times.
    """
    time = times_us(records)
    on_clock = time % step_us == 0
    if start_us is not None:
        on_clock &= time >= start_us
    if stop_us is not None:
        on_clock &= time < stop_us
    if not on_clock.any():
        raise DataUnsuited(
            f"none of {len(time)} records lies on a clock of {step_us // 60_000_000} minutes "
            "in the time that is needed"
        )
    records, time = records.filter(pa.array(on_clock)), time[on_clock]
    start = int(time.min()) if start_us is None else -(-start_us // step_us) * step_us
    stop = int(time.max()) + 1 if stop_us is None else stop_us
    count = -(-(stop - start) // step_us)
    encoded = pc.dictionary_encode(records["sensor"].combine_chunks())
    written = encoded.dictionary.to_pylist()
    order = np.argsort(np.array(written, object))
    if len(written) > STATIONS_MAX or len(written) * count * len(names) > CELLS_MAX:
        raise DataUnsuited(
            f"{len(written)} stations × {count} times are more than {STATIONS_MAX} stations or "
            f"{CELLS_MAX} values; ask for a smaller area or a shorter time"
        )
    rank = np.empty(len(written), np.intp)
    rank[order] = np.arange(len(written))
    station = rank[encoded.indices.to_numpy()]
    at = (time - start) // step_us
    in_time = np.argsort(time, kind="stable")
    lon, lat = np.zeros(len(written)), np.zeros(len(written))
    lon[station[in_time]] = _floats(records, "lon")[in_time]
    lat[station[in_time]] = _floats(records, "lat")[in_time]
    values = {}
    for name in names:
        values[name] = np.full((len(written), count), np.nan, np.float32)
        if name in records.column_names:
            values[name][station, at] = _floats(records, name)
    return Grid(tuple(written[place] for place in order), lon, lat, start, step_us, values)


def times_us(records: pa.Table) -> npt.NDArray[np.int64]:
    """int64[n], microseconds since the epoch, of the column `time`."""
    column = records["time"].cast(pa.timestamp("us", tz="UTC"))
    return column.combine_chunks().view(pa.int64()).to_numpy()


def without_gaps(series: Float32s, *, steps_max: int = 2) -> Float32s:
    """Values on a straight line across gaps inside a series that are at most so long."""
    filled = series.copy()
    count = series.shape[1]
    for gap in range(1, steps_max + 1):
        for start in range(gap):
            # The value `start` steps into a gap of this length.
            left, right = start + 1, gap - start
            if left + right >= count:
                continue
            inner = slice(left, count - right)
            before, behind = series[:, : count - left - right], series[:, left + right :]
            line = before + (behind - before) * np.float32(left / (left + right))
            target = filled[:, inner]
            np.copyto(target, line, where=np.isnan(target) & np.isfinite(line))
    return filled


def known_mean(values: Float32s, *, axis: int) -> Float32s:
    """The mean of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis, dtype=np.float32)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _floats(records: pa.Table, name: str) -> Float64s:
    try:
        column = records[name].cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataUnsuited(f"column {name} is {records[name].type}, which is no number") from None
    return column.combine_chunks().to_numpy(zero_copy_only=False)
