"""Faults of known place in real or generated series, to see who finds them."""

from dataclasses import dataclass, replace

import numpy as np

from analytics.models.grid import Grid
from analytics.models.network import Float32s

HOURS = 24
KINDS = ("stuck", "spike", "drift", "swapped")
STUCK_H = (8, 20)
SPIKE_C = (3.0, 10.0)
DRIFT_C = (2.0, 6.0)
"""Sizes are drawn between these: some are as plain as a broken cable, some a person would miss."""


@dataclass(frozen=True, slots=True)
class Planted:
    """A grid with faults.

    Attributes:
        grid: as the one given, but for the faults.
        kind: int8[stations, days], 0 where there is no fault, else 1 + the place in `KINDS`.
    """

    grid: Grid
    kind: np.ndarray[tuple[int, int], np.dtype[np.int8]]


def plant_faults(grid: Grid, element: str, *, share: float, seed: int) -> Planted:
    """Faults in this share of all station-days, of all kinds alike; seeded.

    stuck: one value for 8 to 20 hours. spike: one or two hours off by 3 to 10 °C. drift: further
    off every hour, 2 to 6 °C at the end of the day. swapped: the day of another station anywhere.
    """
    rng = np.random.default_rng(seed)
    series = grid.values[element].copy()
    days = grid.times // HOURS
    by_day = series[:, : days * HOURS].reshape(len(series), days, HOURS)
    kind = np.zeros(by_day.shape[:2], np.int8)
    measured = np.isfinite(by_day).sum(axis=2) >= HOURS - 4
    # From the second day on: the first one is what the second is compared with.
    measured[:, :1] = False
    station, day = np.nonzero(measured)
    drawn = rng.permutation(len(station))[: round(share * len(station))]
    for number, place in enumerate(drawn.tolist()):
        which = number % len(KINDS)
        here = by_day[station[place], day[place]]
        here[:] = _PLANTED[KINDS[which]](here, by_day[:, day[place]], rng)
        kind[station[place], day[place]] = 1 + which
    return Planted(replace(grid, values={**grid.values, element: series}), kind)


def _stuck(day: Float32s, _others: Float32s, rng: np.random.Generator) -> Float32s:
    length = int(rng.integers(STUCK_H[0], STUCK_H[1] + 1))
    start = int(rng.integers(0, HOURS - length + 1))
    known = np.flatnonzero(np.isfinite(day[start:]))
    stuck = day.copy()
    if len(known):
        stuck[start : start + length] = day[start + known[0]]
    return stuck


def _spike(day: Float32s, _others: Float32s, rng: np.random.Generator) -> Float32s:
    start = int(rng.integers(0, HOURS - 1))
    spiked = day.copy()
    spiked[start : start + int(rng.integers(1, 3))] += _signed(SPIKE_C, rng)
    return spiked


def _drift(day: Float32s, _others: Float32s, rng: np.random.Generator) -> Float32s:
    return day + np.linspace(0, _signed(DRIFT_C, rng), HOURS).astype(np.float32)


def _swapped(day: Float32s, others: Float32s, rng: np.random.Generator) -> Float32s:
    whole = np.flatnonzero(np.isfinite(others).sum(axis=1) >= HOURS - 4)
    return others[rng.choice(whole)] if len(whole) else day


_PLANTED = {"stuck": _stuck, "spike": _spike, "drift": _drift, "swapped": _swapped}


def _signed(sizes: tuple[float, float], rng: np.random.Generator) -> np.float32:
    return np.float32(rng.uniform(*sizes) * rng.choice((-1.0, 1.0)))
