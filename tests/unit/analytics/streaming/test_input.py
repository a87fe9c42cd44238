"""Messages become rows with the index of their message; broken ones cost themselves alone."""

import msgpack
import numpy as np
import orjson
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from analytics.streaming.input import (
    FIXED_SCHEMA,
    MEDIA_TYPES,
    bodies_to_rows,
    rows_to_blobs,
    rows_to_elements,
)
from zring.domain import WORLD

RECORD = {"sensor": "a", "time": "2024-05-01T00:00:00Z", "lon": 135.5, "lat": 34.0}


def record(**values: object) -> dict[str, object]:
    return {**RECORD, "values": values}


def test_json_bodies_keep_the_index_of_their_message() -> None:
    bodies = [None, orjson.dumps(record(temp=1.5)), b"{", b"", orjson.dumps(record(temp=2, wind=3))]
    decoded = bodies_to_rows(bodies, MEDIA_TYPES["json"], WORLD)
    assert decoded.indices.tolist() == [1, 4]
    assert decoded.rejected == 3


def test_a_record_may_be_spread_over_lines() -> None:
    body = orjson.dumps(record(temp=1.5), option=orjson.OPT_INDENT_2)
    decoded = bodies_to_rows([body, body], MEDIA_TYPES["json"], WORLD)
    assert decoded.indices.tolist() == [0, 1]


def test_a_msgpack_body_may_hold_several_records() -> None:
    several = msgpack.packb([record(temp=1), {**record(temp=2), "sensor": "b"}])
    decoded = bodies_to_rows([b"\xc1", several], MEDIA_TYPES["msgpack"], WORLD)
    assert decoded.rows.sensor.to_pylist() == ["a", "b"]
    assert decoded.indices.tolist() == [1, 1]
    assert decoded.rejected == 1


def test_elements_are_the_numbers_of_records() -> None:
    bodies = [orjson.dumps(record(temp=1.5, name="x")), orjson.dumps(record(temp=2, wind=3))]
    decoded = bodies_to_rows(bodies, MEDIA_TYPES["json"], WORLD)
    produced = np.array([7, 9], np.int64)
    rows = rows_to_elements(decoded.rows, produced).to_pylist()
    assert [(row["element"], row["value"]) for row in rows] == [
        ("temp", 1.5), ("temp", 2.0), ("wind", 3.0)
    ]  # fmt: skip
    assert [row["produced"].microsecond for row in rows] == [7, 9, 9]
    assert rows[0]["lon"] == 135.5


def test_blobs_are_bytes() -> None:
    bodies: list[bytes | None] = [
        orjson.dumps(record(**{"image;base64": "AAEC"})),
        orjson.dumps(record(temp=1)),
    ]
    decoded = bodies_to_rows(bodies, MEDIA_TYPES["json"], WORLD)
    batch = rows_to_blobs(decoded.rows, np.zeros(2, np.int64), "image")
    assert batch.column("image").to_pylist() == [b"\x00\x01\x02"]
    assert batch.schema.names == [*FIXED_SCHEMA.names, "image"]
    none = bodies_to_rows([], MEDIA_TYPES["json"], WORLD)
    assert rows_to_blobs(none.rows, np.zeros(0, np.int64), "image").num_rows == 0


@given(
    st.lists(st.one_of(st.none(), st.binary(max_size=40)), max_size=5),
    st.sampled_from(sorted(MEDIA_TYPES)),
)
def test_any_bytes_are_rows_or_counted(bodies: list[bytes | None], kind: str) -> None:
    decoded = bodies_to_rows(bodies, MEDIA_TYPES[kind], WORLD)
    batch = rows_to_elements(decoded.rows, np.zeros(len(decoded.rows), np.int64))
    assert isinstance(batch, pa.RecordBatch)
    assert len(decoded.rows) + decoded.rejected >= len([body for body in bodies if body])
