"""The generator: seeded, in time order, with the imbalance, gaps and flags of real records."""

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ingest.amedas import square_stations
from ingest.generate import MODES, generate_records
from ingest.generate.fronts import front_effects
from ingest.generate.stations import QUARTER_SHARES, VALUE_NAMES
from node.codec.columns import columns_to_rows
from zring.domain import DEMO_DOMAIN

QUARTERS = {station.id: station.quarter for station in square_stations()}


def _table(count=60_000, **options):
    return pa.Table.from_batches(list(generate_records(count, **options))).combine_chunks()


@pytest.fixture(scope="module")
def year():
    """One record of each station every ten minutes for a good year, thinned to January and July."""
    january = _table(100_000, start=datetime(2023, 1, 1, tzinfo=UTC))
    july = _table(100_000, start=datetime(2023, 7, 15, tzinfo=UTC))
    return january, july


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [0, 1, 70_001])
def test_exactly_as_many_as_asked_in_time_order(mode, count):
    batches = list(generate_records(count, mode=mode, batch_records_max=20_000))
    assert sum(map(len, batches)) == count
    assert all(0 < len(batch) <= 20_000 for batch in batches)
    if batches:
        times = pa.Table.from_batches(batches)["time"].cast(pa.int64()).to_numpy()
        assert (np.diff(times) >= 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_seed_is_all_that_must_be_known(mode):
    assert _table(mode=mode, seed=7).equals(_table(mode=mode, seed=7, batch_records_max=1_000))
    assert not _table(mode=mode, seed=7).equals(_table(mode=mode, seed=8))


def test_a_later_start_is_the_same_weather():
    later = datetime(2023, 1, 8, tzinfo=UTC)
    whole = _table(60_000)
    tail = whole.filter(pc.greater_equal(whole["time"], pa.scalar(later))).combine_chunks()
    assert _table(tail.num_rows, start=later).equals(tail)


@pytest.mark.parametrize("mode", MODES)
def test_every_record_passes_the_door(mode):
    table = _table(20_000, mode=mode)
    columns = {name: table[name] for name in table.column_names}
    decoded = columns_to_rows(columns, domain=DEMO_DOMAIN)
    assert decoded.rejected == 0
    identities = set(
        zip(decoded.rows.sensor_hash.tolist(), decoded.rows.time.tolist(), strict=True)
    )
    assert len(identities) == 20_000


@pytest.mark.parametrize("mode", ["grouped", "single"])
def test_quarters_have_the_shares_of_the_real_records(mode):
    table = _table(600_000, mode=mode)
    counts = Counter()
    for entry in table["sensor"].combine_chunks().value_counts().to_pylist():
        counts[QUARTERS[entry["values"].split("/")[0]]] += entry["counts"]
    for quarter, share in QUARTER_SHARES.items():
        assert abs(counts[quarter] / 600_000 - share) < 0.01


def test_stations_have_what_they_measure(year):
    for table in year:
        rain_only = table.filter(pc.equal(table["sensor"], "53287"))
        for name in VALUE_NAMES:
            missing = rain_only[name].null_count == rain_only.num_rows
            assert missing is not name.startswith("precipitation")
        everything = table.filter(pc.equal(table["sensor"], "65042"))
        for name in VALUE_NAMES:
            assert everything[name].null_count < 0.01 * everything.num_rows


def test_values_are_in_the_steps_and_ranges_of_the_instruments(year):
    for table in year:
        columns = {name: table[name].drop_null().to_numpy() for name in VALUE_NAMES}
        assert ((columns["windDirection"] >= 0) & (columns["windDirection"] <= 16)).all()
        assert ((columns["humidity"] >= 0) & (columns["humidity"] <= 100)).all()
        assert ((columns["sun10m"] >= 0) & (columns["sun10m"] <= 10)).all()
        assert (columns["precipitation10m"] % 0.5 == 0).all()
        assert (columns["precipitation10m"] >= 0).all()
        for name in ("temp", "wind", "pressure"):
            assert np.allclose(columns[name] * 10, np.rint(columns[name] * 10), atol=1e-6)
        calm = table.filter(pc.equal(table["windDirection"], 0))
        assert pc.max(calm["wind"]).as_py() <= 0.3


def test_summer_is_warm_days_are_warm_and_mountains_are_cold(year):
    january, july = year
    assert pc.mean(july["temp"]).as_py() > pc.mean(january["temp"]).as_py() + 12
    hours = pc.hour(pc.assume_timezone(july["time"].cast(pa.timestamp("us")), "UTC")).to_numpy()
    temp = july["temp"].to_numpy()
    assert np.nanmean(temp[hours == 5]) > np.nanmean(temp[hours == 20]) + 3  # 14 h and 5 h in Japan
    koyasan = july.filter(pc.equal(july["sensor"], "65061"))
    wakayama = july.filter(pc.equal(july["sensor"], "65042"))
    assert pc.mean(wakayama["temp"]).as_py() > pc.mean(koyasan["temp"]).as_py() + 3


def test_rain_of_an_hour_is_the_sum_of_its_steps(year):
    table = year[1]
    one = table.filter(pc.equal(table["sensor"], "65042"))
    times = one["time"].cast(pa.int64()).to_numpy() // 600_000_000
    tenth = dict(zip(times.tolist(), one["precipitation10m"].to_pylist(), strict=True))
    checked = rainy = 0
    for step, hour in zip(times.tolist(), one["precipitation1h"].to_pylist(), strict=True):
        steps = [tenth.get(step - back) for back in range(6)]
        if hour is not None and None not in steps:
            assert hour == pytest.approx(sum(steps))
            checked += 1
            rainy += hour > 0
    assert checked > 500
    assert rainy > 10


def test_fronts_pass_from_west_to_east():
    lon, lat = np.array([135.1, 136.5]), np.array([34.0, 34.0])
    hours = np.arange(0.0, 24.0 * 60, 1 / 6)
    effects = front_effects(3, hours, lon=lon, lat=lat)
    west, east = effects.rain_mm_per_h.T
    lags = np.arange(0, 40)
    likeness = [float((west[: len(west) - lag] * east[lag:]).sum()) for lag in lags]
    assert 6 <= int(lags[np.argmax(likeness)]) <= 30, "one to five hours over 130 km"
    heavy = west > 0.5 * west.max()
    assert effects.pressure_hpa[heavy, 0].mean() < effects.pressure_hpa[:, 0].mean() - 2


def test_flags_stand_where_a_value_is_not_normal(year):
    for table in year:
        for name in ("temp", "precipitation10m"):
            flags = Counter(table[f"{name}_flag"].drop_null().to_pylist())
            assert set(flags) == {1, 4}
            assert flags.total() < 0.01 * table.num_rows
            flagged = table.filter(table[f"{name}_flag"].is_valid())
            assert flagged[name].null_count == 0


def test_single_values_are_the_grouped_ones():
    single = _table(30_000, mode="single")
    row = single.slice(0, 1).to_pylist()[0]
    station, element = row["sensor"].split("/")
    assert station in QUARTERS
    assert element in VALUE_NAMES
    assert single.column_names == ["sensor", "time", "lon", "lat", "value"]
    assert single["value"].null_count == 0


def test_vehicles_never_stand_at_the_same_place():
    table = _table(200_000, mode="moving")
    places = set(zip(table["lon"].to_pylist(), table["lat"].to_pylist(), strict=True))
    assert len(places) > 199_990
    assert len(set(table["sensor"].to_pylist())) == 20_000
    assert pc.min(table["speed"]).as_py() >= 0
    assert pc.max(table["speed"]).as_py() < 250


@pytest.mark.parametrize(
    "options",
    [{"mode": "daily"}, {"count": -1}, {"start": datetime(2023, 1, 1)}, {"batch_records_max": 0}],
)
def test_what_cannot_be_made_is_said_at_once(options):
    with pytest.raises(ValueError, match=r"mode|count|zone"):
        generate_records(**{"count": 1, **options})
