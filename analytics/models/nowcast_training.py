"""Teaching a nowcast, and judging it beside what costs nothing."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from analytics.models import nowcast_features as features
from analytics.models.committee import Schedule, Told, train
from analytics.models.errors import DataUnsuited
from analytics.models.grid import Grid, Places
from analytics.models.neighbourhood import DIRECTIONS
from analytics.models.network import Architecture, Float32s, framework_named
from analytics.models.nowcast import HOURS_AT_ONCE, NAME, Nowcast, NowcastSettings
from analytics.models.nowcast_features import Scene, features_at, scene_of
from analytics.models.saved import SavedModel
from analytics.models.training_material import Spread

EXAMPLES_MAX = 1_200_000
"""Examples of one training: 0.7 GB. Of more, as many are drawn."""
WIDTHS = (96, 96, 96)
SCHEDULE = Schedule(epochs=4, batch=2_048, step=2e-3, members=3)
"""More epochs learn the season: three short lives, averaged, err less than one long one."""
BLIND_SHARE = 0.12
"""Of the examples, those that learn without any neighbour, and as many without half of them: a
node that is cut off still has its own stations."""


def train_nowcast(
    grid: Grid,
    *,
    settings: NowcastSettings | None = None,
    stop_us: int | None = None,
    unseen: Sequence[int] = (),
    schedule: Schedule = SCHEDULE,
    widths: tuple[int, ...] = WIDTHS,
    framework: str = "chainer",
    spread: Spread = map,
    told: Told | None = None,
) -> SavedModel:
    """A nowcast that has learned the grid.

    Args:
        stop_us: learn nothing that happened at this time or later; default: all.
        unseen: stations that nothing is learned from as targets; they stay neighbours.
        spread: does the work of making features, piece by piece.
    Raises:
        DataUnsuited: no station has a day and what came after it.
    """
    settings = settings or NowcastSettings()
    loaded = framework_named(framework)
    scene = scene_of(grid, temperature=settings.temperature, rain=settings.rain)
    stop = grid.times if stop_us is None else min(grid.times, grid.index_of(stop_us))
    inputs, changes = examples(
        scene, range(stop), settings.leads_h, count_max=EXAMPLES_MAX, unseen=unseen,
        seed=schedule.seed, spread=spread,
    )  # fmt: skip
    _blind(inputs, np.random.default_rng(schedule.seed))
    usual = np.nanmean(np.abs(changes), axis=0).astype(np.float32)
    changes /= usual
    architecture = Architecture(
        "residual", (features.COUNT,), (len(settings.leads_h),), widths, "absolute"
    )
    committee = train(loaded, architecture, inputs, changes, schedule=schedule, told=told)
    return SavedModel(
        task=NAME,
        task_version=features.VERSION,
        framework=framework,
        framework_version=loaded.version(),
        architecture=architecture,
        settings={
            "temperature": settings.temperature,
            "rain": settings.rain,
            "leads_h": list(settings.leads_h),
        },
        data={"examples": len(inputs)},
        figures={},
        arrays={**committee.arrays(), "outputs/spread": usual},
    )


def examples(
    scene: Scene,
    hours: range,
    leads_h: Sequence[int],
    *,
    count_max: int,
    seed: int,
    unseen: Sequence[int] = (),
    only: Sequence[int] | None = None,
    spread: Spread = map,
) -> tuple[Float32s, Float32s]:
    """Inputs, and the changes that followed inside the hours: float32[n, COUNT], [n, leads].

    Args:
        count_max: of more examples about so many are drawn, each piece of hours with a seed of
            its own: who makes it makes no difference.
        unseen, only: stations that give none, or that alone give some.
        spread: does the work, piece by piece.
    Raises:
        DataUnsuited: there are none.
    """
    chosen = np.zeros(len(scene.observed), np.bool_)
    chosen[slice(None) if only is None else np.array(only, np.intp)] = True
    chosen[np.array(unseen, np.intp)] = False
    now = np.isfinite(scene.observed[:, hours.start : hours.stop]) & chosen[:, None]
    share = count_max / max(int(now.sum()), 1)
    work = partial(
        _examples_at, scene, chosen, leads_h=tuple(leads_h), stop=hours.stop, share=share, seed=seed
    )
    inputs, changes = [], []
    for seen, followed in spread(work, _in_pieces(np.arange(hours.start, hours.stop))):
        inputs.append(seen)
        changes.append(followed)
    if not sum(map(len, inputs)):
        raise DataUnsuited(
            f"no station has {features.VALUES_MIN} of {features.HISTORY_H} hours and a value after "
            "them; give more records of the values that the model reads"
        )
    return np.concatenate(inputs), np.concatenate(changes)


def _examples_at(
    scene: Scene,
    chosen: features.Bools,
    part: Places,
    *,
    leads_h: tuple[int, ...],
    stop: int,
    share: float,
    seed: int,
) -> tuple[Float32s, Float32s]:
    """The examples of one piece of hours."""
    followed = changes_after(scene, part, leads_h, stop=stop)
    seen, enough = features_at(scene, part)
    good = enough & chosen[:, None] & np.isfinite(followed).any(axis=2)
    if share < 1:
        good &= np.random.default_rng((seed, int(part[0]))).random(good.shape) < share
    return seen[good], followed[good]


def changes_after(scene: Scene, hours: Places, leads_h: Sequence[int], *, stop: int) -> Float32s:
    """float32[stations, hours, leads]: what was observed later, less what it was; NaN at `stop`
    and behind it."""
    now = scene.observed[:, hours]
    changes = np.full((*now.shape, len(leads_h)), np.nan, np.float32)
    for place, lead in enumerate(leads_h):
        known = hours + lead < stop
        changes[:, known, place] = scene.observed[:, hours[known] + lead] - now[:, known]
    return changes


def _in_pieces(hours: Places) -> Iterator[Places]:
    for start in range(0, len(hours), HOURS_AT_ONCE):
        yield hours[start : start + HOURS_AT_ONCE]


def _blind(inputs: Float32s, rng: np.random.Generator) -> None:
    """Take the neighbours from some of the examples, in place."""
    drawn = rng.random(len(inputs))
    inputs[drawn < BLIND_SHARE, features.AROUND] = 0
    half = np.flatnonzero((drawn >= BLIND_SHARE) & (drawn < 2 * BLIND_SHARE))
    gone = features.columns_of_half(rng.integers(0, DIRECTIONS, len(half)))
    inputs[half[:, None], gone] = 0


def judge(
    model: Nowcast,
    scene: Scene,
    hours: range,
    stations: Sequence[int],
    *,
    count_max: int,
    seed: int,
    spread: Spread = map,
) -> dict[str, Any]:
    """Mean absolute errors (°C) by lead, beside what costs nothing.

    Returns:
        `nowcast`, `alone` (the same without any neighbour), `persistence`, `yesterday` (the same
        change as a day before), each lead → error; and the number of forecasts.
    """
    leads_h = model.settings.leads_h
    inputs, changes = examples(
        scene, hours, leads_h, count_max=count_max, seed=seed, only=stations, spread=spread
    )
    alone = inputs.copy()
    alone[:, features.AROUND] = 0
    answers = {
        "nowcast": model.changes(inputs),
        "alone": model.changes(alone),
        "persistence": np.zeros_like(changes),
        "yesterday": features.change_of_yesterday(inputs, leads_h),
    }
    errors = {name: mean_errors(answer, changes, leads_h) for name, answer in answers.items()}
    return {**errors, "forecasts": len(inputs)}


def mean_errors(
    answers: Float32s, changes: Float32s, leads_h: Sequence[int]
) -> Mapping[str, float]:
    """Lead → mean absolute error in °C, where the change is known; rounded to thousandths."""
    errors = np.nanmean(np.abs(answers - changes), axis=0, dtype=np.float64)
    return {str(lead): round(float(error), 3) for lead, error in zip(leads_h, errors, strict=True)}
