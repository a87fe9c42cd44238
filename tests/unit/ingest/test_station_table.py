"""JMA's station tables: degrees and minutes, ids twice, names that several stations share."""

import pyarrow as pa
import pytest

from ingest.amedas import elements, square_stations
from ingest.errors import IngestError, MappingNeeded
from ingest.formats.station_table import StationTable, read_station_table


def test_minutes_become_degrees(stations):
    assert stations.positions["65042"] == (135.1633333, 34.2283333)


def test_names_may_belong_to_several_stations(stations):
    assert set(stations.names["清水"]) == {"50261", "65121", "74516"}


def test_an_id_at_two_spots_stands_at_the_first(amedas_files):
    table = read_station_table((amedas_files / "ame_master_20230824_cp932.csv").read_bytes())
    assert "14163" in table.repeated
    assert table.positions["14163"] == (round(141 + 19.7 / 60, 7), round(43 + 3.6 / 60, 7))


def test_all_tables_put_a_station_at_the_same_place(amedas_files, stations):
    master = read_station_table((amedas_files / "ame_master_20230824_cp932.csv").read_bytes())
    square = StationTable.of_square()
    for station in ("65042",):
        assert master.positions[station] == square.positions[station]
        assert stations.positions[station] == square.positions[station]


def test_the_square_has_its_40_stations_in_their_quarters():
    quarters = [station.quarter for station in square_stations()]
    assert {name: quarters.count(name) for name in set(quarters)} == {
        "SW": 5, "NW": 19, "SE": 2, "NE": 14,
    }  # fmt: skip
    for station in square_stations():
        assert 135.0 <= station.lon < 136.6
        assert 33.0 <= station.lat < 34.6
        assert "precipitation" in station.elements


def test_elements_have_units():
    assert elements()["temp"].unit == "degC"
    assert elements()["precipitation10m"].period_minutes == 10


def test_any_csv_with_id_lon_lat_is_a_table():
    table = read_station_table("id,name,lon,lat\na,Alpha,135.5,33.5\n".encode("utf-8-sig"))
    assert table.positions == {"a": (135.5, 33.5)}
    assert table.names["Alpha"] == ("a",)


def test_unknown_sensors_are_found(stations):
    lon, _, unknown = stations.places(pa.array(["65042", "nobody"]))
    assert lon.to_pylist() == [135.1633333, None]
    assert unknown.tolist() == [1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"1": 5}',
        b'{"1": {"lat": [1, 2], "lon": ["a", 3]}}',
        b'{"1": {"lat": [1, null], "lon": [1, 2]}}',
        b"id,lon,lat\na,x,1\n",
        "観測所番号,緯度(度)\n1,2\n".encode(),
    ],
)
def test_what_is_no_table_is_said(data):
    with pytest.raises(IngestError):
        read_station_table(data)


def test_missing_columns_are_named():
    with pytest.raises(MappingNeeded, match="id, lon, lat"):
        read_station_table(b"code,x,y\na,1,2\n")
