"""Map and point files against a dumb twin that walks the JSON cell by cell."""

import json
from datetime import UTC, datetime

import pytest

from ingest.errors import MappingNeeded, UnreadableFile

MAP_FILES = ("20210224150000.json", "20250628180000.json")
FIXED = ("sensor", "time", "lon", "lat")


def _is_observation(cell):
    if not isinstance(cell, list) or len(cell) != 2:
        return False
    value, flag = cell
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and flag in (0, 1, 4) and flag is not None


def _records(part):
    columns = {name: column.to_pylist() for name, column in part.columns.items()}
    return [
        {name: cells[row] for name, cells in columns.items() if cells[row] is not None}
        for row in range(len(part.rows))
    ]


@pytest.mark.parametrize("name", MAP_FILES)
def test_a_map_has_what_a_walk_through_it_finds(read, stations, amedas_files, name):
    path = amedas_files / "bosai_map" / name
    (part,) = read("bosai-map", path)
    expected = {}
    for station, entry in json.loads(path.read_text(encoding="utf-8")).items():
        values = {key: cell for key, cell in entry.items() if _is_observation(cell)}
        if values and station in stations.positions:
            expected[station] = values
    found = {record["sensor"]: record for record in _records(part)}
    assert found.keys() == expected.keys()
    for station, values in expected.items():
        flags = {f"{key}_flag": pair[1] for key, pair in values.items() if pair[1] != 0}
        plain = {key: pair[0] for key, pair in values.items()}
        record = found[station]
        assert {key: record[key] for key in record if key not in FIXED} == {**plain, **flags}


def test_the_time_of_a_map_is_in_its_name_in_japanese_time(read, amedas_files):
    (part,) = read("bosai-map", amedas_files / "bosai_map/20250628180000.json")
    assert set(part.columns["time"].to_pylist()) == {datetime(2025, 6, 28, 9, tzinfo=UTC)}


def test_midnight_may_be_hour_24(read):
    content = b'{"65042": {"temp": [1.0, 0]}}'
    (part,) = read("bosai-map", content, path="x/20250628240000.json.gz")
    assert part.columns["time"][0].as_py() == datetime(2025, 6, 28, 15, tzinfo=UTC)


def test_a_map_without_a_time_in_its_name_asks_for_one(read, amedas_files):
    for path in ("handmade_with_null_values.json", "20251328180000.json"):
        with pytest.raises(MappingNeeded, match="YYYYMMDDHHMMSS"):
            read("bosai-map", b"{}", path=path)


def test_snow_without_instrument_is_no_zero(read):
    content = b'{"65042": {"temp": [1.5, 0], "snow1h": [0, null], "snow6h": [0, 6]}}'
    (part,) = read("bosai-map", content, path="20250628180000.json")
    assert set(part.columns) == {*FIXED, "temp"}
    assert part.left_out == {"flag-without-observation": 2}


def test_unknown_stations_are_parked_and_named(read, amedas_files):
    (part,) = read("bosai-map", amedas_files / "bosai_map/20250628180000.json")
    parked = {entry.reason: entry for entry in part.refused}
    assert set(parked) == {"unknown-station"}
    assert "35256" in {next(iter(entry.original)) for entry in part.refused}


def test_unknown_elements_and_odd_shapes_do_not_stop_a_map(read):
    content = b"""{"65042": {"temp": [1.5, 0], "radiation": [3, 0], "note": "x", "odd": [1]},
                   "65356": 7, "44132": {"temp": ["warm", 0], "wind": [1e999, 0]},
                   "14163": {"temp": [true, 0], "wind": [1, true], "sun1h": [1, "0"]}}"""
    content = content.replace(b"1e999", b"123456789012345678901234567890")
    (part,) = read("bosai-map", content, path="20250628180000.json")
    assert part.columns["radiation"].to_pylist()[0] == 3
    assert [entry.reason for entry in part.refused] == ["bad-shape"]
    assert part.left_out["not-a-pair"] == 2
    assert part.left_out["unknown-flag"] == 2
    assert part.columns["sensor"].to_pylist() == ["65042", "44132"]


def test_a_point_file_has_its_slots(read, amedas_files):
    path = amedas_files / "bosai_point/44132_20241123_18.json"
    slots = json.loads(path.read_text(encoding="utf-8"))
    (part,) = read("bosai-point", path)
    assert len(part.rows) == len(slots)
    assert set(part.columns["sensor"].to_pylist()) == {"44132"}
    first = _records(part)[0]
    assert first["time"] == datetime(2024, 11, 23, 9, tzinfo=UTC)
    for slot, record in zip(slots.values(), _records(part), strict=True):
        pairs = {key: cell[0] for key, cell in slot.items() if _is_observation(cell)}
        assert {key: record.get(key) for key in pairs} == pairs
    assert "prefNumber" not in part.columns
    assert "snow1h" not in part.columns


def test_occurrence_times_are_utc_and_not_after_the_slot(read, amedas_files):
    (part,) = read("bosai-point", amedas_files / "bosai_point/44132_20241123_18.json")
    first = _records(part)[0]
    assert first["maxTempTime"] == "2024-11-23T03:43:00Z"
    assert first["minTempTime"] == "2024-11-22T21:52:00Z"
    assert first["gustTime"] == "2024-11-23T01:54:00Z"


def test_an_occurrence_without_its_value_is_left_out(read):
    content = b"""{"20241123180000": {"prefNumber": 44, "observationNumber": 132,
        "temp": [1.0, 0], "maxTempTime": {"hour": 3, "minute": 43}, "maxTemp": [null, 6],
        "gust": [3.0, 0], "gustTime": {"hour": 25, "minute": 0}}}"""
    (part,) = read("bosai-point", content)
    assert set(part.columns) == {*FIXED, "temp", "gust"}


def test_station_numbers_are_padded(read, amedas_files):
    (part,) = read("bosai-point", amedas_files / "bosai_point/14163_20261004_21.json")
    assert part.columns["sensor"].to_pylist() == ["14163"]
    content = b'{"20241123180000":{"prefNumber":1,"observationNumber":2,"temp":[1,0]}}'
    (part,) = read("bosai-point", content)
    assert part.refused[0].message.startswith("station 01002 ")


@pytest.mark.parametrize(
    "path", ["44132/20241123_18.json", "44132_20241123_18.json", "a/44132/20241123_18.json.gz"]
)
def test_name_and_content_must_agree_about_the_station(read, path):
    content = b'{"20241123180000":{"prefNumber":14,"observationNumber":163,"temp":[1,0]}}'
    with pytest.raises(UnreadableFile, match="named for station 44132, the content is of 14163"):
        read("bosai-point", content, path=path)


def test_one_bad_slot_costs_no_other(read):
    content = b"""{"20241123180000": {"prefNumber": 44, "observationNumber": 132, "temp": [1, 0]},
        "20241399000000": {}, "x": {}, "20241123181000": 5, "20241123182000": {"temp": [1, 0]}}"""
    (part,) = read("bosai-point", content)
    assert len(part.rows) == 1
    assert [entry.reason for entry in part.refused] == [
        "bad-time", "bad-time", "bad-shape", "no-station",
    ]  # fmt: skip
