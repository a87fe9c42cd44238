"""What is particular to a format: indices, typing by content, bombs, mixed types, geometry."""

import io
import struct
from typing import Any

import msgpack
import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.codec.arrow import rows_to_stream
from node.codec.columns import columns_to_rows
from node.codec.decode import UnsupportedMediaType, decode_records
from node.codec.decoded import Decoded
from node.codec.geojson import rows_to_collection
from node.codec.ndjson import LINES_AT_ONCE, rows_to_ndjson
from node.codec.parquet import rows_to_parquet
from node.config import Limits
from node.errors import BadRequest, TooLarge
from node.records import JSON, Rows
from zring.domain import DEMO_DOMAIN

ARROW = "application/vnd.apache.arrow.stream"
CSV_HEAD = "sensor,time,lon,lat,"
CSV_ROW = "a,2023-07-13T05:00:00Z,135.1,33.1,"


def decode(media_type: str, body: bytes | str, limits: Limits | None = None) -> Decoded:
    data = body.encode() if isinstance(body, str) else body
    return decode_records(media_type, data, DEMO_DOMAIN, limits or Limits())


def record(**values: Any) -> dict[str, Any]:
    return {
        "sensor": "a",
        "time": "2023-07-13T05:00:00Z",
        "lon": 135.1,
        "lat": 33.1,
        "values": values or {"n": 1},
    }


def some_rows(count: int = 3) -> Rows:
    columns = {
        "sensor": pa.array([f"s{number}" for number in range(count)]),
        "time": pa.array(np.arange(count) * 1_000_000, pa.timestamp("us", "UTC")),
        "lon": pa.array(np.linspace(135, 136, count)),
        "lat": pa.array(np.linspace(33, 34, count)),
        "n": pa.array(range(count)),
    }
    return columns_to_rows(columns, domain=DEMO_DOMAIN).rows


def test_a_broken_line_far_behind_is_named_by_its_index() -> None:
    lines = [orjson.dumps(record())] * (LINES_AT_ONCE + 10)
    lines[LINES_AT_ONCE + 3] = b'{"sensor": "a", '
    decoded = decode("application/x-ndjson", b"\n".join(lines) + b"\n\n \n")
    (rejection,) = decoded.rejections
    assert rejection.index == LINES_AT_ONCE + 3
    assert f"record {LINES_AT_ONCE + 3} is no JSON" in rejection.reason
    assert decoded.received == len(lines) == len(decoded.rows) + 1


@pytest.mark.parametrize(
    ("cells", "kind", "kept"),
    [
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([1, None], pa.int64(), [1, None]),
        ([1, "x"], JSON, ["1", '"x"']),
        ([True, 1], JSON, ["true", "1"]),
        ([2**60 + 1, 0.5], JSON, ["1152921504606846977", "0.5"]),
        ([2**63, 1], JSON, ["9223372036854775808", "1"]),
        ([{"a": 1}, {"b": None}], JSON, ['{"a":1}', '{"b":null}']),
        ([[1], [0.5]], JSON, ["[1]", "[0.5]"]),
    ],
    ids=str,
)
def test_types_that_differ_from_record_to_record_are_kept(
    cells: list[Any], kind: Any, kept: list[Any]
) -> None:
    records = [record(v=cell, n=1) for cell in cells]
    for media_type, body in (
        ("application/json", orjson.dumps(records)),
        ("application/msgpack", msgpack.packb(records)),
    ):
        column = decode(media_type, body).rows.values["v"]
        assert column.type == kind
        assert (column.storage if kind == JSON else column).to_pylist() == kept


def test_bytes_come_as_base64_or_as_they_are() -> None:
    image = bytes(range(256)) * 3
    by_json = record(**{"img;base64": "AAEC"})
    assert decode("application/json", orjson.dumps(by_json)).rows.values["img"].to_pylist() == [
        b"\x00\x01\x02"
    ]
    rows = decode("application/msgpack", msgpack.packb(record(img=image))).rows
    assert rows.values["img"].to_pylist() == [image]
    assert b'"img;base64":"AAECAwQ' in rows_to_ndjson(rows)
    assert decode("application/x-ndjson", rows_to_ndjson(rows)).rows.values["img"].to_pylist() == [
        image
    ]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ("1|-2|", pa.int64()),
        ("1|2.5|1e3", pa.float64()),
        ("true|false|", pa.bool_()),
        ("007|8|9", pa.string()),
        ("1|x|", pa.string()),
        ("2023-07-13 05:00|a|b", pa.string()),
        ("yes|no|yes", pa.string()),
    ],
)
def test_csv_types_values_by_content(cells: str, kind: Any) -> None:
    rows = "\n".join(CSV_ROW + cell + ",1" for cell in cells.split("|"))
    decoded = decode("text/csv", f"{CSV_HEAD}v,n\n{rows}\n")
    assert len(decoded.rows) == 3
    assert decoded.rows.values["v"].type == kind


def test_csv_rows_of_the_wrong_width_are_refused_alone() -> None:
    no_place = CSV_ROW.replace("135.1", "x")
    body = f"{CSV_HEAD}n\n{CSV_ROW}1\n{CSV_ROW}1,2,3\n\n{CSV_ROW}4\nx\n{no_place}5\n"
    decoded = decode("text/csv", body)
    assert decoded.rows.values["n"].to_pylist() == [1, 4]
    assert [(entry.index, entry.field) for entry in decoded.rejections] == [
        (1, None),
        (3, None),
        (4, "lon"),
    ]
    assert decoded.rejected_by_reason == {"bad-row": 2, "bad-lon": 1}
    assert decoded.indices.tolist() == [0, 2]


def test_csv_tells_an_empty_text_from_a_missing_one() -> None:
    decoded = decode("text/csv", f'\ufeff{CSV_HEAD}v,n\n{CSV_ROW}"",1\n{CSV_ROW},1\n{CSV_ROW}a,1')
    assert decoded.rows.values["v"].to_pylist() == ["", None, "a"]


def test_a_compressed_bomb_is_refused_before_it_unfolds() -> None:
    zeros = pa.array(np.zeros(2_000_000))
    table = pa.table({"sensor": ["a"] * 2_000_000, "v": zeros})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    body = bytearray(sink.getvalue().to_pybytes())
    with pytest.raises(TooLarge, match="records"):
        decode(ARROW, bytes(body))
    at = body.index(struct.pack("<q", 16_000_000))  # the true size that stands before the zeros
    body[at : at + 8] = struct.pack("<q", 1 << 40)
    with pytest.raises(TooLarge, match="unpacks to more than"):
        decode(ARROW, bytes(body))


def test_arrow_in_several_batches_and_with_a_name_twice() -> None:
    rows = some_rows(10)
    reader = pa.ipc.open_stream(rows_to_stream(rows))
    table = reader.read_all()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for start in range(0, 10, 3):
            writer.write_table(table.slice(start, 3))
    assert decode(ARROW, sink.getvalue().to_pybytes()).rows.sensor.equals(rows.sensor)
    doubled = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, doubled.schema) as writer:
        writer.write_batch(doubled)
    with pytest.raises(BadRequest, match="appears twice"):
        decode(ARROW, sink.getvalue().to_pybytes())


def test_stream_is_byte_for_byte_what_a_stream_writer_makes() -> None:
    batch = pa.ipc.open_stream(rows_to_stream(some_rows())).read_next_batch()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    assert sink.getvalue().to_pybytes() == rows_to_stream(some_rows())


@given(st.integers(1, 70), st.integers(0, 5), st.lists(st.sampled_from("abc"), max_size=3))
def test_plain_numbers_are_written_as_arrow_writes_them(
    count: int, start: int, integers: list[str]
) -> None:
    names = sorted({*integers, "n", "o"})
    made = np.arange(count + start)
    lon = (1_350_000_000 + made).astype(np.int32)
    lat = (330_000_000 + made).astype(np.int32)
    rows = Rows.build(
        time=made * 1_000_000,
        lon=lon,
        lat=lat,
        code=made,
        sensor=pa.array(["s" * (number % 4 + 1) for number in made], pa.string()),
        values={name: pa.array(made if name in integers else made / 3) for name in names},
    ).slice(start, count + start)
    stream = rows_to_stream(rows)
    batch = pa.ipc.open_stream(stream).read_next_batch()
    batch.validate(full=True)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    assert sink.getvalue().to_pybytes() == stream
    assert batch.column("sensor").equals(rows.sensor)
    assert batch.column("n").to_pylist() == rows.values["n"].to_pylist()


@pytest.mark.filterwarnings("ignore:The 'shapely.geos' module:DeprecationWarning")
def test_geopandas_reads_the_parquet_file() -> None:
    import geopandas  # warns about shapely when it is imported

    frame = geopandas.read_parquet(io.BytesIO(rows_to_parquet(some_rows())))
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry.x.tolist() == [135.0, 135.5, 136.0]
    assert frame["n"].tolist() == [0, 1, 2]


def test_no_rows_are_a_good_answer_in_every_format() -> None:
    nothing = some_rows().slice(0, 0)
    assert orjson.loads(rows_to_collection(nothing, {}))["features"] == []
    assert rows_to_ndjson(nothing) == b""
    assert pa.ipc.open_stream(rows_to_stream(nothing)).read_all().num_rows == 0


def test_limits_name_themselves() -> None:
    with pytest.raises(TooLarge, match="body of 9 bytes is more than 8"):
        decode("application/json", b"[1,2,3,4]", Limits(request_bytes_max=8))
    with pytest.raises(TooLarge, match="4 records are more than 3"):
        decode("application/json", b"[1,2,3,4]", Limits(request_records_max=3))
    with pytest.raises(UnsupportedMediaType, match="text/csv"):
        decode("text/html", b"<p>")


def test_many_names_in_one_batch_are_refused() -> None:
    lines = b"\n".join(orjson.dumps(record(**{f"v{number}": 1})) for number in range(5_000))
    with pytest.raises(TooLarge, match="value names"):
        decode("application/x-ndjson", lines)
