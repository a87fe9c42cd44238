"""Items: storing, paging, formats, single records, streams."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from node.api.state import STATE
from node.errors import CoverageTooLow
from node.query import Answer, Query

from .conftest import Door, record

FORMATS = {
    "geojson": "application/geo+json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}


def many(count: int) -> list[dict[str, object]]:
    return [
        record(
            sensor=f"s{number % 7}",
            time=f"2023-07-{number // 24 + 1:02}T{number % 24:02}:00:00Z",
            lon=135.0 + number % 7 / 10,
            values={"n": number},
        )
        for number in range(count)
    ]


def count_of(name: str, body: bytes) -> int:
    if name == "geojson":
        return len(orjson.loads(body)["features"])
    if name == "ndjson":
        return len([orjson.loads(line) for line in body.splitlines()])
    if name == "csv":
        return pa_csv.read_csv(io.BytesIO(body)).num_rows
    if name == "parquet":
        return pq.read_table(io.BytesIO(body)).num_rows
    return pa.ipc.open_stream(body).read_all().num_rows


async def test_the_reply_says_what_was_stored(door: Door) -> None:
    reply = await door.store(many(10))
    assert reply.status == 200
    assert reply.json() == {
        "received": 10,
        "stored": 10,
        "rejected": [],
        "copies": {"wanted": 1, "durable": 1},
    }


async def test_the_same_again_changes_nothing_and_a_correction_does(door: Door) -> None:
    for _ in range(2):
        await door.store(record())
    changed = record(values={"temp": 1.5})
    corrected = await door.ask("/collections/amedas/items?replace=true", "POST", json=changed)
    assert corrected.status == 200
    await door.store(record())
    (feature,) = (await door.ask("/collections/amedas/items")).json()["features"]
    assert feature["properties"]["temp"] == 1.5
    assert feature["properties"]["version"] > 0


@pytest.mark.parametrize("name", sorted(FORMATS))
async def test_every_format_by_f_and_by_accept(door: Door, name: str) -> None:
    await door.store(many(30))
    target = "/collections/amedas/items"
    by_f = await door.ask(f"{target}?limit=100&f={name}")
    by_accept = await door.ask(f"{target}?limit=100", headers={"Accept": FORMATS[name]})
    for reply in (by_f, by_accept):
        assert reply.status == 200
        assert reply.headers["Content-Type"].split(";")[0] == FORMATS[name]
        assert reply.headers["Zring-Coverage"] == "complete"
        assert count_of(name, reply.body) == 30
    head = await door.ask(f"{target}?limit=100&f={name}", "HEAD")
    assert head.status == 200 and head.body == b""


@pytest.mark.parametrize("name", sorted(FORMATS))
async def test_pages_neither_skip_nor_repeat_while_records_arrive(door: Door, name: str) -> None:
    await door.store(many(100))
    target: str | None = (
        f"/collections/amedas/items?limit=7&f={name}&datetime=../2023-07-09T00:00:00Z"
    )
    total, pages = 0, 0
    while target is not None:
        reply = await door.ask(target)
        total += count_of(name, reply.body)
        pages += 1
        await door.store(record(sensor=f"new{pages}", time="2023-08-01T00:00:00Z"))
        link = reply.headers.get("Link")
        target = None if link is None else link.split("<")[1].split(">")[0]
        if name == "geojson":
            links = {entry["rel"]: entry["href"] for entry in reply.json()["links"]}
            assert links.get("next", "").removeprefix(door.url) == (target or "")
    assert (total, pages) == (100, 15)


async def test_a_cursor_of_another_question_is_refused(door: Door) -> None:
    await door.store(many(10))
    page = await door.ask("/collections/amedas/items?limit=3&sensor=s1,s2,s3")
    cursor = page.headers["Link"].split("cursor=")[1].split(">")[0]
    other = await door.ask(f"/collections/amedas/items?limit=3&sensor=s1&cursor={cursor}")
    assert other.status == 400 and "belongs to another query" in other.json()["detail"]
    same = await door.ask(
        f"/collections/amedas/items?limit=2&f=csv&sensor=s1,s2,s3&cursor={cursor}"
    )
    assert same.status == 200


@pytest.mark.parametrize("name", ["arrow", "ndjson", "csv"])
async def test_the_whole_answer_as_a_stream(door: Door, name: str) -> None:
    await door.store(many(200))
    await door.store(
        [record(time="2022-01-01T00:00:00Z", values={"late": "text", "raw;base64": "AA=="})]
    )
    reply = await door.ask(f"/collections/amedas/items?limit=all&f={name}")
    assert reply.status == 200 and "Link" not in reply.headers
    assert count_of(name, reply.body) == 201


async def test_a_stream_of_nothing_and_of_an_unknown_collection(door: Door) -> None:
    await door.store(record())
    empty = await door.ask("/collections/amedas/items?limit=all&f=arrow&sensor=nobody")
    assert empty.status == 200 and count_of("arrow", empty.body) == 0
    unknown = await door.ask("/collections/other/items?limit=all&f=arrow")
    assert unknown.status == 404


async def test_selection_by_box_time_sensor_filter_and_columns(door: Door) -> None:
    await door.store(many(48))
    base = "/collections/amedas/items?f=ndjson&"

    async def numbers(query: str) -> list[int]:
        lines = (await door.ask(base + query)).body.splitlines()
        return sorted(orjson.loads(line)["values"]["n"] for line in lines)

    assert await numbers("datetime=2023-07-01T05:00:00Z") == [5]
    assert await numbers("datetime=2023-07-01T14:00:00%2B09:00") == [5]
    assert await numbers("datetime=2023-07-01T14:00:00+09:00") == [5]
    assert await numbers("datetime=2023-07-02T22:00:00Z/..") == [46, 47]
    assert await numbers("from=2023-07-02T22:00:00Z&to=2023-07-02T23:00:00Z") == [46]
    assert await numbers("sensor=s0,s1&datetime=../2023-07-01T08:00:00Z") == [0, 1, 7, 8]
    assert await numbers("bbox=135.1,34,135.1,35&datetime=../2023-07-01T08:00:00Z") == [1, 8]
    assert await numbers("filter=n%20%3E%2045") == [46, 47]
    reply = await door.ask(base + "columns=other")
    assert orjson.loads(reply.body.splitlines()[0])["values"] == {}


async def test_one_record_by_its_id(door: Door) -> None:
    await door.store([record(), record(sensor="駅/前 1", values={"text": 'a"b\\c\n', "n": 1})])
    features = (await door.ask("/collections/amedas/items")).json()["features"]
    assert len(features) == 2
    for feature in features:
        reply = await door.ask(f"/collections/amedas/items/{feature['id']}")
        assert reply.status == 200
        single = reply.json()
        assert {link["rel"] for link in single.pop("links")} == {"self", "collection"}
        assert single == feature


async def test_cors_answers_known_origins_only(door: Door) -> None:
    target = "/collections/amedas/items"
    known = await door.ask(target, "OPTIONS", headers={"Origin": "https://map.example"})
    assert known.status == 204
    assert known.headers["Access-Control-Allow-Origin"] == "https://map.example"
    assert "POST" in known.headers["Access-Control-Allow-Methods"]
    other = await door.ask(target, "OPTIONS", headers={"Origin": "https://other.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_a_client_that_leaves_stops_its_query(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(query: object) -> object:
        begun.set()
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(door.service, "read", slow)
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET /collections/amedas/items HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(begun.wait(), 60)
    writer.close()
    await asyncio.wait_for(ended.wait(), 60)
    await asyncio.sleep(0)
    assert door.app[STATE].metrics.cancelled == 1


@pytest.mark.parametrize("trouble", ["coverage", "column"])
async def test_a_stream_that_goes_wrong_is_cut_and_never_ends_normally(
    door: Door, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    await door.store(many(50))
    whole = await door.service.read(Query(collection="amedas", limit=50))
    closed = asyncio.Event()

    async def stream(query: Query) -> AsyncIterator[Answer]:
        try:
            yield whole
            if trouble == "coverage":
                raise CoverageTooLow("the answer became partial")
            names = {"new": pa.array(["x"] * 50)}
            yield replace(whole, rows=whole.rows.with_values(names))
        finally:
            closed.set()

    monkeypatch.setattr(door.service, "stream", stream)
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
        await door.ask("/collections/amedas/items?limit=all&f=arrow")
    assert closed.is_set()


async def test_a_client_that_leaves_at_the_end_of_a_stream_is_no_fault(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await door.store(many(50))

    async def gone(response: web.StreamResponse, data: bytes = b"") -> None:
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    monkeypatch.setattr(web.StreamResponse, "write_eof", gone)
    with pytest.raises(aiohttp.ClientError):
        await door.ask("/collections/amedas/items?limit=all&f=csv")
    assert door.app[STATE].metrics.cancelled == 1
    assert door.app[STATE].metrics.failures == 0
    assert not [record for record in caplog.records if record.exc_info]


async def test_large_pages_hold_every_record_once(door: Door) -> None:
    n = 4_000
    table = pa.table(
        {
            "sensor": [f"m{number}" for number in range(n)],
            "time": pa.array(np.arange(n) * 1_000_000, pa.timestamp("us", "UTC")),
            "lon": np.linspace(135, 136.6, n),
            "lat": np.linspace(33, 34.6, n),
            "x": np.arange(n) / 7,
        }
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    reply = await door.ask(
        "/collections/moving/items",
        "POST",
        data=sink.getvalue(),
        headers={"Content-Type": FORMATS["arrow"]},
    )
    assert reply.json()["stored"] == n
    page = await door.ask("/collections/moving/items?f=arrow")
    back = pa.ipc.open_stream(page.body).read_all().sort_by("time")
    assert back.column("x").to_pylist() == table.column("x").to_pylist()
    features = (await door.ask("/collections/moving/items?limit=100000")).json()["features"]
    assert len({feature["id"] for feature in features}) == n
