"""The stream at the door: events as they are written, and what is refused."""

import asyncio
from collections.abc import Mapping

import orjson
import pytest

from node.errors import BadRequest
from node.protocol.news import Cursor, Position

from .conftest import Door, record

STREAM = "/collections/amedas/stream"
WAIT_S = 60.0


class Events:
    """Reads a response as a browser would."""

    def __init__(self, door: Door, target: str, **options: object) -> None:
        self._door, self._target, self._options = door, target, options
        self.last_id = ""

    async def __aenter__(self) -> "Events":
        self._request = self._door.session.get(self._door.url + self._target, **self._options)  # type: ignore[arg-type]
        self._response = await self._request.__aenter__()
        assert self._response.status == 200, await self._response.text()
        assert self._response.content_type == "text/event-stream"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._response.close()

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the response."""
        return self._response.headers

    async def next(self, *kinds: str) -> list[dict[str, object]]:
        """The data lines of the next event of one of these kinds."""
        async with asyncio.timeout(WAIT_S):
            while True:
                kind, lines = "", []
                while line := (await self._response.content.readline()).rstrip(b"\n"):
                    name, _, value = line.partition(b": ")
                    if name == b"event":
                        kind = value.decode()
                    elif name == b"data":
                        lines.append(orjson.loads(value))
                    elif name == b"id":
                        self.last_id = value.decode()
                if kind in kinds:
                    return lines


async def test_records_come_as_they_are_stored(door: Door) -> None:
    async with Events(door, STREAM) as events:
        assert (await events.next("coverage"))[0]["state"] == "complete"
        await door.store([record(), record(sensor='odd "\n', values={"note": 'a\n"b"'})])
        found = await events.next("records")
        assert [one["sensor"] for one in found] == ["65042", 'odd "\n']
        assert found[1]["values"] == {"note": 'a\n"b"'}
        last_id = events.last_id
    await door.store([record(sensor="while away", values={"temp": 1, "@source": "x"})])
    for options in ({"headers": {"Last-Event-ID": last_id}}, {}):
        target = STREAM if options else f"{STREAM}?last_event_id={last_id}&metadata=true"
        async with Events(door, target, **options) as events:
            (found_later,) = await events.next("records")
            assert found_later["sensor"] == "while away"
            values = {"temp": 1} if options else {"temp": 1, "@source": "x"}
            assert found_later["values"] == values


async def test_pages_of_known_origins_may_follow(door: Door) -> None:
    """A browser's EventSource gives up a stream that does not allow its page's origin."""
    options = {"headers": {"Origin": "https://map.example"}}
    async with Events(door, STREAM, **options) as events:
        assert events.headers["Access-Control-Allow-Origin"] == "https://map.example"
        assert "Zring-Ring" in events.headers
    async with Events(door, STREAM, headers={"Origin": "https://other.example"}) as events:
        assert "Access-Control-Allow-Origin" not in events.headers
    await door.store([record()])
    whole = await door.ask("/collections/amedas/items?limit=all&f=ndjson", **options)
    assert whole.headers["Access-Control-Allow-Origin"] == "https://map.example"
    preflight = await door.ask(STREAM, "OPTIONS", **options)
    assert "Last-Event-ID" in preflight.headers["Access-Control-Allow-Headers"]


async def test_a_fence_and_a_filter(door: Door) -> None:
    question = "?bbox=135.1,34.1,135.2,34.3&fence=true&filter=temp%3E1&columns=temp"
    async with Events(door, STREAM + question) as events:
        await events.next("coverage")
        for number, lon in enumerate((135.0, 135.15, 135.16, 135.5)):
            time = f"2023-07-13T05:00:0{number}Z"
            await door.store([record(lon=lon, time=time), record(sensor="cold", time=time,
                             values={"temp": 0})])  # fmt: skip
        entered, left = await events.next("enter"), await events.next("leave")
        assert [one["lon"] for one in (*entered, *left)] == [135.15, 135.5]


async def test_a_process_that_is_gone_is_a_gap(door: Door) -> None:
    gone = Cursor(5, 1_600_000_000_000_000, {"a": Position(3, 900)})
    async with Events(
        door, f"{STREAM}?bbox=135.1,34.1,135.2,34.3&sensor=x&last_event_id={gone.text()}"
    ) as events:
        (gap,) = await events.next("gap")
    assert gap["node"] == "a"
    assert gap["reason"] == "restarted"
    assert gap["from"] == "2020-09-13T12:26:40Z"
    assert gap["bbox"] == [135.1, 34.1, 135.2, 34.3]
    items = str(gap["items"])
    assert items.startswith(f"{door.url}/collections/amedas/items?bbox=135.1,34.1,135.2,34.3")
    await door.store([record()])
    assert (await door.ask(items)).status == 200


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("?fence=true", "give bbox="),
        ("?last_event_id=x", "none that a node has given"),
        ("?limit=3", "is no parameter here"),
        ("?filter=temp", "filter is no condition"),
    ],
)
async def test_what_is_refused(door: Door, question: str, words: str) -> None:
    reply = await door.ask(STREAM + question)
    assert reply.status == BadRequest.status
    assert words in reply.json()["detail"]


async def test_head_and_too_many(door: Door) -> None:
    assert (await door.ask(STREAM, "HEAD")).status == 200
    door.service.streams.open = 12
    reply = await door.ask(STREAM)
    assert (reply.status, reply.json()["reason"]) == (503, "overloaded")
    door.service.streams.open = 0


async def test_a_client_that_leaves_frees_its_place(door: Door) -> None:
    async with Events(door, STREAM) as events:
        await events.next("coverage")
        assert door.service.streams.open == 1
    async with asyncio.timeout(WAIT_S):
        while door.service.streams.open:
            await door.store([record()])
            await asyncio.sleep(0)
