"""Streams on a simulated cluster: each record once, whoever dies, whatever is cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from node.errors import Overloaded
from node.protocol.news import Cursor
from node.query import Coverage, Query
from node.records import Rows, concat_rows, record_digests
from node.service.following import Arrived, Crossed, Event, Gap
from node.service.service import Service
from zring.area import Box

from .conftest import Bench, Play, make_rows


class Reader:
    """What one client has received: through one stream after another."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.cursor: Cursor | None = None

    @asynccontextmanager
    async def at(
        self, service: Service, query: Query | None = None, *, fenced: bool = False
    ) -> AsyncIterator[None]:
        async with service.streams.follow(
            query or Query("c"), self.cursor, fenced=fenced
        ) as stream:

            async def read() -> None:
                async for event in stream.events(idle_ms=100):
                    if event is not None:
                        self.events.append(event)
                    self.cursor = Cursor.parse(stream.text())

            task = asyncio.create_task(read())
            await asyncio.sleep(2)
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait((task,))

    @property
    def rows(self) -> Rows:
        return concat_rows([event.rows for event in self.events if isinstance(event, Arrived)])

    @property
    def digests(self) -> list[int]:
        return sorted(record_digests("c", self.rows).tolist())

    @property
    def gaps(self) -> list[Gap]:
        return [event for event in self.events if isinstance(event, Gap)]


def digests(*parts: Rows) -> list[int]:
    return sorted(record_digests("c", concat_rows(parts)).tolist())


def test_what_any_node_takes_arrives_once(play: Play) -> None:
    async def test(bench: Bench) -> None:
        reader, batches = Reader(), [make_rows(50, seed) for seed in range(8)]
        async with reader.at(bench.services[0]):
            for number, rows in enumerate(batches):
                await bench.services[number % 4].write("c", rows, w="all" if number % 2 else "one")
                await bench.services[0].write("other", rows)
            await bench.services[1].write("c", batches[0])  # the same again is no news
            await asyncio.sleep(3)
        assert reader.digests == digests(*batches)
        assert not reader.gaps
        assert [event for event in reader.events if isinstance(event, Coverage)]
        assert bench.services[0].streams.open == 0

    play(test)


def test_on_at_another_node_when_the_one_in_between_dies(play: Play) -> None:
    async def test(bench: Bench) -> None:
        reader, batches = Reader(), [make_rows(40, seed) for seed in range(12)]
        first, *others = bench.cluster.running()
        assert first.service is not None
        async with reader.at(first.service):
            for rows in batches[:4]:
                await first.service.write("c", rows, w="quorum")
            await asyncio.sleep(1)
        before = len(reader.rows)
        assert before == 160
        # Taken by the node that dies, behind what the reader has: copies must tell.
        for rows in batches[4:8]:
            await first.service.write("c", rows, w="all")
        await first.crash()
        service = others[0].service
        assert service is not None
        async with reader.at(service):
            for rows in batches[8:10]:
                await service.write("c", rows, w="one")
            await asyncio.sleep(8)
        assert reader.digests == digests(*batches[:10])
        # And once more, while the first is still away: what was lent is not given again.
        service = others[1].service
        assert service is not None
        async with reader.at(service):
            for rows in batches[10:]:
                await service.write("c", rows, w="one")
            await asyncio.sleep(5)
            first.start_soon()
            await asyncio.sleep(20)
        assert reader.digests == digests(*batches)
        assert {gap.reason for gap in reader.gaps} <= {"restarted"}

    play(test)


def test_what_was_taken_behind_a_cut_comes_late_and_once(play: Play) -> None:
    async def test(bench: Bench) -> None:
        reader, batches = Reader(), [make_rows(40, seed) for seed in range(8)]
        names = sorted(bench.cluster.nodes)
        async with reader.at(bench.service(names[0])):
            bench.cluster.network.split(names[:2], names[2:])
            for number, rows in enumerate(batches):
                node = bench.service(names[number % 4])
                await node.write("c", rows, timeout_ms=20_000)
            await asyncio.sleep(10)
            assert 0 < len(reader.rows) < 8 * 40
            states = [event.state for event in reader.events if isinstance(event, Coverage)]
            bench.cluster.network.heal()
            await bench.wait_settled()
            await asyncio.sleep(10)
        assert len(states) > 1
        assert reader.digests == digests(*batches)
        assert not reader.gaps

    play(test)


def test_area_sensors_filter_and_columns(play: Play) -> None:
    async def test(bench: Bench) -> None:
        rows = make_rows(300, sensors=5)
        box = Box(1_351_000_000, 331_000_000, 1_360_000_000, 341_000_000)
        warm = {"op": ">", "args": [{"property": "temp"}, 15.0]}
        query = Query(
            "c", area=box, sensors=frozenset(("s1", "s2")), filter=warm, columns=("temp",)
        )
        reader = Reader()
        async with reader.at(bench.services[1], query):
            await bench.services[2].write("c", rows)
            await asyncio.sleep(3)
        expected = await bench.services[0].read(query)
        found = reader.rows
        assert sorted(found.time.tolist()) == sorted(expected.rows.time.tolist())
        assert 0 < len(found) < 300
        assert set(found.values) == {"temp"}

    play(test)


def test_a_fence_goes_on_at_another_node(play: Play) -> None:
    async def test(bench: Bench) -> None:
        rows = make_rows(40, sensors=1, days=1)
        order = rows.time.argsort()
        rows = rows.take(order)
        box = Box(1_350_000_000, 330_000_000, 1_358_000_000, 346_000_000)
        inside = box.contains(lon=rows.lon, lat=rows.lat).tolist()
        crossings = [
            here for before, here in zip([False, *inside], inside, strict=False) if before != here
        ]
        reader, query = Reader(), Query("c", area=box)
        for start, service in ((0, bench.services[0]), (20, bench.services[1])):
            async with reader.at(service, query, fenced=True):
                for row in range(start, start + 20):
                    await bench.services[row % 4].write("c", rows.slice(row, row + 1))
                    await asyncio.sleep(0.5)
                await asyncio.sleep(3)
        told = [event.entered for event in reader.events if isinstance(event, Crossed)]
        assert told == crossings
        assert len(told) > 4

    play(test)


def test_a_reader_that_is_too_slow_is_told_what_it_missed(play: Play) -> None:
    async def test(bench: Bench) -> None:
        reader, batches = Reader(), [make_rows(400, seed) for seed in range(6)]
        async with reader.at(bench.services[0]):
            await bench.services[1].write("c", batches[0], w="all")
            await asyncio.sleep(2)
        for rows in batches[1:]:
            await bench.services[1].write("c", rows, w="all")
        limits = bench.services[1].streams.parts.limits
        object.__setattr__(limits, "stream_log_bytes_max", 40_000)  # as a long time would
        await bench.services[1].write("c", make_rows(1, 99), w="all")
        async with reader.at(bench.services[0]):
            await asyncio.sleep(3)
        assert {gap.reason for gap in reader.gaps} == {"overflow"}
        assert all(gap.from_us <= gap.until_us for gap in reader.gaps)
        assert len(reader.rows) < 6 * 400 + 1
        assert len(set(reader.digests)) == len(reader.digests)

    play(test)


def test_no_more_streams_than_are_allowed(play: Play) -> None:
    async def test(bench: Bench) -> None:
        streams = bench.services[0].streams
        streams.open = streams.parts.limits.streams_max
        with pytest.raises(Overloaded, match="streams_max="):
            streams.follow(Query("c"), None, fenced=False)
        streams.open = 0

    play(test, nodes=1, replicas=0)


def test_queues_are_bounded_and_a_stream_that_waits_holds_its_followers(play: Play) -> None:
    async def test(bench: Bench) -> None:
        service = bench.services[0]
        object.__setattr__(service.streams.parts.limits, "stream_queue_bytes_max", 10_000)
        async with service.streams.follow(Query("c"), None, fenced=False) as stream:
            await asyncio.sleep(2)
            for seed in range(30):
                await bench.services[seed % 4].write("c", make_rows(40, seed), w="all")
                await asyncio.sleep(0.2)
            assert stream._queued < 4 * 10_000
            count = 0
            async for event in stream.events(idle_ms=3_000):
                if event is None:
                    break
                count += len(event.rows) if isinstance(event, Arrived) else 0
            assert count == 30 * 40

    play(test)
