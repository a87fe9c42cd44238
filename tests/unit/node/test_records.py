"""Records in columns: order, newest versions, digests that do not depend on how values came."""

import mmh3
import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import BadRecord
from node.records import (
    JSON,
    Rows,
    check_value_name,
    concat_rows,
    content_hashes,
    join_sorted,
    json_text,
    newest_rows,
    record_digests,
    sort_rows,
)
from zring.digest import hash_words
from zring.domain import DEMO_DOMAIN


def make_rows(sensors: list[str], times: list[int], versions: list[int], values: dict) -> Rows:
    count = len(sensors)
    lon = np.full(count, 1_351_633_300, np.int32)
    lat = np.full(count, 342_283_300, np.int32)
    return Rows.build(
        time=np.array(times, np.int64),
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        version=np.array(versions, np.int64),
        sensor=pa.array(sensors, pa.string()),
        values=values,
    )


def json_column(texts: list[str | None]) -> pa.Array:
    return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=7))
def test_hash_words_is_murmur3_of_the_same_bytes(words: list[int]) -> None:
    row = b"".join(word.to_bytes(8, "little") for word in words)
    hashed = hash_words([np.array([word], np.uint64) for word in words])
    assert int(hashed[0]) == mmh3.hash64(row, signed=False)[0]


def test_newest_version_wins_and_equal_versions_are_settled_by_content() -> None:
    rows = make_rows(
        ["a", "a", "a", "b", "b"],
        [1, 1, 1, 1, 1],
        [0, 2, 1, 0, 0],
        {"t": pa.array([1.0, 2.0, 3.0, 4.0, 5.0])},
    )
    newest = newest_rows(sort_rows(rows))
    mirrored = newest_rows(sort_rows(rows.take(np.arange(len(rows))[::-1])))
    assert len(newest) == 2
    by_sensor = dict(zip(newest.sensor.to_pylist(), newest.values["t"].to_pylist(), strict=True))
    assert by_sensor["a"] == 2.0
    contents = content_hashes(rows)
    assert by_sensor["b"] == (4.0 if contents[3] > contents[4] else 5.0)
    assert mirrored.values["t"].equals(newest.values["t"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([27], pa.int64()), pa.array([27.0])),
        (pa.array([27], pa.int64()), json_column(["27"])),
        (pa.array([0.5]), json_column(["0.5"])),
        (pa.array(["wet"]), json_column(['"wet"'])),
        (pa.array([True]), json_column(["true"])),
        (pa.array([b"\x00\xff"], pa.binary()), json_column([json_text(b"\x00\xff")])),
        (pa.array([0.0]), pa.array([-0.0])),
    ],
)
def test_content_does_not_depend_on_the_column_type(one: pa.Array, other: pa.Array) -> None:
    rows = [make_rows(["a"], [1], [0], {"v": column}) for column in (one, other)]
    assert content_hashes(rows[0])[0] == content_hashes(rows[1])[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1], pa.int64()), pa.array([True])),
        (pa.array(["1"]), pa.array([1], pa.int64())),
        (pa.array(["ab"]), pa.array([b"ab"], pa.binary())),
        (pa.array([2**60], pa.int64()), pa.array([2**60 + 1], pa.int64())),
        (json_column(["[1]"]), json_column(["[1,1]"])),
    ],
)
def test_different_contents_differ(one: pa.Array, other: pa.Array) -> None:
    rows = [make_rows(["a"], [1], [0], {"v": column}) for column in (one, other)]
    assert content_hashes(rows[0])[0] != content_hashes(rows[1])[0]


@pytest.mark.parametrize("text", ['{"base64":1}', '{"base64":"%"}', '{"base64":"AQ"}', "[]"])
def test_what_only_looks_like_bytes_has_a_digest_too(text: str) -> None:
    """Found by a round trip through CSV: a nested value of this shape stopped the digest."""
    looks, empty = json_column([text]), pa.array([b""], pa.binary())
    hashes = [content_hashes(make_rows(["a"], [1], [0], {"v": v}))[0] for v in (looks, empty)]
    assert hashes[0] != hashes[1]


def test_absent_null_and_column_order_do_not_matter() -> None:
    full = make_rows(["a"], [1], [0], {"x": pa.array([1.0]), "y": pa.nulls(1, pa.string())})
    bare = make_rows(["a"], [1], [0], {"x": pa.array([1.0])})
    two = make_rows(["a"], [1], [0], {"x": pa.array([1.0]), "z": pa.array([2.0])})
    owt = make_rows(["a"], [1], [0], {"z": pa.array([2.0]), "x": pa.array([1.0])})
    assert (record_digests("c", full) == record_digests("c", bare)).all()
    assert (record_digests("c", two) == record_digests("c", owt)).all()
    assert (record_digests("c", two) != record_digests("d", two)).all()


def test_types_that_change_are_kept() -> None:
    parts = [
        make_rows(["a"], [1], [0], {"v": pa.array([27], pa.int64())}),
        make_rows(["a"], [2], [0], {"v": pa.array(["foggy"])}),
        make_rows(["a"], [3], [0], {"v": pa.array([b"\x01"], pa.binary())}),
        make_rows(["a"], [4], [0], {"w": pa.array([True])}),
    ]
    joined = concat_rows(parts)
    cells = joined.values["v"].storage.to_pylist()
    assert [None if cell is None else orjson.loads(cell) for cell in cells] == [
        27,
        "foggy",
        {"base64": "AQ=="},
        None,
    ]
    assert joined.values["w"].to_pylist() == [None, None, None, True]
    expected = np.concatenate([content_hashes(part) for part in parts])
    assert (content_hashes(joined) == expected).all()


def test_integers_join_floats_only_where_no_digit_is_lost() -> None:
    floats = make_rows(["a"], [1], [0], {"v": pa.array([0.5])})
    small = make_rows(["a"], [2], [0], {"v": pa.array([3], pa.int64())})
    large = make_rows(["a"], [3], [0], {"v": pa.array([2**60 + 1], pa.int64())})
    assert concat_rows([floats, small]).values["v"].type == pa.float64()
    assert concat_rows([floats, large]).values["v"].storage.to_pylist() == ["0.5", str(2**60 + 1)]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)),
        max_size=30,
    )
)
def test_newest_rows_against_a_dict(records: list[tuple[str, int, int, int]]) -> None:
    rows = make_rows(
        [record[0] for record in records],
        [record[1] for record in records],
        [record[2] for record in records],
        {"v": pa.array([record[3] for record in records], pa.int64())},
    )
    contents = content_hashes(rows)
    expected: dict[tuple[str, int], tuple[int, int, int]] = {}
    for (sensor, time, version, value), content in zip(records, contents, strict=True):
        candidate = (version, int(content), value)
        expected[sensor, time] = max(expected.get((sensor, time), candidate), candidate)
    newest = newest_rows(sort_rows(rows))
    found = {
        (sensor, int(time)): (int(version), value)
        for sensor, time, version, value in zip(
            newest.sensor.to_pylist(),
            newest.time,
            newest.version,
            newest.values["v"].to_pylist(),
            strict=True,
        )
    }
    assert found == {key: (version, value) for key, (version, _, value) in expected.items()}
    assert len(newest) == len(expected)


@pytest.mark.parametrize("name", ["time", "sensor", "geometry", "", "x" * 129])
def test_clashing_value_names_are_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(BadRecord, match=r"rename it|1 to 128 bytes"):
        check_value_name(name)


@settings(deadline=None)
@given(st.integers(0, 1 << 30), st.lists(st.integers(0, 40), max_size=6), st.booleans())
def test_sorted_parts_are_joined_in_key_order(seed: int, sizes: list[int], apart: bool) -> None:
    rng = np.random.default_rng(seed)
    parts = []
    for place, size in enumerate(sizes):
        # Parts of their own times fit together without sorting; others overlap.
        times = rng.integers(0, 5, size) + (5 * place if apart else 0)
        lon = (1_350_000_000 + rng.integers(0, 3, size) * 7_000_000).astype(np.int32)
        lat = np.full(size, 330_000_000, np.int32)
        rows = Rows.build(
            time=times,
            lon=lon,
            lat=lat,
            code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
            sensor=pa.array([f"s{number}" for number in rng.integers(0, 3, size)], pa.string()),
            values={f"v{place % 2}": pa.array(rng.integers(0, 9, size), pa.int64())},
        )
        parts.append(sort_rows(rows))
    joined, expected = join_sorted(parts), sort_rows(concat_rows(parts))
    digests = [sorted(record_digests("c", rows).tolist()) for rows in (joined, expected)]
    assert digests[0] == digests[1]
    for name in ("code", "time", "sensor_hash"):
        assert (getattr(joined, name) == getattr(expected, name)).all()
    assert joined.sensor.equals(expected.sensor)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, 3]),
        pa.array([1.5, 2.5])[1:],
        pa.array([1.5, None]),
        pa.array(["a", "bcd", ""]),
        pa.array(["a", "bcd", ""])[1:],
        pa.array(["a", None]),
        pa.array([True, False]),
        pa.array([], pa.string()),
    ],
    ids=lambda column: f"{column.type}, {len(column)} rows",
)
def test_bytes_of_columns_are_those_that_arrow_counts(column: pa.Array) -> None:
    count = len(column)
    rows = make_rows(["a"] * count, [0] * count, [0] * count, {})
    with_column = rows.with_values({"value": column})
    assert with_column.nbytes() - rows.nbytes() == column.nbytes
