"""The door: every type that comes in, every reason to refuse a record."""

import datetime
import decimal
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from node.codec.columns import columns_to_rows
from node.codec.decoded import REJECTIONS_MAX, Decoded
from node.errors import BadRequest, TooLarge
from node.records import JSON
from zring.domain import DEMO_DOMAIN, WORLD

NOON_US = 1_689_249_600_000_000  # 2023-07-13T12:00:00Z


def decode(count: int = 2, domain: Any = DEMO_DOMAIN, **changes: Any) -> Decoded:
    columns: dict[str, Any] = {
        "sensor": pa.array([f"s{number}" for number in range(count)]),
        "time": pa.array([NOON_US] * count, pa.timestamp("us", "UTC")),
        "lon": pa.array([135.5] * count),
        "lat": pa.array([33.5] * count),
        "temp": pa.array([float(number) for number in range(count)]),
        **changes,
    }
    return columns_to_rows(
        {name: column for name, column in columns.items() if column is not None}, domain=domain
    )


def value(column: pa.Array) -> pa.Array:
    decoded = decode(len(column), v=column)
    assert not decoded.rejections
    return decoded.rows.values["v"]


@pytest.mark.parametrize(
    ("column", "kind", "cells"),
    [
        (pa.array([1, -2], pa.int8()), pa.int64(), [1, -2]),
        (pa.array([1, 2], pa.uint32()), pa.int64(), [1, 2]),
        (pa.array([1, 2**64 - 1], pa.uint64()), JSON, ["1", "18446744073709551615"]),
        (pa.array([0.5, None], pa.float32()), pa.float64(), [0.5, None]),
        (pa.array([1.5, float("nan")]), pa.float64(), [1.5, None]),
        (pa.array([decimal.Decimal("1.25"), None]), pa.float64(), [1.25, None]),
        (pa.array([True, None]), pa.bool_(), [True, None]),
        (pa.array(["a", "駅"], pa.large_string()), pa.string(), ["a", "駅"]),
        (pa.array(["a", "b" * 40], pa.string_view()), pa.string(), ["a", "b" * 40]),
        (pa.array(["a", "a"]).dictionary_encode(), pa.string(), ["a", "a"]),
        (
            pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int16()), pa.array([7])),
            pa.int64(),
            [7, 7],
        ),
        (pa.array([b"\x00", b"b"], pa.binary(1)), pa.binary(), [b"\x00", b"b"]),
        (pa.array([[1], [2, None]]), JSON, ["[1]", "[2,null]"]),
        (pa.array([{"b": 1, "a": b"x"}, None]), JSON, ['{"a":{"base64":"eA=="},"b":1}', None]),
        (pa.array([datetime.date(2023, 7, 13)] * 2), pa.string(), ["2023-07-13"] * 2),
        (
            pa.array([NOON_US // 10**6] * 2, pa.timestamp("s", "UTC")),
            pa.string(),
            ["2023-07-13T12:00:00Z"] * 2,
        ),
        (pa.array([1, 2], pa.duration("ms")), pa.int64(), [1_000, 2_000]),
        (pa.array([[decimal.Decimal("1.5")], [None]]), JSON, ["[1.5]", "[null]"]),
    ],
    ids=lambda part: str(part)[:40] if not isinstance(part, pa.Array) else str(part.type),
)
def test_values_become_one_of_six_types(column: pa.Array, kind: Any, cells: list[Any]) -> None:
    found = value(column)
    assert found.type == kind
    assert (found.storage if kind == JSON else found).to_pylist() == cells


def test_json_of_others_is_parsed_and_written_in_canonical_form() -> None:
    texts = pa.array(['{"b": 1, "a": 2}', "nonsense", "null", "[" * 40 + "]" * 40])
    decoded = decode(4, v=pa.ExtensionArray.from_storage(JSON, texts))
    assert decoded.rejected_by_reason == {"bad-json": 1, "nested-too-deep": 1}
    assert decoded.rows.values["v"].storage.to_pylist() == ['{"a":2,"b":1}', None]


@pytest.mark.parametrize(
    ("name", "column", "reason", "words"),
    [
        ("sensor", None, "no-sensor", "sensor is missing"),
        ("sensor", pa.array(["a", None]), "no-sensor", "sensor is missing"),
        ("sensor", pa.array(["a", ""]), "bad-sensor", "has 0 bytes"),
        ("sensor", pa.array(["a", "駅" * 86]), "bad-sensor", "has 258 bytes"),
        ("sensor", pa.array([1, 2]), "bad-sensor", "type int64"),
        ("time", None, "no-time", "time is missing"),
        ("time", pa.array([NOON_US] * 2, pa.timestamp("us")), "bad-time", "zone"),
        ("time", pa.array(["2023-07-13T12:00:00", "x"]), "time-without-zone", "has no zone"),
        ("time", pa.array(["2023-07-13T25:00:00Z"] * 2), "bad-time", "is no time"),
        ("time", pa.array([1 << 62, 0]), "bad-time", "years 1 to 9999"),
        ("time", pa.array([1 << 62, 0], pa.timestamp("s", "UTC")), "bad-time", "years 1 to 9999"),
        ("time", pa.array([1.5, 2.5]), "bad-time", "type double"),
        ("lon", pa.array([135.5, None]), "no-lon", "lon is missing"),
        ("lon", pa.array([135.5, float("nan")]), "bad-lon", "lon=nan"),
        ("lon", pa.array([135.5, float("inf")]), "bad-lon", "lon=inf"),
        ("lon", pa.array(["135.5", "1"]), "bad-lon", "as a number"),
        ("lon", pa.array([135.5, 140.0]), "outside-domain", "lon=140, lat=33.5 is outside"),
        ("lat", pa.array([33.5, 1e300]), "outside-domain", "outside the domain"),
        ("version", pa.array([0, -1]), "bad-version", "version=-1"),
        ("version", pa.array([0, 2**63], pa.uint64()), "bad-version", "out of range"),
        ("version", pa.array([0, 0.5]), "bad-version", "no whole number"),
        ("temp", pa.array([1.0, None]), "no-values", "has no value"),
        ("temp", pa.array([1.0, float("inf")]), "not-finite", "finite number"),
        ("geometry", pa.array([None, 1.0]), "bad-value-name", "clashes"),
        ("deleted", pa.array([None, True]), "bad-value-name", "clashes"),
        ("x" * 129, pa.array([None, 1.0]), "bad-value-name", "129 bytes"),
    ],
    ids=lambda part: None if isinstance(part, pa.Array) else str(part)[:30],
)
def test_reasons_to_refuse(name: str, column: Any, reason: str, words: str) -> None:
    decoded = decode(**{name: column})
    assert reason in decoded.rejected_by_reason
    assert len(decoded.rows) + decoded.rejected == decoded.received == 2
    rejection = decoded.rejections[-1]
    assert words in rejection.reason or words in decoded.rejections[0].reason


def test_swapped_coordinates_are_recognised_and_rows_keep_their_index() -> None:
    decoded = decode(3, lon=pa.array([135.5, 33.5, 135.5]), lat=pa.array([33.5, 135.5, 33.5]))
    (rejection,) = decoded.rejections
    assert rejection.index == 1 and rejection.field == "lon"
    assert (
        "swapped lon and lat?" in rejection.reason and "(135, 33)-(136.6, 34.6)" in rejection.reason
    )
    assert decoded.indices.tolist() == [0, 2]
    assert decoded.rows.sensor.to_pylist() == ["s0", "s2"]


def test_edges_of_the_domain_are_inside_and_positions_are_rounded_first() -> None:
    edges = decode(2, lon=pa.array([135.0, 136.6]), lat=pa.array([33.0, 34.6]))
    assert not edges.rejections
    assert decode(1, lon=pa.array([136.600_000_04])).rows.lon.tolist() == [1_366_000_000]
    assert decode(1, lon=pa.array([136.600_000_06])).rejected == 1
    world = decode(2, domain=WORLD, lon=pa.array([-180, 180]), lat=pa.array([-90, 90]))
    assert world.rows.lon.tolist() == [-1_800_000_000, 1_800_000_000]


@pytest.mark.parametrize(
    ("column", "times"),
    [
        (pa.array([1, -1], pa.timestamp("ms", "Asia/Tokyo")), [1_000, -1_000]),
        (pa.array([1_999, -1], pa.timestamp("ns", "UTC")), [1, -1]),
        (pa.array([5, 6]), [5, 6]),
        (
            pa.array(["1970-01-01T09:00:00+09:00", "2099-01-01T00:00:00Z"]),
            [0, 4_070_908_800_000_000],
        ),
        (pa.array(["1970-01-01T00:00:00.5Z", "1969-12-31t23:59:59.9999999z"]), [500_000, -1]),
    ],
    ids=str,
)
def test_times_of_every_kind(column: pa.Array, times: list[int]) -> None:
    assert decode(time=column).rows.time.tolist() == times


def test_details_are_capped_and_counts_are_not() -> None:
    count = REJECTIONS_MAX + 500
    decoded = decode(count, lon=pa.array([0.0] * count))
    assert len(decoded.rejections) == REJECTIONS_MAX
    assert decoded.rejected_by_reason == {"outside-domain": count}


def test_columns_of_a_refused_record_leave_nothing_behind() -> None:
    decoded = decode(lon=pa.array([0.0, 135.5]), only_first=pa.array(["x", None]))
    assert list(decoded.rows.values) == ["temp"]


def test_batches_that_cannot_be_taken_at_all() -> None:
    with pytest.raises(BadRequest, match="differ in length"):
        decode(lon=pa.array([135.5]))
    with pytest.raises(TooLarge, match="1001 value names"):
        names: Mapping[str, pa.Array] = {f"v{number}": pa.array([1, 2]) for number in range(1_000)}
        decode(**names)


def test_a_dictionary_that_would_unfold_to_gigabytes_is_refused() -> None:
    count = 100_000
    large = pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array(["x" * 100_000]))
    with pytest.raises(TooLarge, match="unfolded"):
        decode(count, v=large)


def test_nested_columns_that_repeat_bytes_are_refused() -> None:
    for column in (
        pa.array([[1], [2]], pa.list_view(pa.int64())),
        pa.array([{"a": "x"}, {"a": "x"}], pa.struct({"a": pa.dictionary(pa.int8(), pa.string())})),
    ):
        with pytest.raises(BadRequest, match="nested column"):
            decode(v=column)


def test_deep_trees_stop_at_their_own_record() -> None:
    cells = [orjson.dumps([1]).decode(), "[" * 33 + "1" + "]" * 33]
    decoded = decode(v=pa.ExtensionArray.from_storage(JSON, pa.array(cells)))
    assert decoded.rejected_by_reason == {"nested-too-deep": 1}


def test_large_numbers_whose_sum_is_infinite_are_kept() -> None:
    decoded = columns_to_rows(
        {
            "sensor": pa.array(["a", "b"]),
            "time": pa.array([0, 1], pa.timestamp("us", tz="UTC")),
            "lon": pa.array([135.1, 135.2]),
            "lat": pa.array([33.1, 33.2]),
            "v": pa.array([1.7e308, 1.7e308]),
        },
        domain=DEMO_DOMAIN,
    )
    assert not decoded.rejections
    assert decoded.rows.values["v"].to_pylist() == [1.7e308, 1.7e308]
