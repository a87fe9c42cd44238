"""The models on real data: learned until 2023-10-19, judged on what came after.

All ways of forecasting have the same stations and hours. Boosted trees and the linear regression
learn from a part of the nowcast's examples: of all of them they would take an hour.
"""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from analytics.models import digits
from analytics.models import nowcast_features as features
from analytics.models.anomaly import HISTORY_DAYS, NAME, Anomaly
from analytics.models.anomaly_training import train_anomaly
from analytics.models.fault_finding import judge_anomaly
from analytics.models.grid import DAY_US, Grid, Places, grid_of
from analytics.models.nowcast import Nowcast
from analytics.models.nowcast_features import scene_of
from analytics.models.nowcast_training import examples, judge, train_nowcast
from analytics.models.planted_faults import plant_faults
from bench.finding import Finding
from bench.hourly_weather import VALUES, japan_records, weather_folder
from bench.real_digits import real_digits
from bench.session import Session

JUDGED_FROM_US = 1_697_727_600_000_000
"""2023-10-20T00:00 in Japan."""
STATIONS = 400
UNSEEN = 150
SEED = 20231020
LEAD = "3"
MAE_BAR_C = 1.20
COMPARED_EXAMPLES = 250_000
JUDGED_MAX = 400_000
PLANTED_SHARE = 0.02
TREES = 300
LEARNED_IMAGES = 4_000


def run_nowcast(session: Session) -> list[Finding]:
    """Temperature in three hours, for stations that were learned from and for others."""
    grid = _grid(VALUES)
    measured = np.flatnonzero(np.isfinite(grid.values["temp"]).mean(axis=1) > 0.3)
    drawn = np.random.default_rng(SEED).permutation(measured)
    groups = {"seen": drawn[:STATIONS], "unseen": drawn[STATIONS : STATIONS + UNSEEN]}
    session.say("the nowcast learns: some two minutes of one core")
    started = time.process_time()
    saved = train_nowcast(grid, stop_us=JUDGED_FROM_US, unseen=groups["unseen"].tolist())
    taken_s = time.process_time() - started
    model = Nowcast.of(saved, "")
    scene = scene_of(grid, temperature="temp", rain="precipitation1h")
    hours = range(grid.index_of(JUDGED_FROM_US), grid.times)
    session.say("boosted trees and a linear regression learn")
    others = _others(grid, groups, hours)
    found = []
    for name, stations in groups.items():
        figures = judge(model, scene, hours, stations.tolist(), count_max=JUDGED_MAX, seed=SEED)
        ours = figures["nowcast"][LEAD]
        references = {
            "persistence": figures["persistence"][LEAD],
            "change of yesterday": figures["yesterday"][LEAD],
            **others[name],
        }
        trees = "boosted trees, same inputs"
        found.append(
            Finding(
                "analytics-nowcast",
                f"temperature in 3 h, mean absolute error, {len(stations)} {name} stations, "
                f"{figures['forecasts']:,} forecasts",
                ours,
                "°C",
                f"≤ {MAE_BAR_C:.2f} °C and below boosted trees on the same inputs",
                ours <= MAE_BAR_C and ours < references[trees],
                references=references,
                compared=trees,
                details={
                    "learning, CPU s": round(taken_s),
                    **{f"+{lead} h": error for lead, error in figures["nowcast"].items()},
                    **{f"alone +{lead} h": error for lead, error in figures["alone"].items()},
                    "bytes": len(saved.to_bytes()),
                },
            )
        )
    return found


def _others(grid: Grid, groups: Mapping[str, Places], hours: range) -> dict[str, dict[str, float]]:
    """Group → way → error in three hours of what learns the same examples."""
    # Imported here and below: only these figures need them.
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    trees = partial(HistGradientBoostingRegressor, max_iter=TREES, random_state=0)
    scene = scene_of(grid, temperature="temp", rain="precipitation1h")
    inputs, changes = examples(
        scene, range(hours.start), (int(LEAD),), count_max=COMPARED_EXAMPLES, seed=SEED,
        unseen=groups["unseen"].tolist(),
    )  # fmt: skip
    own = slice(0, features.AROUND.start)
    ways = {
        "linear, the station alone": (LinearRegression(), own),
        "linear, same inputs": (LinearRegression(), slice(None)),
        "boosted trees, the station alone": (trees(), own),
        "boosted trees, same inputs": (trees(), slice(None)),
    }
    errors: dict[str, dict[str, float]] = {name: {} for name in groups}
    judged = {
        name: examples(
            scene, hours, (int(LEAD),), count_max=JUDGED_MAX,
            seed=SEED, only=stations.tolist(),
        )
        for name, stations in groups.items()
    }  # fmt: skip
    for way, (learner, columns) in ways.items():
        learner.fit(inputs[:, columns], changes[:, 0])
        for name, (seen, followed) in judged.items():
            error = np.abs(learner.predict(seen[:, columns]) - followed[:, 0]).mean()
            errors[name][way] = round(float(error), 3)
    return errors


def run_anomaly(session: Session) -> list[Finding]:
    """Planted faults in 2 % of the station-days."""
    judged_us = JUDGED_FROM_US // DAY_US * DAY_US
    started = time.process_time()
    saved = train_anomaly(_grid(("temp",), stop_us=judged_us))
    taken_s = time.process_time() - started
    later = _grid(("temp",), start_us=judged_us - HISTORY_DAYS * DAY_US)
    planted = plant_faults(later, "temp", share=PLANTED_SHARE, seed=SEED)
    figures = judge_anomaly(Anomaly.of(saved, ""), planted)
    areas = dict(figures["area"])
    ours = areas.pop("autoencoder")
    best = max(areas, key=lambda name: areas[name])
    return [
        Finding(
            f"analytics-{NAME}",
            f"area under the precision-recall curve, {figures['station_days']:,} station-days",
            ours,
            "of 1",
            "better than z-scores",
            ours > areas[best],
            better="higher",
            references=areas,
            compared=best,
            details={
                "share of faults": figures["share"],
                "precision": figures["precision"],
                "recall": figures["recall"],
                **figures["found"],
                "learning, CPU s": round(taken_s),
            },
        )
    ]


def run_digits(session: Session) -> list[Finding]:
    """4,000 of 5,000 real images learned, the others judged."""
    images, labels = real_digits()
    order = np.random.default_rng(SEED).permutation(len(images))
    learned, judged = order[:LEARNED_IMAGES], order[LEARNED_IMAGES:]
    started = time.process_time()
    saved = digits.train_digits(images[learned], labels[learned])
    taken_s = time.process_time() - started
    reader = digits.Digits.of(saved, "")
    started = time.process_time()
    figures = digits.accuracy(reader, images[judged], labels[judged])
    rate = len(judged) / (time.process_time() - started)
    return [
        Finding(
            "analytics-accuracy",
            f"digits read of {figures['images']:,} images that were not learned",
            100 * figures["accuracy"],
            "%",
            "for information",
            None,
            better="higher",
            details={"learning, CPU s": round(taken_s), "images/s of one core": round(rate)},
        )
    ]


def _grid(
    names: tuple[str, ...], *, start_us: int | None = None, stop_us: int | None = None
) -> Grid:
    folder = weather_folder()
    if folder is None:
        raise FileNotFoundError(
            "the hourly weather of all Japan is not in the folder that ZRING_TEST_DATA names; "
            f"see {Path('data/amedas/README.md')}"
        )
    records = japan_records(folder)
    if start_us is None:
        # Whole days from the first one on: station-days begin with them.
        first = records["time"].cast("int64").to_numpy().min()
        start_us = -(-int(first) // DAY_US) * DAY_US
    return grid_of(records, names, start_us=start_us, stop_us=stop_us)
