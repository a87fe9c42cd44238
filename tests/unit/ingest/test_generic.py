"""CSV, NDJSON, GeoJSON and Parquet with column mappings."""

import io
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.errors import MappingNeeded, UnreadableFile
from ingest.formats import DECODERS, Context, csv_stream
from ingest.formats.column_mapping import ColumnMapping
from ingest.formats.compressed import open_plain

NOON = datetime(2023, 7, 13, 12, tzinfo=UTC)


def _mapping(**options):
    return {"mapping": ColumnMapping(**options)}


def _rows(parts, *names):
    return [
        tuple(part.columns[name][row].as_py() for name in names)
        for part in parts
        for row in range(len(part.rows))
    ]


def _refused(parts):
    return [(entry.row, entry.reason) for part in parts for entry in part.refused]


@pytest.mark.parametrize(
    "header",
    ["sensor,time,lon,lat,v", "device_id,ts,longitude,latitude,v", "Station,Timestamp,x,y,v"],
)
def test_usual_names_need_no_mapping(read, header):
    parts = read("csv", f"{header}\na,2023-07-13T12:00:00Z,135.5,33.5,1.5\n")
    assert _rows(parts, "sensor", "time", "lon", "lat", "v") == [("a", NOON, 135.5, 33.5, 1.5)]


def test_a_mapping_names_columns_and_renames_values(read):
    text = "Messstelle;Zeit;Rechts;Hoch;Temp\nA1;13.07.2023 14:00;135.5;33.5;21\n"
    parts = read(
        "csv",
        text,
        **_mapping(
            names={"sensor": "Messstelle", "time": "Zeit", "lon": "Rechts", "lat": "Hoch",
                   "temp": "Temp"},
            time_format="%d.%m.%Y %H:%M",
            zone="Europe/Berlin",
            constants={"operator": "city"},
        ),
    )  # fmt: skip
    assert _rows(parts, "sensor", "time", "temp", "operator") == [("A1", NOON, 21, "city")]


def test_constants_may_stand_for_what_a_file_lacks(read):
    parts = read(
        "csv",
        "time,level\n2023-07-13T12:00:00Z,1.5\n",
        **_mapping(constants={"sensor": "gauge", "lon": "135.5", "lat": "33.5"}),
    )
    assert _rows(parts, "sensor", "lon", "lat", "level") == [("gauge", 135.5, 33.5, 1.5)]


def test_positions_of_named_stations_come_from_the_table(read, stations):
    text = "station,time,v\n65042,2023-07-13T12:00:00Z,1\nnobody,2023-07-13T12:00:00Z,2\n"
    parts = read("csv", text)
    assert _rows(parts, "lon", "lat") == [stations.positions["65042"]]
    assert _refused(parts) == [(3, "unknown-station")]


def test_the_real_file_of_all_japan_streams(read, amedas_files, stations):
    path = amedas_files / "nikkei_japan_hourly_20230713_20231206.csv.xz"
    records = parked = 0
    with open_plain(path) as stream:
        for part in DECODERS["csv"](stream, Context(stations=stations)):
            assert len(part.rows) <= 200_000, "a part is bounded, not the file"
            records += len(part.rows)
            parked += sum(entry.reason == "unknown-station" for entry in part.refused)
    with open_plain(path) as stream:
        lines = stream.read().count(b"\n") - 1
    assert records + parked == lines
    assert parked > 0


def test_times_without_zone_are_refused_with_the_way_out(read):
    text = "sensor,time,lon,lat,v\na,2023-07-13 12:00,135.5,33.5,1\n"
    parts = read("csv", text)
    assert _refused(parts) == [(2, "bad-time")]
    assert "--zone" in parts[0].refused[0].message
    assert _rows(read("csv", text, **_mapping(zone="UTC")), "time") == [(NOON,)]


def test_missing_names_are_asked_for(read):
    with pytest.raises(MappingNeeded, match="which column is the time"):
        read("csv", "sensor,wann\na,b\n")
    with pytest.raises(MappingNeeded, match="no column 'zeit'"):
        read("csv", "sensor,wann\na,b\n", **_mapping(names={"time": "zeit"}))


def test_columns_are_typed_by_content_and_stay_so(read):
    text = (
        "sensor,time,lon,lat,n,t,b,code,empty\n"
        "a,2023-07-13T12:00:00Z,135.5,33.5,1,warm,true,007,\n"
        "a,2023-07-13T12:01:00Z,135.5,33.5,2.5,7,FALSE,010,NA\n"
        "a,2023-07-13T12:02:00Z,135.5,33.5,,,,011,null\n"
    )
    parts = read("csv", text)
    assert _rows(parts, "n", "t", "b", "code") == [
        (1.0, "warm", True, "007"), (2.5, "7", False, "010"), (None, None, None, "011"),
    ]  # fmt: skip
    assert "empty" not in parts[0].columns


def test_a_text_in_a_number_column_refuses_its_row(read, monkeypatch):
    monkeypatch.setattr(csv_stream, "BLOCK_BYTES", 128)
    lines = [f"a,2023-07-13T12:00:{second:02d}Z,135.5,33.5,{second}" for second in range(20)]
    lines[15] = "a,2023-07-13T12:00:15Z,135.5,33.5,broken"
    parts = read("csv", "sensor,time,lon,lat,v\n" + "\n".join(lines) + "\n")
    assert _refused(parts) == [(17, "bad-value")]
    assert parts[-1].columns["v"].type == pa.int64()
    (entry,) = [entry for part in parts for entry in part.refused]
    assert entry.original["v"] == "broken"


def test_row_numbers_pass_over_refused_rows(read, monkeypatch):
    monkeypatch.setattr(csv_stream, "BLOCK_BYTES", 128)
    lines = [f"s{second},2023-07-13T12:00:{second:02d}Z,135.5,33.5,1" for second in range(30)]
    for at in (3, 4, 17, 29):
        lines[at] = "short,row"
    parts = read("csv", "sensor,time,lon,lat,v\n" + "\n".join(lines) + "\n")
    found = {
        int(row): sensor
        for part in parts
        for row, sensor in zip(part.rows, part.columns["sensor"].to_pylist(), strict=True)
    }
    assert found == {at + 2: f"s{at}" for at in range(30) if at not in (3, 4, 17, 29)}
    assert [row for row, _ in _refused(parts)] == [5, 6, 19, 31]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "utf-16"])
def test_encodings_are_told_apart(read, encoding):
    text = "sensor,time,lon,lat,place\na,2023-07-13T12:00:00Z,135.5,33.5,和歌山\n"
    assert _rows(read("csv", text.encode(encoding)), "sensor", "place") == [("a", "和歌山")]


def test_a_byte_that_is_no_text_costs_its_row(read):
    data = b"sensor,time,lon,lat,v\na,2023-07-13T12:00:00Z,135.5,33.5,1\n" * 1
    data = data + "和".encode() * 40_000 + b",x\n"
    data += b"b\xff\xfe,2023-07-13T12:00:00Z,135.5,33.5,1\nc,2023-07-13T12:00:00Z,135.5,33.5,1\n"
    parts = read("csv", data)
    assert [sensor for (sensor,) in _rows(parts, "sensor")] == ["a", "c"]
    assert sorted(reason for _, reason in _refused(parts)) == ["bad-text", "bad-width"]


@pytest.mark.parametrize(
    "text", ["", "\n", "a,a\n1,2\n", "sensor,time,lon,lat,v\n" + "x" * 9_000_000 + "\n"]
)
def test_what_is_no_csv_is_said(read, text):
    with pytest.raises((UnreadableFile, MappingNeeded)):
        read("csv", text)


def test_ndjson_in_our_own_shape(read):
    record = {"sensor": "a", "time": "2023-07-13T12:00:00Z", "lon": 135.5, "lat": 33.5}
    lines = [json.dumps({**record, "values": {"temp": 1.5, "tags": ["x"]}}), "", "{broken", "[1]"]
    parts = read("ndjson", "\n".join(lines))
    assert _rows(parts, "sensor", "temp") == [("a", 1.5)]
    assert _refused(parts) == [(3, "bad-json"), (4, "bad-json")]


def test_nested_members_are_reached_by_dots(read):
    line = {"id": 7, "at": 1689249600, "pos": {"x": 135.5, "y": 33.5}, "m": {"t": 20}}
    parts = read(
        "ndjson",
        json.dumps(line),
        **_mapping(
            names={"time": "at", "lon": "pos.x", "lat": "pos.y", "temp": "m.t"},
            time_format="epoch-s",
        ),
    )
    assert _rows(parts, "sensor", "time", "lon", "temp") == [("7", NOON, 135.5, 20)]


def test_names_may_appear_late(read):
    base = {"sensor": "a", "lon": 135.5, "lat": 33.5}
    lines = [
        json.dumps({**base, "time": f"2023-07-13T12:00:{n:02d}Z", ("v" if n < 5 else "w"): n})
        for n in range(10)
    ]
    parts = read("ndjson", "\n".join(lines))
    assert _rows(parts, "v", "w")[4:6] == [(4, None), (None, 5)]


def _feature(**changes):
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [135.5, 33.5, 12.0]},
        "properties": {"sensor": "a", "time": "2023-07-13T12:00:00Z", "temp": 1.5},
    }
    return feature | changes


def test_geojson_points(read):
    features = [_feature(), _feature(geometry=None), _feature(type="Line"), 5]
    parts = read("geojson", json.dumps({"type": "FeatureCollection", "features": features}))
    assert _rows(parts, "sensor", "time", "lon", "lat", "temp") == [("a", NOON, 135.5, 33.5, 1.5)]
    assert _refused(parts) == [(2, "bad-feature"), (3, "bad-feature"), (4, "bad-feature")]
    assert _rows(read("geojson", json.dumps(_feature())), "sensor") == [("a",)]


def _parquet(**columns):
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_parquet_keeps_types(read):
    data = _parquet(
        sensor=pa.array([1, 2]),
        time=pa.array([NOON, NOON], pa.timestamp("ms", "UTC")),
        lon=[135.5, 135.6],
        lat=[33.5, 33.6],
        temp=pa.array([1.5, None]),
        image=pa.array([b"\0\1", None]),
    )
    parts = read("parquet", data)
    assert _rows(parts, "sensor", "time", "temp", "image") == [
        ("1", NOON, 1.5, b"\0\1"), ("2", NOON, None, None),
    ]  # fmt: skip
    assert parts[0].original(1)["sensor"] == 2


def test_parquet_times_without_zone_take_the_zone(read):
    data = _parquet(id=["a"], ts=pa.array([datetime(2023, 7, 13, 21)]), x=[135.5], y=[33.5], v=[1])
    assert _rows(read("parquet", data, **_mapping(zone="Asia/Tokyo")), "time") == [(NOON,)]
    kind = read("parquet", data)[0].columns["time"].type
    assert kind.tz is None, "without --zone it stays without zone, and the check refuses it"


def test_mapping_files_are_toml():
    mapping = ColumnMapping.from_toml(
        'zone = "Asia/Tokyo"\n[map]\nsensor = "id"\n[constant]\noperator = "x"\n'
        '[types]\nid = "text"\n'
    ).with_flags(pairs=["time=ts,lon=x"], zone="UTC")
    assert mapping.names == {"sensor": "id", "time": "ts", "lon": "x"}
    assert mapping.zone == "UTC"
    for text in ("[map", "[map]\nsensor = 5", "unknown = 1", '[types]\na = "date"', "zone = 5"):
        with pytest.raises(MappingNeeded):
            ColumnMapping.from_toml(text)
    with pytest.raises(MappingNeeded, match="NAME=COLUMN"):
        ColumnMapping().with_flags(pairs=["sensor"])


def test_a_declared_type_wins_over_content(read):
    text = "sensor,time,lon,lat,zip\na,2023-07-13T12:00:00Z,135.5,33.5,640\n"
    assert _rows(read("csv", text, **_mapping(types={"zip": "text"})), "zip") == [("640",)]


def test_only_mapped_columns_can_be_kept(read):
    text = "sensor,time,lon,lat,v,w\na,2023-07-13T12:00:00Z,135.5,33.5,1,2\n"
    parts = read("csv", text, **_mapping(names={"v": "v"}, only_mapped=True))
    assert "w" not in parts[0].columns
    assert _rows(parts, "v") == [(1,)]


def test_a_line_may_be_a_feature(read):
    lines = [json.dumps(_feature()), json.dumps(_feature(geometry=None)), json.dumps(_feature())]
    parts = read("ndjson", "\n".join(lines))
    assert _rows(parts, "sensor", "lon", "temp") == [("a", 135.5, 1.5)] * 2
    assert _refused(parts) == [(2, "bad-feature")]


def test_long_line_files_come_in_parts(read, monkeypatch):
    monkeypatch.setattr("ingest.formats.json_records.BATCH_RECORDS", 10)
    record = {"sensor": "a", "lon": 135.5, "lat": 33.5, "values": {"v": 1}}
    lines = [json.dumps({**record, "time": f"2023-07-13T12:00:{n:02d}Z"}) for n in range(35)]
    lines[7] = "{"
    parts = read("ndjson", "\n".join(lines))
    assert [len(part.rows) for part in parts] == [10, 10, 10, 4]
    assert [int(row) for part in parts for row in part.rows] == [n + 1 for n in range(35) if n != 7]
    assert _refused(parts) == [(8, "bad-json")]
