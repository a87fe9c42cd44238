"""Weather as functions of (seed, time, station) on a grid of times × stations.

Shapes: t times, s stations; fields are float64[t, s] in the units of `data/amedas/elements.csv`.
"""

from dataclasses import dataclass

import numpy as np

from ingest.generate.fronts import FrontEffects, counters, front_effects
from ingest.generate.noise import Floats, Int64s, uniform

STEP_S = 600
"""Observations come every ten minutes."""
_LAPSE_C_PER_M = 0.0065
_YEAR_H = 365.2425 * 24.0
_JST_H = 9.0
_WAVE_PERIODS_H = (7.3, 31.0, 117.0)
_RAIN_LEAD_STEPS = 5
"""Rain of one hour needs the five steps before the first."""


@dataclass(frozen=True, slots=True)
class Fields:
    """What the instruments would show at each time and station, rounded as JMA rounds."""

    temp: Floats
    precipitation10m: Floats
    precipitation1h: Floats
    wind: Floats
    wind_direction: Int64s
    sun10m: Int64s
    humidity: Int64s
    pressure: Floats


def weather_fields(
    seed: int, step: Int64s, *, lon: Floats, lat: Floats, altitude_m: Floats
) -> Fields:
    """Fields at these steps (int64[t], consecutive, tens of minutes since the epoch)."""
    lead = np.arange(step[0] - _RAIN_LEAD_STEPS, step[0])
    with_lead = np.concatenate([lead, step])
    fronts = front_effects(seed, with_lead * (STEP_S / 3600.0), lon=lon, lat=lat)
    rain10m, rain1h = _rain(seed, with_lead, fronts.rain_mm_per_h, altitude_m)
    hours, fronts = step * (STEP_S / 3600.0), fronts.without_first(_RAIN_LEAD_STEPS)
    jst = np.mod(hours + _JST_H, 24.0)
    season = np.cos(2.0 * np.pi * (hours / _YEAR_H - 0.575))  # 1 at the end of July
    elevation = _sun_elevation(jst, season)
    clear = (1.0 - fronts.cloud) * (1.0 - 0.55 * _cloudiness(seed, hours, len(lon)))
    wave = _waves(seed, hours, len(lon))
    temp = _temperature(jst, season, clear, wave, altitude_m) + fronts.temperature_c
    wind = _wind(seed, step, elevation, fronts, altitude_m)
    humidity = 68.0 - 3.2 * wave + 9.0 * season[:, None] - 22.0 * clear * elevation[:, None]
    humidity += 26.0 * fronts.cloud
    pressure = 1014.5 - 6.0 * season[:, None] + 2.0 * wave + fronts.pressure_hpa
    return Fields(
        temp=_rounded(temp, 10.0),
        precipitation10m=rain10m,
        precipitation1h=rain1h,
        wind=_rounded(wind, 10.0),
        wind_direction=_direction(seed, step, wind, elevation, fronts),
        sun10m=np.rint(10.0 * clear * (elevation > 0.05)[:, None]).astype(np.int64),
        humidity=np.clip(np.rint(humidity), 12, 100).astype(np.int64),
        pressure=_rounded(pressure * np.exp(-altitude_m / 8430.0), 10.0),
    )


def _rounded(values: Floats, per_unit: float) -> Floats:
    return np.rint(values * per_unit) / per_unit


def _sun_elevation(jst: Floats, season: Floats) -> Floats:
    """float64[t] in [0, 1]: 0 at night; the day is 14.3 hours long in summer, 9.9 in winter."""
    half_day_h = 6.05 + 1.1 * season
    return np.maximum(0.0, np.cos(0.5 * np.pi * (jst - 12.0) / half_day_h)) * (
        np.abs(jst - 12.0) < half_day_h
    )


def _waves(seed: int, hours: Floats, stations: int) -> Floats:
    """Smooth noise in about [-1.5, 1.5]: slow waves that all stations share, each shifted."""
    draws = uniform(seed, 2, counters(stations)[:, None], counters(len(_WAVE_PERIODS_H)))
    total = np.zeros((len(hours), stations))
    for index, period_h in enumerate(_WAVE_PERIODS_H):
        phase = 1.2 * draws[:, index] + uniform(seed, 3, counters(1), np.array([index]))
        angle = 2.0 * np.pi * hours / period_h
        # sin(a + b) by parts: one sine a time and one a station, not one a cell.
        total += 0.5 * (
            np.sin(angle)[:, None] * np.cos(2.0 * np.pi * phase)
            + np.cos(angle)[:, None] * np.sin(2.0 * np.pi * phase)
        )
    return total


def _cloudiness(seed: int, hours: Floats, stations: int) -> Floats:
    return np.clip(0.35 - 0.6 * _waves(seed + 1, hours, stations), 0.0, 1.0)


def _temperature(
    jst: Floats, season: Floats, clear: Floats, wave: Floats, altitude_m: Floats
) -> Floats:
    warmest_at_14 = np.cos(2.0 * np.pi * (jst - 14.0) / 24.0)
    daily = warmest_at_14[:, None] * (1.6 + 3.4 * clear)
    return 16.8 + 10.2 * season[:, None] - _LAPSE_C_PER_M * altitude_m + daily + 1.1 * wave


def _rain(
    seed: int, steps: Int64s, rate_mm_per_h: Floats, altitude_m: Floats
) -> tuple[Floats, Floats]:
    """Millimetres in ten minutes and in one hour, in whole tips of the half-millimetre bucket.

    Args:
        steps: with the five before the first that is wanted.
    """
    rate = rate_mm_per_h * (1.0 + altitude_m / 700.0)
    lumps = uniform(seed, 4, steps[:, None], counters(len(altitude_m)))
    tips = np.floor(rate * (STEP_S / 3600.0) * 2.0 * 1.6 * lumps + 0.45 * np.minimum(rate, 1.0))
    sums = np.cumsum(np.concatenate([np.zeros((1, len(altitude_m))), tips]), axis=0)
    hourly = sums[_RAIN_LEAD_STEPS + 1 :] - sums[: -_RAIN_LEAD_STEPS - 1]
    return tips[_RAIN_LEAD_STEPS:] * 0.5, hourly * 0.5


def _wind(
    seed: int, step: Int64s, elevation: Floats, fronts: FrontEffects, altitude_m: Floats
) -> Floats:
    gusts = 0.25 + 1.5 * uniform(seed, 5, step[:, None], counters(len(altitude_m)))
    mean = 0.7 + 1.7 * elevation[:, None] + fronts.wind_ms + altitude_m / 600.0
    return mean * gusts


def _direction(
    seed: int, step: Int64s, wind: Floats, elevation: Floats, fronts: FrontEffects
) -> Int64s:
    """JMA's code: 0 calm, 1 NNE … 8 S, 12 W, 16 N. Sea breeze by day, turning with a front."""
    spread = uniform(seed, 6, step[:, None], counters(wind.shape[1])) - 0.5
    quiet = 15.0 - 7.0 * (elevation[:, None] > 0.25)
    turned = np.where(fronts.passed > 0.15, 14.0, np.where(fronts.passed < -0.15, 8.5, quiet))
    code = np.mod(np.rint(turned + 5.0 * spread).astype(np.int64) - 1, 16) + 1
    code[wind < 0.25] = 0
    return code
