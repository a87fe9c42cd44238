"""Single values, grouped to one record for each station and time."""

import csv
import gzip
from collections import Counter

import pyarrow as pa
import pytest

from ingest.amedas import square_stations
from ingest.errors import UnreadableFile
from ingest.formats import DECODERS, Context
from ingest.formats import long_csv as long_csv_module
from ingest.formats.compressed import open_plain

FIXED = ("sensor", "time", "lon", "lat")
NAME = "square_long_real_1218583.csv.gz"
HEADER = "time,station,lat,lon,element,value,flag,source\n"
KEPT_FLAGS = {"mdrr": {"8": 0, "5": 1, "4": 4, "": 0}, "bosai": {"0": 0, "1": 1, "4": 4, "": 0}}


@pytest.fixture(scope="module")
def parts(amedas_files):
    with open_plain(amedas_files / NAME) as stream:
        return list(DECODERS["long"](stream, Context()))


def _value_names(part):
    return [name for name in part.columns if name not in FIXED and not name.endswith("_flag")]


def test_every_value_is_in_one_record(parts, amedas_files):
    values = sum(
        len(part.columns[name]) - part.columns[name].null_count
        for part in parts
        for name in _value_names(part)
    )
    with gzip.open(amedas_files / NAME, "rt", encoding="utf-8") as stream:
        stations = Counter()
        seen = set()
        count = 0
        for row in csv.DictReader(stream):
            seen.add((row["time"], row["station"]))
            stations[row["station"]] += 1
            count += 1
    assert values == count
    assert sum(len(part.rows) for part in parts) == len(seen)
    assert not any(part.refused or part.left_out for part in parts)
    records = Counter(name for part in parts for name in part.columns["sensor"].to_pylist())
    assert records.keys() == stations.keys()


def test_the_first_rows_are_found_again(parts, amedas_files):
    table = pa.concat_tables(
        [pa.table(dict(part.columns)) for part in parts if len(part.rows)],
        promote_options="default",
    )
    first = {
        (row["sensor"], row["time"].isoformat()): row for row in table.slice(0, 500).to_pylist()
    }
    checked = 0
    with gzip.open(amedas_files / NAME, "rt", encoding="utf-8") as stream:
        for row, _ in zip(csv.DictReader(stream), range(100), strict=False):
            moment = pa.array([row["time"]]).cast(pa.timestamp("us", "UTC"))[0].as_py()
            record = first[(row["station"], moment.isoformat())]
            assert record[row["element"]] == float(row["value"])
            assert record.get(f"{row['element']}_flag") == (
                KEPT_FLAGS[row["source"]][row["flag"]] or None
            )
            assert round(record["lon"], 7) == round(float(row["lon"]), 7)
            checked += 1
    assert checked == 100


def test_the_real_file_has_its_known_counts_and_quarters(parts, real_data):
    quarter_of = {station.id: station.quarter for station in square_stations()}
    shares = Counter()
    for part in parts:
        valid = sum(part.columns[n].is_valid().cast(pa.int64()).to_numpy(zero_copy_only=False)
                    for n in _value_names(part)) if len(part.rows) else []  # fmt: skip
        for sensor, count in zip(part.columns["sensor"].to_pylist(), valid, strict=True):
            shares[quarter_of[sensor]] += int(count)
    if real_data is None:
        assert set(shares) == {"NW", "SW"}
        return
    assert sum(len(part.rows) for part in parts) == 454_669
    assert shares.total() == 1_218_583
    rounded = {name: round(100 * count / shares.total(), 1) for name, count in shares.items()}
    assert rounded == {"SW": 15.0, "NW": 49.9, "SE": 4.7, "NE": 30.3}


def test_one_collection_per_element(amedas_files):
    with open_plain(amedas_files / NAME) as stream:
        parts = list(DECODERS["long"](stream, Context(per_element=True)))
    for part in parts:
        if len(part.rows):
            assert _value_names(part) == [part.topic]
            assert part.columns[part.topic].null_count == 0


def test_flags_follow_the_source(read):
    rows = [
        "2023-07-13T13:00:00+09:00,65042,34.2,135.1,a,1,8,mdrr",
        "2023-07-13T13:00:00+09:00,65042,34.2,135.1,b,2,5,mdrr",
        "2023-07-13T13:00:00+09:00,65042,34.2,135.1,c,3,5,bosai",
        "2023-07-13T13:00:00+09:00,65042,34.2,135.1,d,0,6,bosai",
        "2023-07-13T13:00:00+09:00,65042,34.2,135.1,e,,,bosai",
        "2023-07-13T13:00:00+09:00,65042,34.2,135.1,f,1,1,mdrr",
    ]
    parts = read("long", HEADER + "\n".join(rows) + "\n")
    (record,) = [part for part in parts if len(part.rows)]
    assert set(record.columns) == {*FIXED, "a", "b", "b_flag"}
    assert record.columns["b_flag"].to_pylist() == [1]
    left_out = sum((Counter(part.left_out) for part in parts), Counter())
    assert left_out == {"flag-without-observation": 3, "missing": 1}


def test_rows_of_one_time_may_stand_apart(read):
    rows = [
        "2023-07-13T04:00:00Z,65042,34.2,135.1,temp,1,,bosai",
        "2023-07-13T05:00:00Z,65042,34.2,135.1,temp,2,,bosai",
        "2023-07-13T13:00:00+09:00,65042,34.2,135.1,wind,3,,bosai",
        "2023-07-13T04:00:00Z,65042,34.2,135.1,temp,9,,bosai",
    ]
    parts = [part for part in read("long", HEADER + "\n".join(rows) + "\n") if len(part.rows)]
    (part,) = parts
    assert part.columns["temp"].to_pylist() == [1.0, 2.0]
    assert part.columns["wind"].to_pylist() == [3.0, None]
    assert part.left_out == {"repeated-value": 1}


def test_long_files_are_grouped_window_by_window(read, monkeypatch):
    monkeypatch.setattr(long_csv_module, "WINDOW_ROWS", 4)
    monkeypatch.setattr("ingest.formats.csv_stream.BLOCK_BYTES", 256)
    rows = [
        f"2023-07-13T{hour:02d}:00:00Z,65042,34.2,135.1,{name},{hour},,bosai"
        for hour in range(20)
        for name in ("temp", "wind", "sun1h")
    ]
    late = "2023-07-13T01:00:00Z,65042,34.2,135.1,rain,1,,bosai"
    parts = read("long", HEADER + "\n".join([*rows, late]) + "\n")
    whole = [part for part in parts if len(part.rows)]
    assert len(whole) > 3
    times = [time for part in whole for time in part.columns["time"].to_pylist()]
    assert len(times) == len(set(times)) == 20
    for part in whole:
        for name in ("temp", "wind", "sun1h"):
            assert part.columns[name].null_count == 0
    assert [entry.reason for part in parts for entry in part.refused] == ["out-of-order"]


def test_bad_rows_are_refused_alone(read):
    rows = [
        "2023-07-13T04:00:00Z,65042,34.2,135.1,temp,1,,bosai",
        "yesterday,65042,34.2,135.1,temp,1,,bosai",
        "2023-07-13T04:00:00Z,65042,34.2",
        "2023-07-13T04:00:00Z,65042,34.2,135.1,temp,warm,,bosai",
    ]
    parts = read("long", HEADER + "\n".join(rows) + "\n")
    refused = [entry for part in parts for entry in part.refused]
    assert sorted((entry.row, entry.reason) for entry in refused)[:2] == [
        (3, "bad-time"), (4, "bad-width"),
    ]  # fmt: skip
    assert sum(len(part.rows) for part in parts) == 1


def test_positions_come_from_the_station_table_where_the_file_has_none(read, stations):
    time = "2023-07-13T04:00:00Z"
    text = f"time,station,element,value\n{time},65042,temp,1\n{time},x,temp,1\n"
    parts = read("long", text)
    (part,) = [part for part in parts if len(part.rows)]
    assert (part.columns["lon"][0].as_py(), part.columns["lat"][0].as_py()) == (
        stations.positions["65042"]
    )
    assert [entry.reason for part in parts for entry in part.refused] == ["unknown-station"]


def test_another_csv_is_not_mistaken(read):
    with pytest.raises(UnreadableFile, match="element"):
        read("long", "time,station,value\n1,2,3\n")
