"""Reads against brute force, on one node and on four, whole, in pages and as streams."""

import asyncio
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from node.errors import (
    BadRequest,
    CoverageTooLow,
    DeadlineExceeded,
    NotFound,
    Overloaded,
    TooLarge,
    Unavailable,
)
from node.filter import parse_filter
from node.query import Query
from node.records import Key, Rows, concat_rows, sort_rows
from node.storage.engine import Scan, Step
from tests.sim.network import Weather
from tests.unit.node.service.conftest import (
    DAY_US,
    START_US,
    Bench,
    Play,
    identities,
    make_rows,
)
from zring.area import Area, Box, Circle, Polygon
from zring.domain import DEMO_DOMAIN
from zring.span import contains, normalise

ROWS = make_rows(1_500)


def random_area(rng: Random) -> Area | None:
    domain = DEMO_DOMAIN
    lons = sorted(rng.randint(domain.west, domain.east) for _ in range(3))
    lats = sorted(rng.randint(domain.south, domain.north) for _ in range(3))
    kind = rng.choice(["none", "box", "circle", "polygon"])
    if kind == "box":
        return Box(lons[0], lats[0], lons[2], lats[2])
    if kind == "circle":
        return Circle(lon=lons[1], lat=lats[1], radius_m=rng.uniform(100, 90_000))
    if kind == "polygon":
        corners = ((lons[0], lats[0]), (lons[2], lats[1]), (lons[1], lats[2]))
        return Polygon(((corners,),))
    return None


def random_query(rng: Random) -> Query:
    start = START_US + rng.randrange(-DAY_US, 30 * DAY_US)
    return Query(
        "c",
        area=random_area(rng),
        time_start=start if rng.random() < 0.6 else START_US,
        time_stop=start + rng.randrange(1, 20 * DAY_US) if rng.random() < 0.6 else 1 << 61,
        sensors=frozenset(f"s{rng.randrange(20)}" for _ in range(4))
        if rng.random() < 0.3
        else None,
        filter=parse_filter(rng.choice(["temp > 15", "name = 'a' AND count < 5", "temp IS NULL"]))
        if rng.random() < 0.4
        else None,
        columns=("count",) if rng.random() < 0.3 else None,
        spans=normalise((at, at + (1 << 58)) for at in (rng.randrange(1 << 61) for _ in range(5)))
        if rng.random() < 0.2
        else None,
    )


def brute(query: Query, rows: Rows = ROWS) -> list[tuple[str, int, int]]:
    mask = (rows.time >= query.time_start) & (rows.time < query.time_stop)
    if query.area is not None:
        mask &= query.area.contains(lon=rows.lon, lat=rows.lat)
    if query.spans is not None:
        mask &= contains(query.spans, rows.code)
    if query.sensors is not None:
        mask &= np.isin(np.array(rows.sensor.to_pylist()), sorted(query.sensors))
    if query.filter is not None:
        temp, count, name = (rows.values[n].to_pylist() for n in ("temp", "count", "name"))
        tests = {
            ">": [t is not None and t > 15 for t in temp],
            "and": [n == "a" and c < 5 for n, c in zip(name, count, strict=True)],
            "isNull": [t is None for t in temp],
        }
        mask &= np.array(tests[query.filter["op"]])
    return identities(sort_rows(rows.take(np.flatnonzero(mask))))


@pytest.mark.parametrize("nodes", [1, 4])
def test_random_queries_whole_paged_and_streamed(play: Play, nodes: int) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        rng = Random(nodes)
        for _ in range(60):
            query = random_query(rng)
            expected = brute(query)
            service = rng.choice(bench.services)
            answer = await service.read(query)
            assert identities(answer.rows) == expected
            assert answer.coverage.state == "complete" and answer.resume is None
            if query.columns:
                assert set(answer.rows.values) <= set(query.columns)
            paged = await pages(bench, rng, replace(query, limit=rng.randint(1, 200)))
            assert identities(paged) == expected
            parts = [part.rows async for part in service.stream(query)]
            assert identities(concat_rows(parts)) == expected

    play(test, nodes=nodes)


async def pages(bench: Bench, rng: Random, query: Query) -> Rows:
    """All pages, each asked of another node."""
    parts: list[Rows] = []
    after: Key | None = None
    while True:
        answer = await rng.choice(bench.services).read(replace(query, after=after))
        assert query.limit is not None and len(answer.rows) <= query.limit
        parts.append(answer.rows)
        after = answer.resume
        if after is None:
            return concat_rows(parts)


def test_only_the_owner_of_the_area_is_asked(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        domain = DEMO_DOMAIN
        box = Box(domain.west, domain.south, domain.west + 10**6, domain.south + 10**6)
        answer = await bench.service("n4").read(Query("c", area=box))
        assert [report.node for report in answer.readers] == ["n1"]
        explained = await bench.service("n1").explain(Query("c", area=box))
        assert explained["rows"] == len(answer.rows)

    play(test)


def test_an_area_outside_the_domain_is_empty(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        answer = await bench.service("n2").read(Query("c", area=Box(0, 0, 5, 5)))
        assert not len(answer.rows) and answer.resume is None

    play(test)


def test_an_unknown_collection(play: Play) -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(NotFound, match="no collection 'x'"):
            await bench.service("n1").read(Query("x"))
        await bench.service("n1").write("c", ROWS)
        far = Query("c", area=Box(0, 0, 5, 5))
        assert not len((await bench.service("n3").read(far)).rows)
        await bench.cluster.nodes["n4"].crash()
        await bench.wait_until(lambda: "n4" in bench.service("n1").status().coverage.away)
        with pytest.raises(Unavailable, match="unknown here; n4"):
            await bench.service("n1").read(Query("x"))

    play(test)


def test_require(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        query = Query("c", require="complete")
        assert (await bench.service("n1").read(query)).coverage.state == "complete"
        await bench.cluster.nodes["n4"].crash()
        # Nobody has noticed yet: the failed reader itself shows it.
        with pytest.raises(CoverageTooLow, match="away: n4"):
            await bench.service("n1").read(query)
        answer = await bench.service("n1").read(replace(query, require="local"))
        assert answer.coverage.state == "local"
        assert set(answer.coverage.replicas) == {"n4"}
        assert len(answer.rows) == len(ROWS)

    play(test)


def test_limits_on_queries_rows_and_time(play: Play) -> None:
    async def test(bench: Bench) -> None:
        service = bench.service("n1")
        await service.write("c", ROWS, "all")
        for wrong in (Query("c", timeout_ms=0), Query("c", timeout_ms=10**9), Query("c", limit=0)):
            with pytest.raises(BadRequest):
                await service.read(wrong)
        bench.cluster.network.weather = Weather(delay_ms=50.0, slow_share=0.0)
        with pytest.raises(DeadlineExceeded):
            await service.read(Query("c", timeout_ms=5))
        object.__setattr__(service._parts.limits, "response_rows_max", 1_000)
        with pytest.raises(TooLarge, match="response_rows_max=1000"):
            await service.read(Query("c"))
        object.__setattr__(service._parts.limits, "queries_max", 2)
        first = [asyncio.ensure_future(service.read(Query("c", limit=5))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="queries_max=2"):
            await service.read(Query("c"))
        await asyncio.gather(*first)

    play(test)


def test_a_caller_that_leaves_stops_its_work_elsewhere(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        engine = bench.service("n4").engine
        scan, steps = engine.scan, 0

        def counted(wanted: Scan, *, after: Key | None = None, rows_max: int | None = None) -> Step:
            nonlocal steps
            steps += 1
            if steps == 3:
                query.cancel()
            return scan(wanted, after=after, rows_max=rows_max)

        engine.scan = counted  # type: ignore[method-assign]
        query = asyncio.ensure_future(bench.service("n1").read(Query("c")))
        with pytest.raises(asyncio.CancelledError):
            await query
        await asyncio.sleep(1)
        assert steps < 10, "it went on"
        assert bench.service("n1").counters["queries_cancelled"] == 1
        assert bench.service("n4").counters["queries_cancelled"] == 1

    play(test, steps=1)


def test_a_slow_owner_is_hedged_and_a_failed_one_replaced(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        await bench.wait_settled()
        bench.cluster.network.block(["n4"], ["n1"])
        answer = await bench.service("n1").read(Query("c"))
        assert identities(answer.rows) == brute(Query("c"))
        assert bench.service("n1").counters["queries_hedged"] == 1
        assert answer.coverage.state == "complete"
        await bench.cluster.nodes["n4"].crash()
        answer = await bench.service("n1").read(Query("c"))
        assert identities(answer.rows) == brute(Query("c"))
        assert answer.coverage.state == "local" and list(answer.coverage.away) == ["n4"]

    play(test)


@pytest.mark.parametrize("groups", [(["n1", "n2"], ["n3", "n4"]), (["n1"], ["n2", "n3", "n4"])])
def test_members_behind_a_cut_are_given_up_long_before_the_time_for_them_is_over(
    play: Play, groups: tuple[list[str], list[str]]
) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        bench.cluster.network.split(*groups)
        reader, begun_s = bench.service("n1"), bench.loop.time()
        answer = await reader.read(Query("c"))
        assert bench.loop.time() - begun_s < 2.5
        assert set(answer.coverage.away) >= set(groups[1]) - {"n2"}
        if len(groups[0]) == 2:
            assert identities(answer.rows) == brute(Query("c"))
            assert answer.coverage.state == "local"
        begun_s = bench.loop.time()
        reply = await reader.write("c", make_rows(500, seed=5))
        assert reply.acknowledged and bench.loop.time() - begun_s < 5

    play(test)
