"""Any bytes to any decoder give parts or one of the two documented errors."""

import contextlib
import io
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.errors import IngestError, MappingNeeded, UnreadableFile
from ingest.formats import DECODERS, Context, Part, detect
from ingest.formats.station_table import read_station_table
from node.codec.columns import columns_to_rows
from node.errors import BadRequest
from zring.domain import WORLD

PATH = "44132/20241123180000.json"
TEXTS = st.text(
    alphabet=st.sampled_from(
        list('{}[]",:;\n\r\t 0123456789.-+eTZx年月日時/観測所番号品質情報気温(℃)')
    ),
    max_size=300,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip
KEYS = st.sampled_from(["65042", "20241123180000", "features", "type", "x"])
CONTEXT = Context(path=PATH, station_ids=(), station_names={"旭川": ("65042",)})


def _drain(format_name: str, data: bytes) -> None:
    try:
        for part in DECODERS[format_name](io.BytesIO(data), CONTEXT):
            _check(part)
    except (UnreadableFile, MappingNeeded):
        return


def _check(part: Part) -> None:
    lengths = {len(column) for column in part.columns.values()} | {len(part.rows)}
    assert len(lengths) == 1
    assert all(entry.reason and entry.message for entry in part.refused)
    if len(part.rows):
        part.original(0), part.original(len(part.rows) - 1)
        try:
            decoded = columns_to_rows(part.columns, domain=WORLD)
        except BadRequest:
            return
        assert len(decoded.rows) + decoded.rejected == len(part.rows)


@pytest.mark.parametrize("format_name", DECODERS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.binary(max_size=400) | TEXTS.map(lambda text: text.encode("utf-8")))
def test_any_bytes(format_name, data):
    _drain(format_name, data)


@pytest.mark.parametrize("format_name", ["bosai-map", "bosai-point", "ndjson", "geojson"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(document=st.dictionaries(KEYS, JSON))
def test_any_json(format_name, document):
    _drain(format_name, json.dumps(document).encode())


def _seeds() -> dict[str, bytes]:
    head = "ダウンロードした時刻：2021/07/08 17:16:38\n\n"
    head += ",旭川,旭川\n年月日時,気温(℃),気温(℃)\n,,品質情報\n"
    now = "現在時刻(年),現在時刻(月),現在時刻(日),現在時刻(時),現在時刻(分)"
    csv = "sensor,time,lon,lat,v\n" + "a,2023-07-13T12:00:00Z,135.5,33.5,1\n" * 4
    record = (
        '{"sensor":"a","time":"2023-07-13T12:00:00Z","lon":135.5,"lat":33.5,"values":{"v":1}}\n'
    )
    feature = (
        '{"type":"Feature","geometry":{"type":"Point","coordinates":[135.5,33.5]},'
        '"properties":{"sensor":"a","time":"2023-07-13T12:00:00Z","v":1}}'
    )
    pairs = '{"temp":[1.5,0],"wind":[0,6],"snow1h":[0,null]}'
    return {
        "bosai-map": f'{{"65042":{pairs},"65356":{pairs}}}'.encode(),
        "bosai-point": (
            b'{"20241123180000":{"prefNumber":44,"observationNumber":132,"temp":[1,0],'
            b'"maxTemp":[2,0],"maxTempTime":{"hour":3,"minute":43}}}'
        ),
        "obsdl": (head + "2020/10/1 1:00:00,12.1,8\n2020/10/1 2:00:00,11.1,8\n").encode("cp932"),
        "mdrr": (
            f"観測所番号,地点,{now},現在値(mm),現在値の品質情報\n65042,和歌山,2017,04,11,15,00,0.5,8\n"
        ).encode("cp932"),
        "long": (
            b"time,station,lat,lon,element,value,flag,source\n"
            b"2023-07-13T13:00:00+09:00,65042,34.2,135.1,temp,1,8,mdrr\n"
        ),
        "csv": csv.encode(),
        "ndjson": (record * 3).encode(),
        "geojson": f'{{"type":"FeatureCollection","features":[{feature},{feature}]}}'.encode(),
    }  # fmt: skip


@pytest.mark.parametrize("format_name", _seeds())
def test_damaged_files(format_name):
    """Good files with bytes changed, cut out and doubled: 300 of each format."""
    rng = random.Random(format_name)
    seed = _seeds()[format_name]
    for _ in range(300):
        data = bytearray(seed)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at : at + rng.randint(1, 20)]
            elif kind == 2:
                data[at:at] = data[at : at + rng.randint(1, 40)]
            else:
                data[at:at] = rng.choice([b'"', b",", b"\n", b"[", b"}", b"\xff", b"1e999", b"NaN"])
            data = data or bytearray(b"x")
        _drain(format_name, bytes(data))


def test_damaged_parquet():
    sink = io.BytesIO()
    table = {"sensor": ["a"] * 50, "time": ["2023-07-13T12:00:00Z"] * 50, "v": list(range(50))}
    pq.write_table(pa.table(table), sink)
    rng = np.random.default_rng(5)
    for _ in range(100):
        data = bytearray(sink.getvalue())
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(256)
        _drain("parquet", bytes(data))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | TEXTS.map(str.encode))
def test_detection_and_station_tables(data):
    for read in (detect, read_station_table):
        with contextlib.suppress(IngestError):
            read(data)
