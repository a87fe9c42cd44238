"""What the nowcast looks at: 24 hours of a station, and what comes from around it.

All of it is differences: to the station's value now, to the same hour of the day before, to its
own change. A network that sees differences has seen a place that it never was at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.models.grid import DAY_US, Grid, Places, without_gaps
from analytics.models.neighbourhood import (
    DIRECTIONS,
    POINTS,
    RINGS_KM,
    Neighbourhood,
    neighbourhood_of,
)
from analytics.models.network import Float32s
from analytics.models.sun import sun_sine

Bools = npt.NDArray[np.bool_]

VERSION = 1
"""Goes up with every change here: a model is only right with the features it was trained on."""
HISTORY_H = 24
RAIN_H = 12
SUN_H = range(-2, 7)
"""Hours, from now, at which the height of the sun is looked at."""
VALUES_MIN = 18
"""Of the 24 hours before, filled across short gaps; a station with fewer gets no forecast."""
HOURS_AT_ONCE = 64
_PLACE = 5
_OWN = HISTORY_H + RAIN_H + len(SUN_H) + _PLACE + 1
_KINDS_AROUND = 4
COUNT = _OWN + _KINDS_AROUND * POINTS
"""Numbers of one input."""
AROUND = slice(_OWN, COUNT)
"""Those that come from neighbours; zero where there are none."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A grid made ready for features: gaps filled, neighbours found.

    Attributes:
        grid: hourly.
        observed: float32[stations, hours], as measured: what is read at the hour itself.
        temperature: the same with short gaps filled from both sides. A feature reads it only
            before an hour that was observed, so that it never knows what came later.
        rain: float32[stations, hours], logarithmic; NaN where it is not measured.
    """

    grid: Grid
    observed: Float32s
    temperature: Float32s
    rain: Float32s
    around: Neighbourhood
    rain_around: Neighbourhood


def scene_of(grid: Grid, *, temperature: str, rain: str) -> Scene:
    """The scene of the grid's columns with these names."""
    temperatures, rains = grid.values[temperature], grid.values[rain]

    def around(series: Float32s) -> Neighbourhood:
        measured = np.flatnonzero(np.isfinite(series).any(axis=1))
        return neighbourhood_of(lon=grid.lon, lat=grid.lat, candidates=measured)

    return Scene(
        grid=grid,
        observed=temperatures,
        temperature=without_gaps(temperatures),
        rain=np.log1p(np.maximum(rains, 0)),
        around=around(temperatures),
        rain_around=around(rains),
    )


def features_at(scene: Scene, hours: Places) -> tuple[Float32s, Bools]:
    """Inputs of every station at these columns of the grid, and where there is enough to see.

    Returns:
        float32[stations, hours, COUNT], bool[stations, hours].
    """
    stations = len(scene.temperature)
    inputs = np.zeros((stations, len(hours), COUNT), np.float32)
    enough = np.zeros((stations, len(hours)), np.bool_)
    for start in range(0, len(hours), HOURS_AT_ONCE):
        part = slice(start, start + HOURS_AT_ONCE)
        inputs[:, part], enough[:, part] = _features(scene, hours[part])
    return inputs, enough


def change_of_yesterday(inputs: Float32s, leads_h: Sequence[int]) -> Float32s:
    """float32[n, leads]: how the same hours of the day before went on."""
    first = inputs[:, HISTORY_H - 1]
    return np.stack([inputs[:, HISTORY_H - 1 - lead] - first for lead in leads_h], axis=1)


def columns_of_half(direction: Places) -> Places:
    """intp[n, …]: the columns of `AROUND` that look to one side, from each direction on."""
    seen = (direction[:, None] + np.arange(DIRECTIONS // 2)) % DIRECTIONS
    starts = [
        _OWN + kind * POINTS + 1 + ring * DIRECTIONS
        for kind in range(_KINDS_AROUND)
        for ring in range(len(RINGS_KM))
    ]
    return np.concatenate([start + seen for start in starts], axis=1)


def _features(scene: Scene, hours: Places) -> tuple[Float32s, Bools]:
    past = np.arange(1, HISTORY_H + 1)
    now = _at(scene.observed, hours)
    history = _at(scene.temperature, hours[:, None] - past) - now[..., None]
    known = np.isfinite(history)
    enough = np.isfinite(now) & (known.sum(axis=2) >= VALUES_MIN)
    history[~known] = 0
    since_yesterday = np.where(known[..., -1], -history[..., -1], 0)
    columns = [
        history,
        _known(_at(scene.rain, hours[:, None] - np.arange(RAIN_H))),
        _sun(scene.grid, hours),
        _place(scene.grid, hours, now),
        since_yesterday[..., None],
        *_around(scene, hours, now, (since_yesterday, -history[..., 2], -history[..., 0])),
    ]
    return np.concatenate(columns, axis=2), enough


def _around(
    scene: Scene, hours: Places, now: Float32s, own: tuple[Float32s, ...]
) -> Iterator[Float32s]:
    """What differs around: since yesterday, in three hours, in one hour; and the rain there.

    Only values that were observed at the hour itself: a filled one would know the next hour.
    """
    for back, change in zip((24, 3, 1), own, strict=True):
        changes = now - _at(scene.temperature, hours - back)
        yield _known(_by_hour(scene.around.mean(changes)) - change[..., None])
    yield _known(_by_hour(scene.rain_around.mean(_at(scene.rain, hours))))


def _sun(grid: Grid, hours: Places) -> Float32s:
    """float32[stations, hours, len(SUN_H)]."""
    times = grid.time_us(hours[:, None] + np.array(SUN_H))
    return sun_sine(lon=grid.lon[:, None, None], lat=grid.lat[:, None, None], time_us=times[None])


def _place(grid: Grid, hours: Places, now: Float32s) -> Float32s:
    """Hour of the day by the sun, position, and the temperature itself."""
    turn = 2 * np.pi * ((grid.time_us(hours) % DAY_US) / DAY_US + grid.lon[:, None] / 360)
    lon = np.broadcast_to((grid.lon[:, None] - 135) / 5, turn.shape)
    lat = np.broadcast_to((grid.lat[:, None] - 36) / 5, turn.shape)
    columns = (np.sin(turn), np.cos(turn), lon, lat, _known(now) / 10 - 1.5)
    return np.stack(columns, axis=2).astype(np.float32)


def _at(series: Float32s, hours: Places) -> Float32s:
    """float32[stations, *hours.shape]; NaN outside of the grid."""
    inside = (hours >= 0) & (hours < series.shape[1])
    values = series[:, np.where(inside, hours, 0)]
    values[:, ~inside] = np.nan
    return values


def _by_hour(means: Float32s) -> Float32s:
    """float32[stations, hours, POINTS] of float32[stations, POINTS, hours]."""
    return means.transpose(0, 2, 1)


def _known(values: Float32s) -> Float32s:
    """Zero, which says that nothing differs, where nothing is known."""
    return np.nan_to_num(values, copy=False, nan=0.0)
