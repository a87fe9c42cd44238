"""data.csv in all its variants."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from ingest.errors import MappingNeeded, UnreadableFile
from ingest.formats.text import decode_text

FIRST_DATA = re.compile(r"^\d{4}([/年,]|$)")
HOURLY = ("standard", "with-pref", "split-date", "web-format")
START = datetime(2020, 9, 30, 16, tzinfo=UTC)  # 2020-10-01 01:00 in Japan


def _file(amedas_files, name):
    return amedas_files / "obsdl_csv" / f"ramedas_{name}.csv"


def _data_lines(path):
    lines = decode_text(path.read_bytes()).split("\n")
    return [line for line in lines if FIRST_DATA.match(line)]


def _records(part):
    columns = {name: column.to_pylist() for name, column in part.columns.items()}
    return [
        {name: cells[row] for name, cells in columns.items() if cells[row] is not None}
        for row in range(len(part.rows))
    ]


@pytest.mark.parametrize("name", HOURLY)
def test_hourly_variants_have_the_same_hours(read, amedas_files, name):
    path = _file(amedas_files, name)
    (part,) = read("obsdl", path)
    lines = _data_lines(path)
    times = part.columns["time"].to_pylist()
    assert times[0] == START
    # One line after the other is one hour, across midnight and hour 24; some hold no value.
    assert len(times) + part.left_out.get("record-without-value", 0) == len(lines)
    assert times[23] - times[22] == timedelta(hours=1)
    assert times[-1] == START + timedelta(hours=len(lines) - 1)
    assert times == sorted(set(times))
    assert part.topic == "hourly"
    assert set(part.columns["sensor"].to_pylist()) == {"12442"}


def test_the_variants_agree_value_by_value(read, amedas_files):
    texts = []
    for name in HOURLY:
        (part,) = read("obsdl", _file(amedas_files, name))
        texts.append({record["time"]: record["temp"] for record in _records(part)})
    assert texts[0] == texts[1] == texts[2] == texts[3]


@pytest.mark.parametrize("name", ["standard", "web-format"])
def test_temperatures_are_those_of_the_lines(read, amedas_files, name):
    path = _file(amedas_files, name)
    (part,) = read("obsdl", path)
    cells = [line.split(",")[1] for line in _data_lines(path)]
    expected = [float(cell) for cell in cells if re.fullmatch(r"-?[\d.]+", cell)]
    assert part.columns["temp"].drop_null().to_pylist() == expected


def test_rows_are_the_lines_of_the_file(read, amedas_files):
    path = _file(amedas_files, "standard")
    (part,) = read("obsdl", path)
    lines = decode_text(path.read_bytes()).split("\n")
    assert lines[int(part.rows[0]) - 1] == part.original(0)
    assert lines[int(part.rows[-1]) - 1] == part.original(len(part.rows) - 1)


def test_missing_snow_is_no_zero(read, amedas_files):
    path = _file(amedas_files, "multi-stn")
    parts = read("obsdl", path)
    assert [part.columns["sensor"][0].as_py() for part in parts] == ["12442", "14163"]
    for part, column in zip(parts, (3, 8), strict=True):
        expected = [int(line.split(",")[column]) for line in _data_lines(path)
                    if line.split(",")[column] and line.split(",")[column + 2] == "8"]  # fmt: skip
        assert part.columns["snow"].drop_null().to_pylist() == expected


def test_wind_directions_become_codes(read, amedas_files):
    codes = {"静穏": 0, "北北東": 1, "東": 4, "南": 8, "西": 12, "北": 16}
    path = _file(amedas_files, "wind")
    (part,) = read("obsdl", path)
    found = {record["time"]: record for record in _records(part)}
    checked = 0
    for hour, line in enumerate(_data_lines(path)):
        _, speed, quality, direction, direction_quality = line.split(",")
        record = found.get(datetime(2021, 3, 9, 16, tzinfo=UTC) + timedelta(hours=hour), {})
        assert record.get("wind") == (float(speed) if quality == "8" else None)
        if direction in codes and direction_quality == "8":
            assert record["windDirection"] == codes[direction]
            checked += 1
    assert checked >= 3


def test_days_begin_in_japan_and_keep_their_flags(read, amedas_files):
    (part,) = read("obsdl", _file(amedas_files, "daily"))
    assert part.topic == "daily"
    first, second, third = _records(part)[:3]
    assert first["time"] == datetime(2020, 9, 30, 15, tzinfo=UTC)
    assert (first["meanTemp"], first["meanTemp_flag"]) == (13.4, 1)
    assert (second["meanTemp"], second.get("meanTemp_flag")) == (15.0, None)
    assert "maxSnow" not in third, "flag 3 is in no list of JMA's: the value is not stored"
    assert part.left_out["unknown-flag"] == 1


def test_periods_have_a_last_day(read, amedas_files):
    (part,) = read("obsdl", _file(amedas_files, "han-jun"))
    assert part.topic == "period"
    first = _records(part)[0]
    assert first["time"] == datetime(2020, 9, 30, 15, tzinfo=UTC)
    assert first["periodEnd"] == "2020-10-05"
    assert date.fromisoformat(_records(part)[1]["periodEnd"]) == date(2020, 10, 10)


def test_less_than_the_unit_is_marked(read, amedas_files):
    path = _file(amedas_files, "sunshine-data-sapporo")
    (part,) = read("obsdl", path)
    cells = [line.split(",") for line in _data_lines(path)]
    traces = [row for row in cells if row[1] and float(row[1]) == 0 and row[2] == "0"]
    assert part.columns["sunSum_trace"].drop_null().to_pylist() == [True] * len(traces)
    assert len(part.rows) == sum(bool(row[1]) for row in cells)


def test_a_file_of_a_plain_station_in_utf8(read, amedas_files):
    (part,) = read("obsdl", amedas_files / "obsdl_csv/haneda_2020-01-01_hourly_utf8.csv")
    first = _records(part)[0]
    assert first["sensor"] == "44166"
    assert (first["temp"], first["wind"], first["windDirection"]) == (4.6, 12.0, 15)
    assert "pressure" not in part.columns


def test_a_wide_file_with_moments_and_texts(read, amedas_files):
    (part,) = read("obsdl", amedas_files / "obsdl_csv/tus_tokyo_data20131020-20141019.csv")
    first = _records(part)[0]
    assert (first["maxTemp"], first["maxTempTime"]) == (16.2, "2013-10-20T14:31:00Z")
    assert first["天気概況(昼：06時～18時)"] == "大雨"
    assert first["天気概況(夜：18時～翌日06時)"] == "雨後晴"


HEAD = "ダウンロードした時刻：2021/07/08 17:16:38\n\n"


def _file_of(names: str, labels: str, roles: str, *rows: str) -> bytes:
    return (HEAD + "\n".join([names, labels, roles, *rows]) + "\n").encode("cp932")


def test_stations_that_share_a_name_follow_the_order_of_the_columns(read):
    content = _file_of(
        ",清水,清水,清水,清水,清水,清水",
        "年月日時,気温(℃),気温(℃),降水量(mm),降水量(mm),気温(℃),気温(℃)",
        ",,品質情報,,品質情報,,品質情報",
        "2020/10/1 1:00:00,1.0,8,0.5,8,2.0,8",
    )
    parts = read("obsdl", content, station_names={"清水": ("65121", "50261")})
    assert [part.columns["sensor"][0].as_py() for part in parts] == ["65121", "50261"]
    assert [part.columns["temp"][0].as_py() for part in parts] == [1.0, 2.0]
    parts = read("obsdl", content, station_names={}, station_ids=("50261", "74516"))
    assert [part.columns["sensor"][0].as_py() for part in parts] == ["50261", "74516"]


def test_names_need_ids_and_the_message_offers_them(read, amedas_files):
    with pytest.raises(MappingNeeded, match=r"--station-name 旭川=ID.*12442"):
        read("obsdl", _file(amedas_files, "standard"), station_names={})
    with pytest.raises(MappingNeeded, match="2 ids, the file has the stations 旭川"):
        read("obsdl", _file(amedas_files, "standard"), station_ids=("1", "2"))
    with pytest.raises(MappingNeeded, match="99999 is not in the station table"):
        read("obsdl", _file(amedas_files, "standard"), station_ids=("99999",))


def test_display_marks(read):
    content = (
        HEAD + ",旭川,旭川\n,気温(℃),降水量(mm)\n2020年10月1日1時,12.3 ),--\n"
        "2020年10月1日2時,5 ],0.0\n2020年10月1日3時,7.0 #,×\n2020年10月1日24時,,///\n"
    ).encode("cp932")
    (part,) = read("obsdl", content)
    assert part.columns["temp"].to_pylist() == [12.3, 5.0]
    assert part.columns["temp_flag"].to_pylist() == [1, 4]
    assert part.columns["precipitation1h"].to_pylist() == [0.0, 0.0]
    assert part.left_out["record-without-value"] == 2


def test_a_changed_site_is_marked(read):
    content = _file_of(
        ",旭川,旭川,旭川",
        "年月日時,気温(℃),気温(℃),気温(℃)",
        ",,品質情報,均質番号",
        "2020/10/1 1:00:00,1.0,8,1",
        "2020/10/1 2:00:00,2.0,8,2",
    )
    (part,) = read("obsdl", content)
    assert part.columns["temp_homogeneity"].to_pylist() == [None, 2]


def test_bad_rows_are_refused_alone_and_once(read, amedas_files):
    content = _file_of(
        ",旭川,旭川,札幌,札幌",
        "年月日時,気温(℃),気温(℃),気温(℃),気温(℃)",
        ",,品質情報,,品質情報",
        "2020/10/1 1:00:00,1.0,8,1.0,8",
        "2020/10/1 2:00:00,1.0",
        "2020/13/1 3:00:00,1.0,8,1.0,8",
        "2020/10/1 4:00:00,warm,8,1.0,8",
    )
    first, second = read("obsdl", content)
    assert [(entry.row, entry.reason) for entry in first.refused] == [
        (7, "bad-width"), (8, "bad-time"),
    ]  # fmt: skip
    assert second.refused == ()
    assert len(first.rows) == 1
    assert len(second.rows) == 2


@pytest.mark.parametrize(
    "text", ["", HEAD, HEAD + ",旭川\n年月日時,気温(℃)\n", HEAD + "2020/10/1 1:00:00,1.0,8\n"]
)
def test_files_without_data_or_header_are_said(read, text):
    with pytest.raises(UnreadableFile):
        read("obsdl", text.encode("cp932"))
