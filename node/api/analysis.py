"""`latest`, `nearest`, `within`, `aggregate` and `explain` of one collection."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pyarrow as pa
from aiohttp import web
from pyarrow import csv

from node.api.answers import answer_page
from node.api.coverage import cell_ring, coverage_headers, coverage_to_json, time_text
from node.api.formats import ARROW, CSV, GEOJSON, NDJSON, Format, choose_format
from node.api.parameters import NEAREST_MAX
from node.api.parsing import polygon_from_document
from node.api.questions import PAGING, SELECTING, Question, cell_level, read_question, required
from node.api.respond import json_response
from node.api.state import STATE, State
from node.api.streams import stream_answer
from node.codec.json_columns import column_to_json, join, join_present, text_bytes
from node.codec.ndjson import parse_json
from node.codec.times import times_to_texts
from node.errors import BadRequest, TooLarge
from node.query import ROWS_PER_PAGE_MAX, AggregateAnswer, AggregateQuery
from zring.area import Area, Circle

LATEST_PARAMETERS = frozenset((*SELECTING, *PAGING, "f", "crs"))
NEAREST_PARAMETERS = frozenset((*SELECTING, "f", "crs", "lon", "lat", "k"))
WITHIN_PARAMETERS = frozenset(
    (*SELECTING, *PAGING, "f", "crs", "lon", "lat", "radius_m", "polygon")
) - {"bbox", "bbox-crs"}
AGGREGATE_PARAMETERS = frozenset((*SELECTING, "limit", "f", "crs", "level", "cell", "step"))
EXPLAIN_PARAMETERS = frozenset((*SELECTING, *PAGING, "f", "crs"))

POLYGON_BYTES_MAX = 1 << 20
"""A polygon of some 40,000 corners: finer than any border that sensors know of."""


def _question(
    request: web.Request,
    allowed: frozenset[str],
    *,
    area: Area | None = None,
    limit_default: int | None = None,
) -> Question:
    return read_question(
        request.rel_url.raw_query_string,
        path=request.rel_url.raw_path,
        collection=request.match_info["collection"],
        allowed=allowed,
        limits=request.app[STATE].limits,
        accept=request.headers.get("Accept"),
        limit_default=limit_default,
        area=area,
    )


async def get_latest(request: web.Request) -> web.StreamResponse:
    """The newest record of each sensor."""
    state = request.app[STATE]
    question = _question(request, LATEST_PARAMETERS)
    answer = await state.service.latest(question.query)
    return await answer_page(request, state, question, answer)


async def get_nearest(request: web.Request) -> web.StreamResponse:
    """The newest records of the sensors nearest to a place, nearest first."""
    state = request.app[STATE]
    question = _question(request, NEAREST_PARAMETERS, limit_default=NEAREST_MAX)
    lon, lat = required(question.values, "lon", "lat")
    count = question.values.get("k", 1)
    answer = await state.service.nearest(question.query, lon=lon, lat=lat, count=count)
    return await answer_page(request, state, question, answer)


async def get_within(request: web.Request) -> web.StreamResponse:
    """Records inside a circle or polygon given as parameters."""
    return await _within(request, None)


async def post_within(request: web.Request) -> web.StreamResponse:
    """Records inside a polygon that is sent as the body (GeoJSON)."""
    body = await request.read()
    if len(body) > POLYGON_BYTES_MAX:
        raise TooLarge(
            f"polygon of {len(body)} bytes is more than {POLYGON_BYTES_MAX}; simplify it",
            field="body",
        )
    document = parse_json(body)
    return await _within(request, polygon_from_document("body", document))


async def _within(request: web.Request, area: Area | None) -> web.StreamResponse:
    state = request.app[STATE]
    question = _question(request, WITHIN_PARAMETERS)
    area = area or _area(question.values)
    question = replace(question, query=replace(question.query, area=area))
    if question.query.limit is None:
        return await stream_answer(request, state, question)
    answer = await state.service.read(question.query)
    return await answer_page(request, state, question, answer)


def _area(values: Mapping[str, Any]) -> Area:
    if "polygon" in values:
        if "radius_m" in values:
            raise BadRequest("polygon and radius_m exclude each other; give one", field="polygon")
        area: Area = values["polygon"]
        return area
    lon, lat, radius_m = required(values, "lon", "lat", "radius_m")
    return Circle(lon=lon, lat=lat, radius_m=radius_m)


async def get_explain(request: web.Request) -> web.StreamResponse:
    """How a query of `items` is answered: spans, readers, rows, times."""
    state = request.app[STATE]
    question = _question(request, EXPLAIN_PARAMETERS)
    return json_response(await state.service.explain(question.query))


async def get_aggregate(request: web.Request) -> web.StreamResponse:
    """Count, mean, min, max and sum per cell and per time step."""
    state = request.app[STATE]
    question = _question(request, AGGREGATE_PARAMETERS, limit_default=ROWS_PER_PAGE_MAX)
    level = cell_level(question.values, state.domain)
    answer = await state.service.aggregate(
        AggregateQuery(question.query, level=level, step_us=question.values.get("step"))
    )
    form = choose_format(question.values.get("f"), request.headers.get("Accept"))
    body = _encoded(state, answer, level, form)
    state.metrics.bytes_sent += len(body)
    headers = coverage_headers(answer.coverage, state.domain)
    headers["Content-Type"] = form.media_type
    return web.Response(body=body, headers=headers)


def _encoded(state: State, answer: AggregateAnswer, level: int | None, form: Format) -> bytes:
    table = answer.table
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if form is ARROW:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes()
    if form is CSV:
        sink = pa.BufferOutputStream()
        csv.write_csv(_with_text_times(table), sink)
        return sink.getvalue().to_pybytes()
    if form is GEOJSON:
        return _cells_as_geojson(state, answer, table, level)
    if form is NDJSON:
        return bytes(text_bytes(_objects(_with_text_times(table), "{", "}\n")))
    raise BadRequest(
        f"f={form.name} is not offered for aggregates; ask for json, ndjson, csv or arrow",
        field="f",
    )


def _with_text_times(table: pa.Table) -> pa.Table:
    column = table.column("time").combine_chunks()
    if pa.types.is_null(column.type) or column.null_count:
        return table
    texts = times_to_texts(column.view(pa.int64()).to_numpy())
    return table.set_column(table.column_names.index("time"), "time", texts)


def _objects(table: pa.Table, head: Any, tail: str) -> pa.StringArray:
    """One JSON object a row: `head`, the columns that are not null, `tail`.

    The first member comes without its comma because `count` is never null and goes first.
    """
    names = ["count", *(name for name in table.column_names if name != "count")]
    pieces: list[pa.StringArray] = []
    for name in names:
        column = table.column(name)
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if pa.types.is_null(column.type):
            continue
        comma = "," if pieces else ""
        pieces.append(join(f"{comma}{orjson.dumps(name).decode()}:", column_to_json(column)))
    return join_present([head, *pieces, tail])


def _cells_as_geojson(
    state: State, answer: AggregateAnswer, table: pa.Table, level: int | None
) -> bytes:
    table = _with_text_times(table)
    geometry: Any = "null"
    if level is not None:
        encoded = table.column("cell").combine_chunks().dictionary_encode()
        shapes = [
            orjson.dumps(
                {"type": "Polygon", "coordinates": [cell_ring(level, cell, state.domain)]}
            ).decode()
            for cell in encoded.dictionary.to_pylist()
        ]
        geometry = pa.array(shapes, pa.string()).take(encoded.indices)
    if table.num_rows:
        head = join('{"type":"Feature","geometry":', geometry, ',"properties":{')
        features = bytes(text_bytes(_objects(table, head, "}},")))[:-1]
    else:
        features = b""
    document = {
        "type": "FeatureCollection",
        "timeStamp": time_text(answer.coverage.as_of),
        "numberReturned": table.num_rows,
        "coverage": coverage_to_json(answer.coverage, state.domain),
    }
    return b"".join((orjson.dumps(document)[:-1], b',"features":[', features, b"]}"))
