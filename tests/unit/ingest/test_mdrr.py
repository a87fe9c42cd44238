"""The latest-weather CSV: columns by parts of their names, hour 24, blank flags."""

from datetime import UTC, datetime

import pytest

from ingest.errors import MappingNeeded, UnreadableFile

NOW = "現在時刻(年),現在時刻(月),現在時刻(日),現在時刻(時),現在時刻(分)"


def _row(read, cells: str, header: str = "現在値(mm),現在値の品質情報", name: str = "pre1h00.csv"):
    text = f"観測所番号,地点,{NOW},{header}\n{cells}\n"
    (part,) = read("mdrr", text.encode("cp932"), path=name)
    return part


def test_rain_and_the_maximum_of_the_day(read, amedas_files):
    (part,) = read("mdrr", amedas_files / "mdrr_csv/pre1h00_201704111500_cp932.csv")
    assert part.topic == "precipitation1h"
    assert "65042" in part.columns["sensor"].to_pylist()
    assert set(part.columns["time"].to_pylist()) == {datetime(2017, 4, 11, 6, tzinfo=UTC)}
    assert set(part.columns) == {
        "sensor", "time", "lon", "lat", "precipitation1h", "dayMaxPrecipitation1h",
        "dayMaxPrecipitation1h_flag", "dayMaxPrecipitation1hTime",
    }  # fmt: skip
    flags = part.columns["dayMaxPrecipitation1h_flag"].drop_null().to_pylist()
    assert set(flags) == {4}
    moments = part.columns["dayMaxPrecipitation1hTime"].drop_null().to_pylist()
    assert all("2017-04-10T15:00:00Z" <= moment <= "2017-04-11T06:00:00Z" for moment in moments)


def test_stations_without_value_are_counted_not_stored(read, amedas_files):
    (part,) = read("mdrr", amedas_files / "mdrr_csv/pre1h00_201704111500_cp932.csv")
    assert part.left_out["record-without-value"] >= 1
    assert part.left_out["missing"] >= 2


def test_hour_24_is_the_next_day(read):
    part = _row(read, "65042,和歌山,2017,04,11,24,00,1.5,8")
    assert part.columns["time"][0].as_py() == datetime(2017, 4, 11, 15, tzinfo=UTC)


def test_a_blank_flag_means_not_observed(read):
    part = _row(read, "65042,和歌山,2017,04,11,15,00,0.0,")
    assert len(part.rows) == 0
    assert part.left_out == {"flag-without-observation": 1, "record-without-value": 1}


def test_names_of_columns_may_hold_the_date(read):
    names = ("(℃)", "の品質情報", "起時（時）", "起時（分）")
    header = ",".join(f"11日の最高気温{name}" for name in names)
    part = _row(read, "65042,和歌山,2017,04,11,24,00,25.5,5,24,00", header, "mxtemsadext00_rct.csv")
    assert part.columns["dayMaxTemp"].to_pylist() == [25.5]
    assert part.columns["dayMaxTemp_flag"].to_pylist() == [1]
    assert part.columns["dayMaxTempTime"].to_pylist() == ["2017-04-11T15:00:00Z"]


def test_wind_directions_are_codes(read):
    names = ("(m/s)", "の品質情報", "風向", "風向の品質情報")
    header = ",".join(f"今日の最大風速{name}" for name in names)
    part = _row(read, "65042,和歌山,2017,04,11,12,00,7.5,8,北北東,8", header, "mxwsp00_rct.csv")
    assert part.columns["dayMaxWind"].to_pylist() == [7.5]
    assert part.columns["dayMaxWindDirection"].to_pylist() == [1]


def test_what_the_current_value_is_stands_in_the_name(read):
    with pytest.raises(MappingNeeded, match="pre24h"):
        _row(read, "65042,和歌山,2017,04,11,15,00,0.0,8", name="download.csv")


def test_rows_of_another_width_or_time_are_refused_alone(read):
    good, day_30 = (f"65042,和歌山,2017,{day},15,00,0.0,8" for day in ("04,11", "02,30"))
    rows = f"{good}\n65356,潮岬,2017,04\n{day_30}"
    part = _row(read, rows)
    assert len(part.rows) == 1
    assert [(entry.row, entry.reason) for entry in part.refused] == [
        (3, "bad-width"), (4, "bad-time"),
    ]  # fmt: skip


def test_another_csv_is_not_mistaken(read):
    with pytest.raises(UnreadableFile, match="観測所番号"):
        read("mdrr", b"a,b\n1,2\n")
