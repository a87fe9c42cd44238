"""Days of a station that do not look like its days: a denoising autoencoder.

A day is 24 hours of a station as they differ from the stations around it, in units of how much
they differed in the four weeks before; its own course and the course around it; and those units.
The network has learned to give back what was added to days that were spoiled on purpose, and
nothing where nothing was. How odd a day is: the larger of what the network would take back, and
of what is beyond the spread by itself, each beside what is usual among ordinary days.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analytics.models.committee import Committee, committee_of
from analytics.models.errors import ModelUnsuited
from analytics.models.grid import (
    DAY_US,
    Float64s,
    Grid,
    Places,
    grid_of,
    known_mean,
    without_gaps,
)
from analytics.models.neighbourhood import neighbourhood_of
from analytics.models.network import Float32s
from analytics.models.saved import SavedModel

NAME = "anomaly"
VERSION = 1
HOURS = 24
INPUTS = 4 * HOURS
HISTORY_DAYS = 28
"""Days that say what is usual for a station, in this season and with this neighbourhood."""
VALUES_MIN = 20
"""Of 24 hours, filled across short gaps; a day with fewer is not judged."""
SPREAD_MIN_C = 0.2
FAR_C = 4.0
"""A difference counts as at most this when the spread is taken, so that a fault of last week
does not hide one of today."""
Z_MAX = 8.0
SIZE_C = 3.0
"""Scale of what goes in and comes out, near one."""
SCORE_DECIMALS = 3
RARE = float(np.log(100))
"""Rarity of what one day of a hundred reaches."""


@dataclass(frozen=True, slots=True)
class Days:
    """Station-days with enough values.

    Attributes:
        difference: float32[n, HOURS], to what is usual, in spreads.
        own, around: float32[n, HOURS], the course of the day, less its mean.
        spread: float32[n, HOURS], in units of the element.
        station, day: intp[n], into the grid's stations and its days (24 columns each).
    """

    difference: Float32s
    own: Float32s
    around: Float32s
    spread: Float32s
    station: Places
    day: Places

    def __len__(self) -> int:
        return len(self.station)

    def inputs(self) -> Float32s:
        """float32[n, INPUTS], as the network sees them."""
        columns = (
            np.clip(self.difference, -Z_MAX, Z_MAX),
            self.own / SIZE_C,
            self.around / SIZE_C,
            np.log(self.spread),
        )
        return np.concatenate(columns, axis=1)


def days_of(grid: Grid, element: str) -> Days:
    """All station-days with enough values, behind the first `HISTORY_DAYS` of the grid."""
    series, around = series_by_day(grid, element)
    difference = series - around
    usual, spread = _usual(difference)
    known = np.isfinite(difference) & np.isfinite(usual)
    enough = (known.sum(axis=2) >= VALUES_MIN) & np.isfinite(around).all(axis=2)
    station, day = np.nonzero(enough)
    known, around, usual = known[enough], around[enough], usual[enough]
    spread = np.nan_to_num(spread[enough], nan=1.0)
    # An hour without a value is as the others are: it says nothing.
    off = np.where(known, difference[enough] - usual, 0)
    own = around + np.nan_to_num(usual) + off
    return Days(
        difference=off / spread,
        own=own - own.mean(axis=1, keepdims=True),
        around=around - around.mean(axis=1, keepdims=True),
        spread=spread,
        station=station,
        day=day,
    )


def _usual(difference: Float32s) -> tuple[Float32s, Float32s]:
    """Mean and spread of the days before, by station, day and hour."""
    usual = np.full_like(difference, np.nan)
    spread = np.full_like(difference, np.nan)
    for day in range(HISTORY_DAYS, difference.shape[1]):
        before = difference[:, day - HISTORY_DAYS : day]
        usual[:, day] = known_mean(before, axis=1)
        away = np.minimum(np.abs(before - usual[:, day, None]), FAR_C)
        squared = known_mean(np.square(away), axis=1)
        # A few numbers say little about a spread: the hours beside say nearly the same.
        beside = np.roll(squared, 1, axis=1) + squared + np.roll(squared, -1, axis=1)
        spread[:, day] = np.maximum(np.sqrt(beside / 3), SPREAD_MIN_C)
    return usual, spread


def series_by_day(grid: Grid, element: str) -> tuple[Float32s, Float32s]:
    """float32[stations, days, HOURS] of the stations, and of the means around them."""
    observed = grid.values[element]
    days = grid.times // HOURS
    measured = np.flatnonzero(np.isfinite(observed).any(axis=1))
    near = neighbourhood_of(lon=grid.lon, lat=grid.lat, candidates=measured).near()
    series = without_gaps(observed)[:, : days * HOURS].reshape(-1, days, HOURS)
    around = np.empty_like(series)
    for day in range(days):
        around[:, day] = known_mean(near.mean(series[:, day]), axis=1)
    return series, around


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A trained judge of station-days; fulfils `tasks.Task`.

    Attributes:
        usual: float32[2, 2]: for each of the two measures of `_measures`, what it reaches on one
            of a hundred ordinary days, and how much more it takes to be e times as rare.
        threshold: scores above it are odd.
    """

    element: str
    committee: Committee
    usual: Float32s
    threshold: float
    digest: str

    history_us = HISTORY_DAYS * DAY_US
    step_us = DAY_US
    margin_km = 80.0
    into = "anomaly"

    @classmethod
    def of(cls, saved: SavedModel, digest: str) -> "Anomaly":
        """The judge in a saved model.

        Raises:
            ModelUnsuited: it is not of this version or form.
        """
        element, threshold = saved.settings.get("element"), saved.settings.get("threshold")
        usual = saved.arrays.get("outputs/usual", np.empty(0, np.float32))
        if type(element) is not str or type(threshold) is not float or len(saved.settings) != 2:
            raise ModelUnsuited(f"settings {dict(saved.settings)!r} are none of an {NAME} model")
        shapes = (saved.architecture.inputs, saved.architecture.outputs)
        if shapes != ((INPUTS,), (HOURS,)) or usual.shape != (2, 2) or (usual[:, 1] <= 0).any():
            raise ModelUnsuited(f"inputs and outputs {shapes} are not ({INPUTS},) and ({HOURS},)")
        return cls(element, committee_of(saved), usual, threshold, digest)

    @property
    def columns(self) -> tuple[str, ...]:
        """Values that are read."""
        return (self.element,)

    def scores(self, days: Days) -> Float32s:
        """float32[n]: how rare such a day is; 4.6 is one of a hundred, 6.9 one of a thousand."""
        return scores_of(measures(self.committee, days), self.usual)

    def result_schema(self) -> pa.Schema:
        """Columns of results."""
        return pa.schema(
            [
                ("sensor", pa.string()),
                ("time", pa.timestamp("us", tz="UTC")),
                ("lon", pa.float64()),
                ("lat", pa.float64()),
                ("element", pa.string()),
                ("score", pa.float64()),
                ("odd", pa.bool_()),
                ("model", pa.string()),
            ]
        )

    def infer(self, records: pa.Table, *, start_us: int, stop_us: int) -> pa.Table:
        """The score of every station-day (of UTC) that begins in [start_us, stop_us)."""
        first, last = -(-start_us // DAY_US) * DAY_US, -(-stop_us // DAY_US) * DAY_US
        grid = grid_of(records, self.columns, start_us=first - HISTORY_DAYS * DAY_US, stop_us=last)
        days = days_of(grid, self.element)
        scores = np.round(self.scores(days).astype(np.float64), SCORE_DECIMALS)
        count = len(days)
        columns = [
            pa.array(np.array(grid.sensors, object)[days.station], pa.string()),
            pa.array(grid.time_us(days.day * HOURS)).view(pa.timestamp("us", tz="UTC")),
            pa.array(grid.lon[days.station]),
            pa.array(grid.lat[days.station]),
            pa.repeat(self.element, count),
            pa.array(scores),
            pa.array(scores > self.threshold),
            pa.repeat(self.digest, count),
        ]
        return pa.table(columns, schema=self.result_schema())


def measures(committee: Committee, days: Days) -> Float32s:
    """float32[n, 2]: what the network would take back, as a root mean square over the day, and
    the largest difference in spreads."""
    taken_back = committee.predict(days.inputs()) * SIZE_C
    return np.stack(
        [
            np.sqrt(np.square(taken_back).mean(axis=1)),
            np.abs(days.difference).max(axis=1),
        ],
        axis=1,
    )


def scores_of(measured: Float32s, usual: Float32s) -> Float32s:
    """The rarer of the measures, as the logarithm of how rare it is where tails are exponential."""
    rarity: Float64s = RARE + (measured - usual[:, 0]) / usual[:, 1]
    return rarity.max(axis=1).astype(np.float32)
