"""The nowcast sees no future, is better than what costs nothing, and repeats itself exactly."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from analytics.models.committee import Schedule
from analytics.models.errors import DataUnsuited
from analytics.models.grid import DAY_US, HOUR_US, Grid, without_gaps
from analytics.models.nowcast import Nowcast
from analytics.models.nowcast_features import features_at, scene_of
from analytics.models.nowcast_training import judge, train_nowcast
from analytics.models.saved import SavedModel, model_digest, model_of_bytes
from tests.analytics.models.conftest import LEARNED_DAYS
from tests.analytics.models.weather import records_of_grid


@pytest.fixture(scope="module")
def nowcast(nowcast_file: SavedModel) -> Nowcast:
    file = nowcast_file.to_bytes()
    return Nowcast.of(model_of_bytes(file), model_digest(file))


def test_it_is_better_than_persistence_and_yesterday(weather: Grid, nowcast: Nowcast) -> None:
    scene = scene_of(weather, temperature="temp", rain="precipitation1h")
    hours = range(LEARNED_DAYS * 24, weather.times)
    for stations in (range(1, len(weather.sensors), 5), range(0, len(weather.sensors), 5)):
        errors = judge(nowcast, scene, hours, list(stations), count_max=20_000, seed=1)
        for lead in ("3", "6"):
            free = min(errors["persistence"][lead], errors["yesterday"][lead])
            assert errors["nowcast"][lead] < 0.9 * free, errors
            assert errors["nowcast"][lead] <= errors["alone"][lead], errors


def test_features_do_not_know_what_comes_later(weather: Grid) -> None:
    hours = np.array([30, 200, 700])
    before = features_at(scene_of(weather, temperature="temp", rain="precipitation1h"), hours)
    for place, hour in enumerate(hours.tolist()):
        values = {name: series.copy() for name, series in weather.values.items()}
        for series in values.values():
            series[:, hour + 1 :] = 77.0
        changed = scene_of(
            replace(weather, values=values), temperature="temp", rain="precipitation1h"
        )
        after = features_at(changed, hours[place : place + 1])
        np.testing.assert_array_equal(before[0][:, place], after[0][:, 0])
        np.testing.assert_array_equal(before[1][:, place], after[1][:, 0])


def test_gaps_are_filled_inside_only_and_only_short_ones() -> None:
    nan = np.nan
    series = np.array([[nan, 1, nan, 3, nan, nan, 6, nan, nan, nan, 10, nan]], np.float32)
    filled = np.array([[nan, 1, 2, 3, 4, 5, 6, nan, nan, nan, 10, nan]], np.float32)
    np.testing.assert_allclose(without_gaps(series), filled)


def test_a_forecast_is_the_same_from_more_records_and_in_any_order(
    weather: Grid, nowcast: Nowcast
) -> None:
    records = records_of_grid(weather)
    start_us = weather.start_us + 40 * DAY_US
    first = nowcast.infer(records, start_us=start_us, stop_us=start_us + 2 * HOUR_US)
    shuffled = records.take(pa.array(np.random.default_rng(1).permutation(len(records))))
    again = nowcast.infer(shuffled, start_us=start_us, stop_us=start_us + 5 * HOUR_US)
    known = set(map(str, again.to_pylist()))
    assert len(first) and all(str(row) in known for row in first.to_pylist())
    row = first.to_pylist()[0]
    assert row["sensor"] == f"{row['station']}+{row['lead_h']}h"
    assert row["model"] == nowcast.digest
    assert all(round(temp, 1) == temp for temp in first["temp"].to_pylist())


def test_the_same_seed_trains_the_same_model(weather: Grid) -> None:
    hours = slice(0, 240)
    small = replace(weather, values={name: one[:, hours] for name, one in weather.values.items()})

    def file(seed: int) -> bytes:
        schedule = Schedule(epochs=1, batch=512, step=1e-3, seed=seed)
        return train_nowcast(small, schedule=schedule, widths=(8,)).to_bytes()

    assert file(1) == file(1)
    assert file(1) != file(2)


def test_records_off_the_clock_or_too_few_are_an_error(weather: Grid, nowcast: Nowcast) -> None:
    records = records_of_grid(weather)
    with pytest.raises(DataUnsuited, match="clock"):
        nowcast.infer(records, start_us=0, stop_us=HOUR_US)
    few = replace(weather, values={name: one[:, :5] for name, one in weather.values.items()})
    with pytest.raises(DataUnsuited, match="no station"):
        train_nowcast(few)
