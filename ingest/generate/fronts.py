"""Weather fronts: bands of rain that cross the map from west to east.

Front number k reaches the west edge once in every period of 70 hours, at a hashed moment, with a
hashed speed, tilt, width and strength; a few periods have none. What a station feels depends on
the hours since the front passed it.
"""

from dataclasses import dataclass, fields

import numpy as np

from ingest.generate.noise import Floats, Int64s, uniform

PERIOD_H = 70.0
REACH_H = 48.0
"""A front is felt this long before and after it passes; beyond, its effects are below rounding."""
_KM_PER_DEGREE_LON = 92.0  # at 34 degrees north
_KM_PER_DEGREE_LAT = 111.0
_WEST, _SOUTH = 135.0, 33.0


@dataclass(frozen=True, slots=True)
class FrontEffects:
    """What fronts add on a grid of times × stations (float64[t, s])."""

    rain_mm_per_h: Floats
    cloud: Floats
    pressure_hpa: Floats
    temperature_c: Floats
    wind_ms: Floats
    passed: Floats  # -1 well before a front (southerly), +1 behind it (north-westerly), 0 between

    def without_first(self, count: int) -> "FrontEffects":
        """The same grid without its first times."""
        return FrontEffects(*(getattr(self, field.name)[count:] for field in fields(self)))


def front_effects(seed: int, hours: Floats, *, lon: Floats, lat: Floats) -> FrontEffects:
    """The sum over all fronts that are near.

    Args:
        hours: float64[t], hours since the epoch, rising.
        lon, lat: float64[s], degrees.
    """
    shape = (len(hours), len(lon))
    rain, pressure, temperature = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    wind, passed = np.zeros(shape), np.zeros(shape)
    first = int((hours[0] - REACH_H) // PERIOD_H) - 1
    last = int((hours[-1] + REACH_H) // PERIOD_H) + 1
    for index in range(first, last + 1):
        front = _front(seed, index)
        arrival = front.arrival_h + _delay_h(front, lon=lon, lat=lat)
        near = slice(*np.searchsorted(hours, (arrival.min() - REACH_H, arrival.max() + REACH_H)))
        if near.start == near.stop or front.strength == 0.0:
            continue
        since = hours[near, None] - arrival[None, :]
        band = np.exp(-0.5 * np.square(since / front.width_h))
        rain[near] += front.strength * band
        trough = np.exp(-0.5 * np.square(since / 9.0))
        pressure[near] -= (3.0 + front.strength) * trough
        wind[near] += (1.5 + 0.5 * front.strength) * trough
        behind = np.tanh(since / 2.0)
        fade = np.exp(-0.5 * np.square(since / 14.0))
        passed[near] += behind * fade
        temperature[near] -= front.cooling_c * behind * fade
    cloud = 1.0 - np.exp(-2.5 * rain)
    return FrontEffects(rain, cloud, pressure, temperature, wind, passed)


@dataclass(frozen=True, slots=True)
class _Front:
    arrival_h: float
    km_per_h: float
    tilt: float
    width_h: float
    strength: float
    cooling_c: float


def _front(seed: int, index: int) -> _Front:
    draws = uniform(seed, 1, np.array([index], np.int64), np.arange(6, dtype=np.int64))
    return _Front(
        arrival_h=(index + 0.8 * float(draws[0])) * PERIOD_H,
        km_per_h=28.0 + 30.0 * float(draws[1]),
        tilt=-0.4 + 0.8 * float(draws[2]),
        width_h=1.2 + 2.5 * float(draws[3]),
        strength=0.0 if draws[4] < 0.2 else 0.8 + 7.0 * float(draws[4]) ** 3,
        cooling_c=1.0 + 3.5 * float(draws[5]),
    )


def _delay_h(front: _Front, *, lon: Floats, lat: Floats) -> Floats:
    east_km = (lon - _WEST) * _KM_PER_DEGREE_LON
    north_km = (lat - _SOUTH) * _KM_PER_DEGREE_LAT
    return (east_km + front.tilt * north_km) / front.km_per_h


def counters(stop: int) -> Int64s:
    """0 … stop - 1 as the counters that `uniform` takes."""
    return np.arange(stop, dtype=np.int64)
