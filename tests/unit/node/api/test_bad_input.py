"""Bad input: each gets the one problem shape, with a message that names the way out."""

import asyncio
import io
import json
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from node.api.state import STATE

from .conftest import LIMITS, Door, Reply, record

SQUARE = "(135, 33)-(136.6, 34.6)"


def assert_problem(reply: Reply, status: int, *words: str, field: str | None = None) -> None:
    assert reply.status == status, reply.body
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    problem = reply.json()
    assert problem["status"] == status and problem["title"] and problem["reason"]
    for word in words:
        assert word in problem["detail"], problem["detail"]
    if field is not None:
        assert problem["field"] == field


QUERIES = [
    ("bbox=1,2,3", "bbox", ["bbox=1,2,3 has 3 numbers", "west,south,east,north"]),
    ("bbox=1,2,3,4,5", "bbox", ["5 numbers"]),
    ("bbox=a,b,c,d", "bbox", ["is no number"]),
    ("bbox=nan,33,136,34", "bbox", ["is no number"]),
    ("bbox=1e999,33,136,34", "bbox", ["is no number"]),
    ("bbox=136,33,135,34", "bbox", ["west > east", "does not wrap"]),
    ("bbox=135,34,136,33", "bbox", ["south > north"]),
    ("bbox=33,135,34,136", "bbox", ["latitude of 135", "longitude comes first"]),
    ("bbox=135,33,536,34", "bbox", ["longitude of 536"]),
    ("datetime=2023-07-13T05:00:00", "datetime", ["has no zone", "add Z"]),
    ("datetime=2023-07-13", "datetime", ["has no zone"]),
    ("datetime=yesterday", "datetime", ["RFC 3339"]),
    ("datetime=2023-02-30T05:00:00Z", "datetime", ["no time that exists"]),
    ("datetime=2023-07-14T00:00:00Z/2023-07-13T00:00:00Z", "datetime", ["ends before it starts"]),
    ("datetime=2023-07-13T05:00:00Z/2023-07-14T00:00:00Z/..", "datetime", ["is no time"]),
    ("from=2023-07-14T00:00:00Z&to=2023-07-13T00:00:00Z", "from", ["not before"]),
    ("from=2023-07-13T00:00:00", "from", ["has no zone"]),
    ("from=2023-07-13T00:00:00Z&datetime=2023-07-13T00:00:00Z", "datetime", ["exclude each other"]),
    (
        "limit=200000",
        "limit",
        ['limit=200000 is more than 100000; ask for less or follow the "next" link'],
    ),
    ("limit=0", "limit", ["less than 1"]),
    ("limit=-5", "limit", ["less than 1"]),
    ("limit=ten", "limit", ["no whole number"]),
    ("limit=all", "limit", ["f=arrow"]),
    ("limit=1&limit=2", "limit", ["comes twice"]),
    ("colour=red", "colour", ["is no parameter here", "bbox"]),
    ("cursor=abc", "cursor", ["damaged"]),
    ("cursor=" + "A" * 48, "cursor", ["damaged"]),
    ("timeout_ms=0", "timeout_ms", ["less than 1"]),
    ("timeout_ms=99999999999", "timeout_ms", ["more than"]),
    ("timeout_ms=400000", "timeout_ms", ["more than 300000"]),
    ("require=perfect", "require", ["complete, local, settling, partial"]),
    ("spans=5", "spans", ["start-stop"]),
    ("spans=9-3", "spans", ["spans rise"]),
    ("spans=0-5,3-9", "spans", ["do not overlap"]),
    ("spans=0-9999999999999999999", "spans", ["lie in"]),
    ("f=xml", "f", ["is unknown", "ndjson"]),
    ("filter=temp >", "filter", []),
    ("filter=" + "(" * 500, "filter", []),
    ("filter-lang=cql2-json", "filter-lang", ["cql2-text"]),
    ("sensor=", "sensor", ["empty"]),
    ("sensor=" + "x" * 300, "sensor", ["longer than 256"]),
    ("columns=a,,b", "columns", ["empty"]),
    ("crs=http://www.opengis.net/def/crs/EPSG/0/3857", "crs", ["CRS84"]),
    ("bbox-crs=EPSG:6668", "bbox-crs", ["CRS84"]),
    ("bbox=%ff", None, ["not UTF-8"]),
    ("&".join(f"p{n}=1" for n in range(100)), None, ["more than 64"]),
]


@pytest.mark.parametrize(("query", "field", "words"), QUERIES, ids=lambda value: str(value)[:40])
async def test_wrong_parameters(door: Door, query: str, field: str, words: list[str]) -> None:
    await door.store(record())
    reply = await door.ask(f"/collections/amedas/items?{quote(query, safe='=&%,:')}")
    assert_problem(reply, 400, *words, field=field)


OTHER_QUESTIONS = [
    ("nearest?lat=34", "lon", ["lon is missing"]),
    ("nearest?lon=135&lat=34&k=0", "k", ["less than 1"]),
    ("nearest?lon=35&lat=134", "lat", ["longitude comes first"]),
    ("within?lon=135&lat=34", "radius_m", ["radius_m is missing"]),
    ("within?lon=135&lat=34&radius_m=-1", "radius_m", ["not above 0"]),
    ("within?lon=135&lat=34&radius_m=inf", "radius_m", ["no number"]),
    ("within?polygon=POINT(1 2)", None, ["area"]),
    ("within?polygon=POLYGON((1 2", None, []),
    ('within?polygon={"type":"Polygon"}', None, []),
    ('within?polygon={"type"', "polygon", ["GeoJSON"]),
    ("within?polygon=POLYGON((135 33,136 33,136 34,135 33))&radius_m=1&lon=1&lat=1", "polygon", []),
    ("aggregate?cell=0.15", "cell", ["no cell width", "0.1"]),
    ("aggregate?cell=0.1&level=4", "cell", ["exclude each other"]),
    ("aggregate?level=99", "level", ["more than 31"]),
    ("aggregate?step=1h", "step", ["PT1H"]),
    ("aggregate?step=P1M", "step", ["no months"]),
    ("aggregate?step=PT0S", "step", ["no duration"]),
    ("aggregate?f=parquet", "f", ["not offered"]),
    ("latest?lon=1", "lon", ["no parameter here"]),
]


@pytest.mark.parametrize(("target", "field", "words"), OTHER_QUESTIONS, ids=lambda v: str(v)[:40])
async def test_wrong_parameters_of_other_questions(
    door: Door, target: str, field: str | None, words: list[str]
) -> None:
    await door.store(record())
    reply = await door.ask(f"/collections/amedas/{quote(target, safe='?=&,')}")
    assert_problem(reply, 400, *words, field=field)


RECORDS: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"lon": 140.0}, "lon", ["lon=140, lat=34.228 is outside the domain", SQUARE]),
    ({"lat": 36.0}, "lat", ["outside the domain"]),
    ({"lon": 34.228, "lat": 135.163}, "lon", ["swapped lon and lat?"]),
    ({"lon": None}, "lon", ["lon is missing"]),
    ({"lon": "135"}, "lon", ["wrong type", "number"]),
    ({"lon": True}, "lon", ["wrong type"]),
    ({"lon": 10**30}, "lon", ["outside the domain"]),
    ({"sensor": None}, "sensor", ["sensor is missing"]),
    ({"sensor": ""}, "sensor", ["has 0 bytes", "1 to 256"]),
    ({"sensor": "x" * 257}, "sensor", ["has 257 bytes"]),
    ({"sensor": 65042}, "sensor", ["write it as text"]),
    ({"time": None}, "time", ["time is missing"]),
    ({"time": "2023-07-13T05:00:00"}, "time", ["has no zone", "add Z"]),
    ({"time": "2023-07-13"}, "time", ["has no zone"]),
    ({"time": "2023-13-01T00:00:00Z"}, "time", ["is no time"]),
    ({"time": 1689224400}, "time", ["RFC 3339"]),
    ({"version": -1}, "version", ["out of range", "0 to"]),
    ({"version": 1.5}, "version", ["wrong type"]),
    ({"values": None}, "values", ["no object"]),
    ({"values": {}}, "values", ["has no value"]),
    ({"values": {"temp": None}}, "values", ["has no value"]),
    ({"values": [1]}, "values", ["no object"]),
    ({"values": {"lon": 1}}, "lon", ["clashes with a fixed one", "lon_value"]),
    ({"values": {"geometry": 1}}, "geometry", ["clashes"]),
    ({"values": {"x" * 200: 1}}, "x" * 200, ["1 to 128 bytes"]),
    ({"values": {"": 1}}, "", ["0 bytes"]),
    ({"values": {"img;base64": "???"}}, "img;base64", ["no base64"]),
    ({"values": {"deep": orjson.loads("[" * 40 + "]" * 40)}}, "deep", ["nested more than 32"]),
    ({"temp": 27.1}, "temp", ["is unknown", "values"]),
]


@pytest.mark.parametrize(("changes", "field", "words"), RECORDS, ids=lambda value: str(value)[:40])
async def test_a_bad_record_costs_nobody_else(
    door: Door, changes: dict[str, Any], field: str, words: list[str]
) -> None:
    bad = json.dumps(record(**changes)).encode()
    good = orjson.dumps(record(sensor="good"))
    headers = {"Content-Type": "application/x-ndjson"}
    body = b"\n".join((good, bad, good.replace(b"05:00", b"06:00")))
    reply = await door.ask("/collections/amedas/items", "POST", data=body, headers=headers)
    assert reply.status == 200, reply.body
    document = reply.json()
    assert (document["received"], document["stored"]) == (3, 2)
    (rejection,) = document["rejected"]
    assert rejection["index"] == 1 and rejection["field"] == field
    for word in words:
        assert word in rejection["reason"]
    alone = await door.ask("/collections/alone/items", "POST", data=bad, headers=headers)
    assert_problem(alone, 422, *words)
    assert alone.json()["stored"] == 0 and alone.json()["rejected"]
    listed = (await door.ask("/collections")).json()["collections"]
    assert [entry["id"] for entry in listed] == ["amedas"]


BODIES = [
    ("application/json", b"", 400, ["empty"]),
    ("application/json", b"{", 400, ["no JSON"]),
    ("application/json", b"\xff\xfe", 400, ["no JSON"]),
    ("application/json", b"[" * 5_000 + b"]" * 5_000, 400, ["no JSON"]),
    ("application/json", b"7", 422, ["is no object"]),
    ("application/json", b"null", 422, ["is no object"]),
    ("application/geo+json", b"{}", 400, ["neither a GeoJSON Feature"]),
    ("application/geo+json", b'{"type":"FeatureCollection"}', 400, ["features"]),
    ("application/x-ndjson", b"{\n", 422, ["record 0 is no JSON"]),
    ("text/csv", b"\xff\xfe,\n1,2", 400, ["not UTF-8"]),
    ("text/csv", b"a,a\n1,2\n", 400, ["appears twice"]),
    ("text/csv", b"sensor,lon\nx,1\n", 422, ["missing"]),
    ("application/msgpack", b"\xc1", 400, ["no msgpack"]),
    ("application/msgpack", b"\xdd\xff\xff\xff\xff", 400, ["no msgpack"]),
    ("application/vnd.apache.arrow.stream", b"ARROW1", 400, ["Arrow IPC"]),
    ("application/pdf", b"%PDF", 415, ["application/x-ndjson", "not read here"]),
    ("application/x-ndjson", b"{}\n" * 5_001, 413, ["5001 records are more than 5000"]),
    ("application/json", b"[" + b" " * (1 << 20) + b"]", 413, ["smaller batches"]),
]


@pytest.mark.parametrize(
    ("media_type", "body", "status", "words"), BODIES, ids=lambda value: str(value)[:30]
)
async def test_bodies_that_cannot_be_read(
    door: Door, media_type: str, body: bytes, status: int, words: list[str]
) -> None:
    reply = await door.ask(
        "/collections/amedas/items",
        "POST",
        data=io.BytesIO(body),
        headers={"Content-Type": media_type},
    )
    assert_problem(reply, status, *words)


async def test_bodies_at_the_same_time_are_bounded(door: Door) -> None:
    state = door.app[STATE]
    state.body_bytes = LIMITS.write_queue_bytes_max
    reply = await door.store(record())
    assert_problem(reply, 503, "at once", "repeat in a moment")
    assert int(reply.headers["Retry-After"]) >= 1
    state.body_bytes = 0
    assert (await door.store(record())).status == 200
    assert state.body_bytes == 0


async def test_years_1970_and_2099_are_stored_where_they_say(door: Door) -> None:
    for year in (1970, 2099):
        reply = await door.store(record(time=f"{year}-01-01T00:00:00Z"))
        assert reply.status == 200
        page = await door.ask(f"/collections/amedas/items?datetime={year}-01-01T00:00:00Z")
        (feature,) = page.json()["features"]
        assert feature["properties"]["time"] == f"{year}-01-01T00:00:00Z"


async def test_a_box_with_heights_is_the_box_without(door: Door) -> None:
    await door.store(record())
    flat = (await door.ask("/collections/amedas/items?bbox=135,34,136,34.5")).json()
    tall = (await door.ask("/collections/amedas/items?bbox=135,34,-10,136,34.5,900")).json()
    assert len(flat["features"]) == 1 and tall["features"] == flat["features"]


@pytest.mark.parametrize(
    ("method", "target", "status", "words"),
    [
        ("GET", "/nowhere", 404, ["/nowhere does not exist", "/api"]),
        ("DELETE", "/collections/amedas/items", 405, ["use GET, HEAD, POST"]),
        ("PATCH", "/", 405, ["use GET"]),
        ("GET", "/collections/none/items", 404, ["'none'"]),
        ("GET", "/collections/none", 404, ["none"]),
        ("GET", "/collections/amedas/items/abc", 404, ["no record has the id"]),
        ("GET", "/collections/amedas/items/65042.1.1", 404, ["no record has the id"]),
        ("GET", "/collections/amedas/items/~!!.1.1", 404, ["no record has the id"]),
        ("POST", "/collections/%00/items", 400, ["printable"]),
        ("POST", f"/collections/{'x' * 200}/items", 400, ["1 to 128"]),
        ("GET", "/collections/amedas/%2e%2e/%2e%2e/etc/passwd", 404, ["does not exist"]),
    ],
)
async def test_what_does_not_exist(
    door: Door, method: str, target: str, status: int, words: list[str]
) -> None:
    await door.store(record())
    options: dict[str, Any] = {"json": record()} if method == "POST" else {}
    reply = await door.ask(target, method, **options)
    assert_problem(reply, status, *words)


async def test_accept_without_any_format_of_ours(door: Door) -> None:
    await door.store(record())
    reply = await door.ask("/collections/amedas/items", headers={"Accept": "image/png"})
    assert_problem(reply, 406, "image/png", "application/geo+json")


RAW = [
    b"\x00\x01\x02\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
    b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 40_000 + b"\r\n\r\n",
    b"POST /collections/a/items HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
    b"POST /collections/a/items HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /collections/a/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /collections/a/items HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: repr(raw[:24]))
async def test_bytes_that_are_no_http(door: Door, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(raw)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), timeout=60)
    writer.close()
    status = answer.split(b" ", 2)[1] if answer else b"closed"
    assert status == b"closed" or status.startswith(b"4"), answer[:200]
    if answer:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"application/problem+json" in head
        assert orjson.loads(body)["detail"]
