"""A folder with JMA's download formats: the real files of ZRING_TEST_DATA, or small ones of the
same shape and under the same names, made here with invented values. Tests assert the same of
both."""

import gzip
import json
import lzma
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from ingest.formats import DECODERS, Context, Part
from ingest.formats.station_table import StationTable, read_station_table

JMA_TABLE = {
    "65042": ("A", "11111111", [34, 13.7], [135, 9.8], 14, "和歌山", "ワカヤマ", "Wakayama"),
    "65356": ("B", "11111011", [33, 27.0], [135, 45.4], 68, "潮岬", "シオノミサキ", "Cape Shiono"),
    "12442": ("A", "11111111", [43, 45.4], [142, 22.3], 120, "旭川", "アサヒカワ", "Asahikawa"),
    "14163": ("A", "11111111", [43, 3.6], [141, 19.7], 17, "札幌", "サッポロ", "Sapporo"),
    "44132": ("A", "11111111", [35, 41.5], [139, 45.0], 25, "東京", "トウキョウ", "Tokyo"),
    "44166": ("C", "11110010", [35, 33.2], [139, 46.8], 6, "羽田", "ハネダ", "Haneda"),
    "65121": ("C", "11112010", [34, 5.2], [135, 25.5], 240, "清水", "シミズ", "Shimizu"),
    "50261": ("C", "11112010", [35, 3.1], [138, 31.3], 3, "清水", "シミズ", "Shimizu"),
    "74516": ("B", "11111011", [32, 43.3], [133, 0.6], 31, "清水", "シミズ", "Shimizu"),
}
NAMES = {"旭川": ("12442",), "札幌": ("14163",), "東京": ("44132",), "羽田": ("44166",)}
HEAD = "ダウンロードした時刻：2021/07/08 17:16:38\n\n"


def _write(path: Path, text: str, encoding: str = "cp932", line_end: str = "\r\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.replace("\n", line_end).encode(encoding))


def _write_json(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def _map_files(folder: Path) -> None:
    snow = {f"snow{hours}h": [0, None] for hours in (1, 6, 12, 24)}
    full = {
        "temp": [18.25, 0],
        "humidity": [65, 0],
        "windDirection": [0, 0],
        "wind": [0.1, 1],
        "precipitation24h": [12.5, 4],
        "sun1h": [0, 0],
        "snow": [None, 5],
        "pressure": [None, 6],
        "visibility": [20000.0, 0],
    }
    summer = {
        "65042": full | snow,
        "65356": {"temp": [25, 0], "precipitation10m": [0.0, 5]} | snow,
        "35256": {"temp": [20.0, 0]},
        "12442": snow,
    }
    winter = {
        "12442": {"temp": [-12.1, 0], "snow": [72, 0], "snow6h": [0, 6], "snow24h": [3, 4]},
        "14163": {"snow12h": [5, 1]} | snow | {"temp": [-3.0, 0]},
    }
    _write_json(folder / "20250628180000.json", summer)
    _write_json(folder / "20210224150000.json", winter)
    _write_json(folder / "handmade_with_null_values.json", {"44132": {"temp": [None, 6]}})


def _point_files(folder: Path) -> None:
    def slot(number: int, **pairs: object) -> dict[str, object]:
        return {"prefNumber": number // 1000, "observationNumber": number % 1000, **pairs}

    first = slot(
        44132,
        temp=[12.0, 0],
        humidity=[45, 0],
        snow=[None, 5],
        snow1h=[0, 6],
        maxTempTime={"hour": 3, "minute": 43},
        maxTemp=[16.0, 0],
        minTempTime={"hour": 21, "minute": 52},
        minTemp=[9.3, 0],
        gustTime={"hour": 1, "minute": 54},
        gustDirection=[14, 0],
        gust=[14.2, 0],
    )
    later = {f"2024112318{minute}000": slot(44132, temp=[12.0, 0]) for minute in range(1, 6)}
    _write_json(folder / "44132_20241123_18.json", {"20241123180000": first, **later})
    sapporo = slot(14163, temp=[12.0, 0], snow=[None, 5], snow1h=[0, 6], weather=[0, 0])
    _write_json(folder / "14163_20261004_21.json", {"20261004210000": sapporo})


def _hourly_rows(form: str) -> str:
    """25 hours from 1:00 with midnight in between; temperatures 1.0 to 25.0."""
    lines = []
    for hour in range(1, 26):
        day, clock = (1, hour) if hour <= 24 else (2, hour - 24)
        if form == "joined" and hour == 24:
            time = "2020/10/2 00:00:00"
        elif form == "joined":
            time = f"2020/10/{day} {clock}:00:00"
        elif form == "split":
            time = f"2020,10,{day},{clock}"
        else:
            time = f"2020年10月{day}日{clock}時"
        cells = f"{hour}.0,///" if form == "display" else f"{hour}.0,8,,,1"
        lines.append(f"{time},{cells}")
    return "\n".join(lines) + "\n"


def _obsdl_files(folder: Path) -> None:
    roles = ",,品質情報,,現象なし情報,品質情報\n"
    labels = "年月日時,気温(℃),気温(℃),積雪(cm),積雪(cm),積雪(cm)\n"
    asahikawa = "," + ",".join(["旭川"] * 5) + "\n"
    prefecture = "," + ",".join(["上川"] * 5) + "\n"
    joined = _hourly_rows("joined")
    _write(folder / "ramedas_standard.csv", HEAD + asahikawa + labels + roles + joined)
    _write(
        folder / "ramedas_with-pref.csv", HEAD + prefecture + asahikawa + labels + roles + joined
    )
    split_labels = labels.replace("年月日時", "年,月,日,時")
    _write(
        folder / "ramedas_split-date.csv",
        HEAD + ",,," + asahikawa + split_labels + ",,," + roles + _hourly_rows("split"),
    )
    _write(
        folder / "ramedas_web-format.csv",
        HEAD + ",旭川,旭川\n,気温(℃),積雪(cm)\n" + _hourly_rows("display"),
    )
    two = ",旭川,旭川,旭川,旭川,旭川,札幌,札幌,札幌,札幌,札幌\n"
    two_labels = "年月日時" + ",気温(℃),気温(℃),積雪(cm),積雪(cm),積雪(cm)" * 2 + "\n"
    two_roles = "," + ",品質情報,,現象なし情報,品質情報," * 2 + "\n"
    rows = "2021/3/10 1:00:00,2.3,8,72,0,8,2.0,8,47,0,8\n2021/3/10 2:00:00,1.5,8,,,1,1.6,8,47,0,8\n"
    _write(folder / "ramedas_multi-stn.csv", HEAD + two + two_labels + two_roles[:-2] + "\n" + rows)
    _write(
        folder / "ramedas_wind.csv",
        HEAD
        + ",旭川,旭川,旭川,旭川\n年月日時,風速(m/s),風速(m/s),風速(m/s),風速(m/s)\n"
        + ",,,風向,風向\n,,品質情報,,品質情報\n"
        + "2021/3/10 1:00:00,5.4,8,南,8\n2021/3/10 2:00:00,0.1,8,静穏,8\n"
        + "2021/3/10 3:00:00,3.0,8,北,8\n2021/3/10 4:00:00,,1,,1\n",
    )
    daily = "平均気温(℃),平均気温(℃),最深積雪(cm),最深積雪(cm),最深積雪(cm)\n"
    _write(
        folder / "ramedas_daily.csv",
        HEAD + asahikawa + "年月日," + daily + ",,,,,\n,,品質情報,,現象なし情報,品質情報\n"
        "2020/10/1,13.4,5,0,1,8\n2020/10/2,15.0,8,0,1,8\n2020/10/3,16.7,8,5,1,3\n",
    )
    _write(
        folder / "ramedas_han-jun.csv",
        HEAD + "集計開始,集計終了" + asahikawa + "年月日,年月日," + daily + ",,,,,,\n"
        ",,,品質情報,,現象なし情報,品質情報\n2020/10/1,2020/10/5,14.8,8,0,1,8\n"
        "2020/10/6,2020/10/10,10.8,8,0,1,8\n",
    )
    _write(
        folder / "ramedas_sunshine-data-sapporo.csv",
        HEAD + ",札幌,札幌,札幌\n年月日,日照時間(時間),日照時間(時間),日照時間(時間)\n"
        ",,現象なし情報,品質情報\n1992/7/10,6.1,0,8\n1992/7/11,0.0,0,8\n1992/7/12,,,1\n",
    )
    haneda = ",".join(["羽田"] * 11)
    _write(
        folder / "haneda_2020-01-01_hourly_utf8.csv",
        HEAD + f",{haneda}\n年月日時,現地気圧(hPa),現地気圧(hPa),現地気圧(hPa),気温(℃),気温(℃),"
        "気温(℃),風速(m/s),風速(m/s),風速(m/s),風速(m/s),風速(m/s)\n"
        ",,,,,,,,,風向,風向,\n,,品質情報,均質番号,,品質情報,均質番号,,品質情報,,品質情報,均質番号\n"
        "2020/1/1 1:00:00,,0,1,4.6,8,1,12.0,8,北北西,8,1\n"
        "2020/1/1 2:00:00,,0,1,4.9,8,1,11.0,8,北北西,8,1\n",
        encoding="utf-8-sig",
    )
    tokyo = ",".join(["東京"] * 11)
    _write(
        folder / "tus_tokyo_data20131020-20141019.csv",
        HEAD
        + f",{tokyo}\n年月日"
        + ",最高気温(℃)" * 5
        + ",天気概況(昼：06時～18時)" * 3
        + ",天気概況(夜：18時～翌日06時)" * 3
        + "\n,,,時分,時分,,,,,,,\n"
        + ",,品質情報,,品質情報,均質番号,,品質情報,均質番号,,品質情報,均質番号\n"
        "2013/10/20,16.2,8,2013/10/20 23:31,8,1,大雨,8,1,雨後晴,8,1\n"
        "2013/10/21,18.4,8,2013/10/22 0:00,8,2,曇,8,1,快晴,8,1\n",
    )


def _mdrr_files(folder: Path) -> None:
    header = (
        "観測所番号,都道府県,地点,国際地点番号,現在時刻(年),現在時刻(月),現在時刻(日),現在時刻(時),"
        "現在時刻(分),現在値(mm),現在値の品質情報,今日の最大値(mm),今日の最大値の品質情報,"
        "今日の最大値起時（時）(まで),今日の最大値起時（分）(まで),今日の最大値起時(まで)の品質情報,"
        "昨日までの観測史上1位の値(mm),昨日までの観測史上1位の値の品質情報,統計開始年\n"
    )
    now = "2017,04,11,15,00"
    _write(
        folder / "pre1h00_201704111500_cp932.csv",
        header + f"65042,和歌山県,和歌山,47777,{now},0.5,8,8.0,4,11,06,4,45,8,1978\n"
        f"65356,和歌山県,潮岬,47778,{now},,1,,1,,,,64.0,8,1938\n"
        f"44132,東京都,東京,,{now},0.0,8,0.0,4,,,,1.0,8,1990\n",
    )


def _long_file(path: Path) -> None:
    """Single values; the counts of the real file are asserted only of the real file."""
    lines = ["time,station,lat,lon,element,value,flag,source"]
    places = {"65042": (34.228333333333, 135.163333333333), "65356": (33.45, 135.75666666666)}
    for hour in range(30):
        time = f"2023-07-13T{hour % 24:02d}:00:00+09:00" if hour < 24 else None
        time = time or f"2023-07-14T{hour - 24:02d}:00:00+09:00"
        for station, (lat, lon) in places.items():
            place = f"{time},{station},{lat},{lon}"
            lines.append(f"{place},temp,{20 + hour / 10},,bosai")
            lines.append(f"{place},dayMaxWindDirection,{hour % 17},4,mdrr")
            lines.append(f"{place},precipitation1h,0.5,{8 if hour % 2 else 5},mdrr")
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def real_data() -> Path | None:
    """The folder of real files, where there is one."""
    folder = os.environ.get("ZRING_TEST_DATA")
    return Path(folder) / "amedas" if folder else None


@pytest.fixture(scope="session")
def amedas_files(real_data: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of files, real or made here."""
    if real_data is not None:
        return real_data
    folder = tmp_path_factory.mktemp("amedas")
    keys = ("type", "elems", "lat", "lon", "alt", "kjName", "knName", "enName")
    table = {station: dict(zip(keys, row, strict=True)) for station, row in JMA_TABLE.items()}
    _write_json(folder / "amedastable.json", table)
    _write(folder / "ame_master_20230824_cp932.csv", master_text())
    _map_files(folder / "bosai_map")
    _point_files(folder / "bosai_point")
    _obsdl_files(folder / "obsdl_csv")
    _mdrr_files(folder / "mdrr_csv")
    _long_file(folder / "square_long_real_1218583.csv.gz")
    rows = ["station,time_jst,temp,precipitation1h,precipitation24h"]
    rows += [f"65042,2023-07-13T{hour:02d}:00:00+09:00,14.9,,0.5" for hour in range(24)]
    text = "\n".join([*rows, "99999,2023-07-13T05:00:00+09:00,1.0,,"]) + "\n"
    path = folder / "nikkei_japan_hourly_20230713_20231206.csv.xz"
    path.write_bytes(lzma.compress(text.encode()))
    return folder


def master_text() -> str:
    """A 地域気象観測所一覧 with one id at two spots and missing heights."""
    return (
        "都府県振興局,観測所番号,種類,観測所名,ｶﾀｶﾅ名,気象情報等に表記する名称,所在地,緯度(度),緯度(分),"
        "経度(度),経度(分),海面上の高さ(ｍ),風速計の高さ(ｍ),温度計の高さ(ｍ),観測開始年月日,備考1,備考2\n"
        "石狩,14163,官,札幌,ｻｯﾎﾟﾛ,札幌市中央区,札幌市,43,3.6,141,19.7,17,－,－,平13.9.26,14913,気温\n"
        "石狩,14163,官,札幌,ｻｯﾎﾟﾛ,札幌市中央区,札幌市,43,3.6,141,19.6,17,59.7,－,平13.9.26,－,風\n"
        "和歌山,65042,官,和歌山,ﾜｶﾔﾏ,和歌山市,和歌山市,34,13.7,135,9.8,14,－,－,#昭50.4.1,－,－\n"
    )


@pytest.fixture(scope="session")
def stations(amedas_files: Path) -> StationTable:
    """JMA's station table of the folder."""
    return read_station_table((amedas_files / "amedastable.json").read_bytes())


class Reader:
    """Decodes bytes or files with a context that knows the folder's stations."""

    def __init__(self, stations: StationTable) -> None:
        self.stations = stations

    def __call__(
        self, format_name: str, source: Path | bytes | str, path: str = "", **context: object
    ) -> list[Part]:
        if isinstance(source, Path):
            path, source = path or str(source), source.read_bytes()
        if isinstance(source, str):
            source = source.encode()
        known = {"stations": self.stations, "station_names": NAMES, **context}
        return list(DECODERS[format_name](BytesIO(source), Context(path=path, **known)))  # type: ignore[arg-type]


@pytest.fixture
def read(stations: StationTable) -> Iterator[Reader]:
    """`read(format, path or bytes)` → parts."""
    return Reader(stations)  # type: ignore[return-value]
