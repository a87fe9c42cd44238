"""Planted faults are found, and better than by z-scores."""

import numpy as np

from analytics.models.anomaly import Anomaly
from analytics.models.anomaly_training import train_anomaly
from analytics.models.committee import Schedule
from analytics.models.fault_finding import area_under, judge_anomaly
from analytics.models.grid import DAY_US, Grid
from analytics.models.planted_faults import KINDS, plant_faults
from analytics.models.saved import model_of_bytes
from tests.analytics.models.weather import records_of_grid


def test_planted_faults_are_found_better_than_by_z_scores(weather: Grid) -> None:
    saved = train_anomaly(
        weather, schedule=Schedule(epochs=30, batch=256, step=2e-3), widths=(48, 48)
    )
    model = Anomaly.of(model_of_bytes(saved.to_bytes()), "digest")
    planted = plant_faults(weather, "temp", share=0.04, seed=5)
    assert {int(kind) for kind in np.unique(planted.kind)} == set(range(len(KINDS) + 1))
    figures = judge_anomaly(model, planted)
    area = figures["area"]
    assert area["autoencoder"] > max(
        area["z-score"], area["z-score of the difference"], 5 * figures["share"]
    ), figures
    results = model.infer(
        records_of_grid(planted.grid),
        start_us=weather.start_us + 40 * DAY_US,
        stop_us=weather.start_us + 42 * DAY_US,
    )
    days = {time.isoformat() for time in results["time"].to_pylist()}
    assert len(days) == 2 and results["element"].to_pylist()[0] == "temp"


def test_faults_are_planted_where_they_are_said_to_be(weather: Grid) -> None:
    planted = plant_faults(weather, "temp", share=0.02, seed=9)
    again = plant_faults(weather, "temp", share=0.02, seed=9)
    np.testing.assert_array_equal(planted.kind, again.kind)
    days = planted.kind.shape[1]
    before = weather.values["temp"][:, : days * 24].reshape(-1, days, 24)
    after = planted.grid.values["temp"][:, : days * 24].reshape(-1, days, 24)
    changed = (before != after) & ~(np.isnan(before) & np.isnan(after))
    assert not changed[planted.kind == 0].any()
    assert changed.any(axis=2)[planted.kind > 0].mean() > 0.9


def test_area_under_the_curve() -> None:
    faulty = np.array([True, False, True, False])
    best = np.array([4, 2, 3, 1], np.float32)
    assert area_under(best, faulty) == 1.0
    assert area_under(-best, faulty) == (1 / 3 + 2 / 4) / 2
    assert area_under(best, faulty & False) == 0.0
