"""The rows and questions of the benchmark: the same for every system, and what they claim to be."""

from pathlib import Path

import numpy as np
import pytest

from bench.asked import asked_of
from bench.dataset import Dataset
from bench.moving_records import moving_records
from bench.question import Checksum, Oracle, WrongAnswer, checksum, question, wrapped_sum
from bench.station_records import station_records


@pytest.fixture
def vehicles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("ZRING_BENCH_CACHE", str(tmp_path))
    return moving_records(50_000)


def test_vehicles_never_stand_at_one_place_twice_and_stay_in_the_square(vehicles: Dataset) -> None:
    lon, lat = vehicles.table["lon"].to_numpy(), vehicles.table["lat"].to_numpy()
    assert len(np.unique(np.stack([lon, lat]), axis=1).T) == 50_000
    assert lon.min() >= 135.0 and lon.max() <= 136.6
    assert lat.min() >= 33.0 and lat.max() <= 34.6


def test_records_are_in_order_of_time_and_come_again_from_the_cache(vehicles: Dataset) -> None:
    time = vehicles.table["time"].cast("int64").to_numpy()
    assert (np.diff(time) >= 0).all()
    assert moving_records(50_000).key() == vehicles.key()


def test_generated_stations_have_questions_of_the_promised_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZRING_BENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("ZRING_TEST_DATA", raising=False)
    dataset = station_records(1_000_000)
    oracle, asked = Oracle(dataset), asked_of(dataset)
    assert 20_000 <= oracle.answer(asked.inside).rows < 25_000
    assert 20_000 <= oracle.answer(asked.across).rows < 25_000
    assert 75_000 <= oracle.answer(asked.month).rows < 85_000
    assert 20 < np.mean([oracle.answer(one).rows for one in asked.small]) < 300


def test_oracle_takes_closed_boxes_and_half_open_times(vehicles: Dataset) -> None:
    oracle = Oracle(vehicles)
    lon, lat, time = float(oracle.lon[7]), float(oracle.lat[7]), int(oracle.time[7])
    exact = question((lon, lat, lon, lat), "2025-03-01", 1)
    here = type(exact)(lon, lat, lon, lat, time, time + 1)
    assert oracle.matches(here).tolist() == [7]
    assert len(oracle.matches(type(exact)(lon, lat, lon, lat, time - 1, time))) == 0


def test_a_wrong_answer_is_not_timed(vehicles: Dataset) -> None:
    oracle = Oracle(vehicles)
    whole = checksum(vehicles.table["time"], vehicles.table["value"])
    everything = question((135.0, 33.0, 136.6, 34.6), "2023-01-01", 2_000)
    oracle.answer(everything).check(whole, "itself")
    with pytest.raises(WrongAnswer, match="somebody answered"):
        whole.check(Checksum(whole.rows - 1, whole.time_sum, whole.value_sum), "somebody")


def test_sums_wrap_as_int64_does() -> None:
    times = [1_740_787_200_000_000] * 10_000
    assert wrapped_sum(times) == int(np.sum(np.array(times, np.int64)))
