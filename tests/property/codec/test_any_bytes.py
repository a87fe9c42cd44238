"""Any bytes on any decoder: rows and rejections that add up, or an error of the tree."""

import io

import msgpack
import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

from node.codec.decode import DECODERS, decode_records
from node.codec.decoded import Decoded
from node.config import Limits
from node.errors import NodeError
from node.records import JSON
from zring.domain import DEMO_DOMAIN

LIMITS = Limits(request_bytes_max=1 << 20, request_records_max=1_000)
RECORD = {
    "sensor": "65042",
    "time": "2023-07-13T05:00:00Z",
    "lon": 135.163,
    "lat": 34.228,
    "version": 3,
    "values": {"temp": 27.1, "note": "wet", "img;base64": "AAE=", "list": [1, {"a": None}]},
}
FEATURE = {
    "type": "Feature",
    "geometry": {"type": "Point", "coordinates": [135.163, 34.228, 12.5]},
    "properties": {"sensor": "65042", "time": "2023-07-13T05:00:00+09:00", "temp": 27.1},
}


def table() -> pa.Table:
    return pa.table(
        {
            "sensor": pa.array(["a", "b"]).dictionary_encode(),
            "time": pa.array([0, 1], pa.timestamp("ms", "UTC")),
            "lon": [135.1, 135.2],
            "lat": [33.1, 33.2],
            "n": pa.array([1, 2], pa.int8()),
            "text": ["x", None],
            "list": [[1.5], None],
            "flag": [True, None],
            "raw": pa.array([b"\x00", None]),
            "json": pa.ExtensionArray.from_storage(JSON, pa.array(['{"a":1}', None])),
        }
    )


def arrow_stream(compression: str | None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table().schema, options=options) as writer:
        writer.write_table(table())
    return sink.getvalue().to_pybytes()


def csv_body() -> bytes:
    sink = io.BytesIO()
    rows = table().select(["lon", "lat", "n", "text", "flag"])
    rows = rows.append_column("sensor", [["a", "b"]])
    csv.write_csv(rows.append_column("time", [["2023-07-13T05:00:00Z"] * 2]), sink)
    return sink.getvalue()


SEEDS = {
    "application/json": [orjson.dumps(RECORD), orjson.dumps([RECORD, RECORD])],
    "application/geo+json": [
        orjson.dumps(FEATURE),
        orjson.dumps({"type": "FeatureCollection", "features": [FEATURE, FEATURE]}),
    ],
    "application/x-ndjson": [orjson.dumps(RECORD) + b"\n" + orjson.dumps(RECORD)],
    "text/csv": [csv_body()],
    "application/msgpack": [msgpack.packb(RECORD), msgpack.packb([RECORD, RECORD])],
    "application/vnd.apache.arrow.stream": [arrow_stream(None), arrow_stream("zstd")],
}


def check(media_type: str, body: bytes) -> None:
    try:
        decoded = decode_records(media_type, body, DEMO_DOMAIN, LIMITS)
    except NodeError as error:
        assert error.status in (400, 413), error
        assert str(error)
        return
    assert_adds_up(decoded)


def assert_adds_up(decoded: Decoded) -> None:
    assert len(decoded.rows) + decoded.rejected == decoded.received
    assert len(decoded.indices) == len(decoded.rows)
    rejected = {rejection.index for rejection in decoded.rejections}
    assert rejected.isdisjoint(decoded.indices.tolist())
    assert all(rejection.reason for rejection in decoded.rejections)
    rows = decoded.rows
    assert DEMO_DOMAIN.contains(lon=rows.lon.astype(np.int64), lat=rows.lat.astype(np.int64)).all()
    for name, column in rows.values.items():
        column.validate(full=True)
        assert len(column) == len(rows) and column.null_count < max(len(rows), 1), name


@pytest.mark.parametrize("media_type", sorted(SEEDS))
def test_the_seeds_are_good(media_type: str) -> None:
    for body in SEEDS[media_type]:
        decoded = decode_records(media_type, body, DEMO_DOMAIN, LIMITS)
        assert decoded.received == len(decoded.rows) > 0, decoded.rejections


@pytest.mark.parametrize("media_type", sorted(DECODERS))
@given(body=st.binary(max_size=200))
@settings(max_examples=60)
def test_random_bytes(media_type: str, body: bytes) -> None:
    check(media_type, body)


@pytest.mark.parametrize("media_type", sorted(SEEDS))
@given(data=st.data())
@settings(max_examples=250, deadline=None)
def test_damaged_bodies(media_type: str, data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(SEEDS[media_type])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "repeat", "remove"]))
        if kind == "flip":
            body[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del body[at + 1 :]
        elif kind == "insert":
            body[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        elif kind == "repeat":
            body[at:at] = body[at : at + data.draw(st.integers(1, 40))]
        elif len(body) > 1:
            del body[at]
    check(media_type, bytes(body))


CELLS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 65), 1 << 65)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["2023-07-13T05:00:00Z", "65042", 135.2, 33.5, float("nan")]),
    lambda cells: st.lists(cells, max_size=3) | st.dictionaries(st.text(max_size=4), cells),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["sensor", "time", "lon", "lat", "version", "values", "temp", "geometry", "a;base64", ""]
)
SHAPES = CELLS | st.dictionaries(NAMES, CELLS | st.dictionaries(NAMES, CELLS))


@given(records=st.lists(SHAPES, max_size=6))
@settings(max_examples=200, deadline=None)
def test_objects_of_any_shape(records: list[object]) -> None:
    lines = [orjson.dumps(_writable(record)) for record in records]
    check("application/x-ndjson", b"\n".join(lines))
    check("application/json", b"[" + b",".join(lines) + b"]")
    check(
        "application/geo+json",
        b'{"type":"FeatureCollection","features":[' + b",".join(lines) + b"]}",
    )
    check("application/msgpack", msgpack.packb([_writable(record) for record in records]))


def _writable(cell: object) -> object:
    if isinstance(cell, dict):
        return {name: _writable(part) for name, part in cell.items()}
    if isinstance(cell, list):
        return [_writable(part) for part in cell]
    return float(cell) if isinstance(cell, int) and abs(cell) >= 1 << 63 else cell
