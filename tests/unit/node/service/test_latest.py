"""The newest of each sensor and the nearest of these, against brute force."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from node.errors import BadRequest
from node.filter import parse_filter
from node.query import Query
from node.records import Rows
from node.service.latest import DEFAULT_WINDOW_US
from tests.unit.node.service.conftest import START_US, Bench, Play, identities, make_rows
from zring.area import Box, distances_m
from zring.domain import DEMO_DOMAIN

ROWS = make_rows(900, 5, sensors=60)
ALL_TIME = {"time_start": 0, "time_stop": 1 << 61}


def newest(rows: Rows) -> dict[str, int]:
    """Sensor → index of its newest row (the greater code of two at one time)."""
    best: dict[str, int] = {}
    for index, sensor in enumerate(rows.sensor.to_pylist()):
        known = best.get(sensor)
        mark = (int(rows.time[index]), int(rows.code[index]))
        if known is None or mark > (int(rows.time[known]), int(rows.code[known])):
            best[sensor] = index
    return best


@pytest.mark.parametrize("nodes", [1, 4])
def test_newest_of_each_sensor(play: Play, nodes: int) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        expected = set(identities(ROWS.take(np.array(sorted(newest(ROWS).values())))))
        for service in bench.services:
            answer = await service.latest(Query("c", **ALL_TIME))
            assert set(identities(answer.rows)) == expected
            first = await service.latest(Query("c", limit=7, **ALL_TIME))
            rest = await service.latest(Query("c", after=first.resume, **ALL_TIME))
            both = [*identities(first.rows), *identities(rest.rows)]
            assert both == identities(answer.rows)
        warm = Query("c", filter=parse_filter("temp > 15"), **ALL_TIME)
        temps = np.array([t is not None and t > 15 for t in ROWS.values["temp"].to_pylist()])
        rows = ROWS.where(temps)
        expected = set(identities(rows.take(np.array(sorted(newest(rows).values())))))
        assert set(identities((await bench.services[-1].latest(warm)).rows)) == expected

    play(test, nodes=nodes)


@pytest.mark.parametrize("nodes", [1, 4])
def test_one_clock_far_ahead_hides_nobody(play: Play, nodes: int) -> None:
    async def test(bench: Bench) -> None:
        end = int(ROWS.time.max())
        wrong = replace(ROWS.take(np.array([3])), time=np.array([1 << 55], np.int64))
        await bench.service("n1").write("c", ROWS, "all")
        await bench.service("n1").write("c", wrong, "all")
        recent = ROWS.where(ROWS.time >= end - DEFAULT_WINDOW_US)
        for service in bench.services:
            answer = await service.latest(Query("c"))
            assert set(answer.rows.sensor.to_pylist()) == set(recent.sensor.to_pylist())
            assert answer.rows.time.max() == end

    play(test, nodes=nodes)


def test_without_a_time_it_is_the_last_day_that_is_not_in_the_future(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        end = int(ROWS.time.max())
        recent = ROWS.where(ROWS.time >= end - DEFAULT_WINDOW_US)
        answer = await bench.service("n2").latest(Query("c"))
        assert set(answer.rows.sensor.to_pylist()) == set(recent.sensor.to_pylist())
        assert answer.rows.time.max() == end > START_US

    play(test)


@pytest.mark.parametrize("nodes", [1, 4])
def test_nearest(play: Play, nodes: int) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        rows = ROWS.take(np.array(sorted(newest(ROWS).values())))
        rng = Random(3)
        for _ in range(15):
            lon = rng.randint(DEMO_DOMAIN.west - 10**6, DEMO_DOMAIN.east + 10**6)
            lat = rng.randint(DEMO_DOMAIN.south - 10**6, DEMO_DOMAIN.north + 10**6)
            count = rng.choice([1, 3, 10, 60, 100])
            service = rng.choice(bench.services)
            answer = await service.nearest(Query("c", **ALL_TIME), lon=lon, lat=lat, count=count)
            distances = np.sort(distances_m(lon=rows.lon, lat=rows.lat, to_lon=lon, to_lat=lat))
            assert answer.distances_m is not None
            assert np.allclose(answer.distances_m, distances[:count])
            assert len(answer.rows) == min(count, len(rows))
            known = {sensor: int(ROWS.time[index]) for sensor, index in newest(ROWS).items()}
            for sensor, time in zip(
                answer.rows.sensor.to_pylist(), answer.rows.time.tolist(), strict=True
            ):
                assert known[sensor] == time, "an old position was taken for the newest"
        with pytest.raises(BadRequest, match="count=0"):
            await bench.service("n1").nearest(Query("c"), lon=0, lat=0, count=0)

    play(test, nodes=nodes)


def test_nearest_keeps_to_the_area(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        domain = DEMO_DOMAIN
        box = Box(domain.west, domain.south, domain.west + 8 * 10**6, domain.north)
        query = Query("c", area=box, **ALL_TIME)
        answer = await bench.service("n3").nearest(
            query, lon=domain.east, lat=domain.south, count=5
        )
        assert len(answer.rows) == 5
        assert box.contains(lon=answer.rows.lon, lat=answer.rows.lat).all()

    play(test)
