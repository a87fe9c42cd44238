"""What is written in a format and read again is the same records, in every format."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from node.codec.arrow import rows_to_stream
from node.codec.csv import rows_to_csv
from node.codec.decode import decode_records
from node.codec.geojson import rows_to_collection
from node.codec.identity import id_to_identity, rows_to_ids
from node.codec.ndjson import rows_to_ndjson
from node.codec.parquet import rows_to_parquet
from node.codec.times import texts_to_times, times_to_texts
from node.config import Limits
from node.metadata import is_metadata
from node.records import JSON, Rows, json_text, record_digests
from zring.domain import DEMO_DOMAIN

YEAR_1_US, YEAR_9999_US = -62_135_596_800_000_000, 253_402_300_799_999_999
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
SENSORS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
TREES = st.recursive(
    st.booleans() | st.integers(-(1 << 53), 1 << 53) | TEXTS,
    lambda cells: st.lists(cells, max_size=3) | st.dictionaries(TEXTS, cells, max_size=3),
    max_leaves=5,
).filter(lambda tree: isinstance(tree, list | dict))
KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "whole": (pa.int64(), st.integers(-(1 << 53), 1 << 53)),
    "number": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "flag": (pa.bool_(), st.booleans()),
    "text": (pa.string(), TEXTS),
    'odd "name"\n': (pa.string(), TEXTS),
    "bytes": (pa.binary(), st.binary(max_size=8)),
    "tree": (JSON, TREES),
    "@ingested": (pa.int64(), st.integers(-(1 << 53), 1 << 53)),
    "@source": (pa.string(), TEXTS),
}
LIMITS = Limits()


@st.composite
def some_rows(draw: st.DrawFn) -> Rows:
    count = draw(st.integers(1, 8))

    def cells(strategy: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(strategy, min_size=count, max_size=count))

    lon = np.array(cells(st.integers(1_350_000_000, 1_366_000_000)), np.int32)
    lat = np.array(cells(st.integers(330_000_000, 346_000_000)), np.int32)
    values: dict[str, pa.Array] = {"always": pa.array(range(count), pa.int64())}
    for name in draw(st.sets(st.sampled_from(sorted(KINDS)))):
        kind, strategy = KINDS[name]
        column = cells(st.none() | strategy)
        if all(cell is None for cell in column):
            continue
        if kind == JSON:
            texts = [None if cell is None else json_text(cell) for cell in column]
            values[name] = pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))
        else:
            values[name] = pa.array(column, kind)
    return Rows.build(
        time=np.array(cells(st.integers(YEAR_1_US, YEAR_9999_US)), np.int64),
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        version=np.array(cells(st.integers(0, 1 << 62)), np.int64),
        sensor=pa.array(cells(SENSORS), pa.string()),
        values=values,
    )


def geojson(rows: Rows) -> bytes:
    return rows_to_collection(rows, {"links": []})


WRITERS: dict[str, Callable[[Rows], bytes]] = {
    "application/x-ndjson": rows_to_ndjson,
    "application/geo+json": geojson,
    "application/vnd.apache.arrow.stream": rows_to_stream,
}


@pytest.mark.parametrize("media_type", sorted(WRITERS))
@given(rows=some_rows())
@settings(max_examples=120, deadline=None)
def test_what_is_written_is_read_again(media_type: str, rows: Rows) -> None:
    body = WRITERS[media_type](rows)
    decoded = decode_records(media_type, body, DEMO_DOMAIN, LIMITS)
    assert not decoded.rejections
    assert (record_digests("c", decoded.rows) == record_digests("c", rows)).all()
    assert decoded.rows.sensor.equals(rows.sensor)
    for name in filter(is_metadata, rows.values):  # no digest tells these
        assert decoded.rows.values[name].equals(rows.values[name])


@given(rows=some_rows())
@settings(max_examples=120, deadline=None)
def test_csv_keeps_all_but_texts_that_look_like_other_types(rows: Rows) -> None:
    kept = {name: column for name, column in rows.values.items() if column.type != pa.string()}
    rows = rows.with_values({**kept, "word": pa.array(['x, "y"\nz'] * len(rows))})
    decoded = decode_records("text/csv", rows_to_csv(rows), DEMO_DOMAIN, LIMITS)
    assert not decoded.rejections
    assert (record_digests("c", decoded.rows) == record_digests("c", rows)).all()


@given(rows=some_rows())
@settings(max_examples=60, deadline=None)
def test_parquet_has_the_columns_and_points_at_the_positions(rows: Rows) -> None:
    table = pq.read_table(io.BytesIO(rows_to_parquet(rows)))
    points = shapely.from_wkb(table.column("geometry").to_pylist())
    assert (np.rint(shapely.get_x(points) * 1e7) == rows.lon).all()
    assert (np.rint(shapely.get_y(points) * 1e7) == rows.lat).all()
    assert table.column("always").to_pylist() == rows.values["always"].to_pylist()
    geo = orjson.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0" and geo["primary_column"] == "geometry"
    assert geo["columns"]["geometry"]["geometry_types"] == ["Point"]


@given(rows=some_rows())
@settings(max_examples=120, deadline=None)
def test_ids_lead_back_to_the_identity(rows: Rows) -> None:
    for row, feature_id in enumerate(rows_to_ids(rows).to_pylist()):
        assert feature_id.isascii() and "/" not in feature_id
        assert id_to_identity(feature_id) == (
            rows.sensor[row].as_py(),
            int(rows.time[row]),
            int(rows.code[row]),
        )


@given(rows=some_rows())
@settings(max_examples=60, deadline=None)
def test_geojson_is_what_a_json_library_would_write(rows: Rows) -> None:
    document = orjson.loads(geojson(rows))
    assert document["type"] == "FeatureCollection"
    for row, feature in enumerate(document["features"]):
        lon, lat = feature["geometry"]["coordinates"]
        assert (lon, lat) == (int(rows.lon[row]) / 1e7, int(rows.lat[row]) / 1e7)
        assert feature["properties"]["sensor"] == rows.sensor[row].as_py()
        for name, column in rows.values.items():
            cell = column[row].as_py()
            if cell is None:
                assert name not in feature["properties"]
            elif column.type == pa.string():
                assert feature["properties"][name] == cell


@given(st.lists(st.integers(YEAR_1_US, YEAR_9999_US), min_size=1, max_size=5))
def test_times_survive_their_texts(times: list[int]) -> None:
    read, bad = texts_to_times(times_to_texts(np.array(times, np.int64)))
    assert not bad.any()
    assert read.tolist() == times
