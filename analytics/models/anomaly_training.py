"""Teaching the judge of station-days: what was added to days that are spoiled on purpose."""

from dataclasses import replace

import numpy as np

from analytics.models.anomaly import (
    HOURS,
    INPUTS,
    NAME,
    SIZE_C,
    VERSION,
    Days,
    days_of,
    measures,
    scores_of,
)
from analytics.models.committee import Schedule, Told, train
from analytics.models.errors import DataUnsuited
from analytics.models.grid import Grid
from analytics.models.network import Architecture, Float32s, framework_named
from analytics.models.saved import SavedModel

WIDTHS = (128, 128, 128)
SCHEDULE = Schedule(epochs=8, batch=1_024, step=2e-3)
COPIES = 3
"""How often each day is there, spoiled in another way each time."""
DAYS_MAX = 150_000
"""Station-days that are learned: 0.2 GB with their copies. Of more, as many are drawn."""
DAYS_MIN = 100
"""Below this nothing is learned."""
SPOILED_SHARE = 0.5
OFFSET_C = 5.0
LEVEL_C = 4.0
ADDED_MAX_C = 15.0
SHORT_H = 3
ALARM_QUANTILE = 0.995
"""One ordinary day of 200 is called odd: a person looks at each."""
TAIL = (0.99, 0.999)
"""Between these quantiles of ordinary days it is read how fast measures become rare."""


def train_anomaly(
    grid: Grid,
    *,
    element: str = "temp",
    schedule: Schedule = SCHEDULE,
    widths: tuple[int, ...] = WIDTHS,
    framework: str = "chainer",
    told: Told | None = None,
) -> SavedModel:
    """A judge that has learned what the grid's days look like; few faults among them do no harm.

    Raises:
        DataUnsuited: there are too few whole days.
    """
    loaded = framework_named(framework)
    rng = np.random.default_rng(schedule.seed)
    days = days_of(grid, element)
    if len(days) < DAYS_MIN:
        raise DataUnsuited(
            f"{len(days)} station-days of {element} with four weeks before and stations around "
            f"are fewer than {DAYS_MIN}; give more days, or a larger area"
        )
    if len(days) > DAYS_MAX:
        days = taken(days, np.sort(rng.permutation(len(days))[:DAYS_MAX]))
    spoiled, added = zip(*(spoil(days, rng) for _ in range(COPIES)), strict=True)
    architecture = Architecture("residual", (INPUTS,), (HOURS,), widths, "absolute")
    committee = train(
        loaded,
        architecture,
        np.concatenate([copy.inputs() for copy in spoiled]),
        np.concatenate(added) / np.float32(SIZE_C),
        schedule=schedule,
        told=told,
    )
    measured = measures(committee, days)
    rare, rarer = np.quantile(measured, TAIL, axis=0).astype(np.float32)
    fall = np.float32(np.log((1 - TAIL[0]) / (1 - TAIL[1])))
    usual = np.stack([rare, np.maximum((rarer - rare) / fall, np.float32(1e-3))], axis=1)
    threshold = float(np.quantile(scores_of(measured, usual), ALARM_QUANTILE))
    return SavedModel(
        task=NAME,
        task_version=VERSION,
        framework=framework,
        framework_version=loaded.version(),
        architecture=architecture,
        settings={"element": element, "threshold": threshold},
        data={"station_days": len(days)},
        figures={},
        arrays={**committee.arrays(), "outputs/usual": usual},
    )


def spoil(days: Days, rng: np.random.Generator) -> tuple[Days, Float32s]:
    """Days of which half carry something that was added, and what: float32[n, HOURS].

    Added are, in equal parts: an offset over some hours (often few), a slope over the day, what
    makes some hours equal, and what makes the day another station's.
    """
    count = len(days)
    hour = np.arange(HOURS, dtype=np.float32)
    kind = rng.integers(0, 4, count)[:, None]
    start = rng.integers(0, HOURS, count)
    length = rng.integers(1, HOURS + 1, count)
    length = np.where(rng.random(count) < 0.4, np.minimum(length, SHORT_H), length)
    some = (hour >= start[:, None]) & (hour < (start + length)[:, None])
    size = rng.normal(0, OFFSET_C, (count, 1))
    level = rng.normal(0, LEVEL_C, (count, 1))
    held = days.own[np.arange(count), start][:, None] - days.own
    other = days.own[rng.permutation(count)] - days.own + level
    choices = (some * size, size * hour / (HOURS - 1), some * held, other)
    added = np.select([kind == place for place in range(4)], choices)
    added *= rng.random((count, 1)) < SPOILED_SHARE
    added = np.clip(added, -ADDED_MAX_C, ADDED_MAX_C).astype(np.float32)
    own = days.own + added
    spoiled = replace(
        days,
        difference=days.difference + added / days.spread,
        own=own - own.mean(axis=1, keepdims=True),
    )
    return spoiled, added


def taken(days: Days, at: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Days:
    """Some of the days."""
    return Days(*(getattr(days, name)[at] for name in Days.__slots__))
