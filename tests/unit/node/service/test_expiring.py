"""Expiry on a simulated network: days rise by agreement of clocks, and nothing brings rows back."""

import asyncio
from dataclasses import replace

import pytest

from node.peer.transport import Message
from node.protocol.expiry import Expiry
from node.protocol.rules import Rules
from node.query import AggregateQuery, Query
from node.records import Rows
from node.service.expiring import LOOK_MS
from node.service.service import Service
from node.storage.bucket_digests import DAY_US
from tests.sim.loop import VirtualClock
from tests.unit.node.service.conftest import Bench, Play, make_rows
from tests.unit.node.service.test_mover import stored

COPY = Message("copy", {"from": "n9"})
TODAY = VirtualClock.EPOCH_US // DAY_US
KEEP_DAYS = 100
FIRST = TODAY - KEEP_DAYS
LOOK_S = LOOK_MS / 1_000
YEAR_US = 365 * DAY_US


def rows_of_day(day: int, *, count: int = 12, seed: int = 3) -> Rows:
    rows = make_rows(count, seed=seed, days=1)
    return replace(rows, time=day * DAY_US + rows.time % DAY_US)


async def keep(bench: Bench, name: str = "n1") -> None:
    """Somebody commits that records are kept for so many days."""
    holding = bench.service(name)._parts.members.holding
    await holding.change(holding.ring.with_settings(keep_days={"c": KEEP_DAYS}))


def first_day(service: Service) -> int | None:
    return service.ring.settings.expiry_days.get("c")


def all_raised(bench: Bench) -> bool:
    return all(first_day(service) == FIRST for service in bench.services)


async def times_read(service: Service) -> list[int]:
    answer = await service.read(Query("c"))
    return sorted(set((answer.rows.time // DAY_US).tolist()))


def days_stored(bench: Bench, name: str) -> list[int]:
    return sorted(set((stored(bench, name).time // DAY_US).tolist()))


async def fill(bench: Bench) -> None:
    for day in (FIRST - 2, FIRST - 1, FIRST, TODAY):
        await bench.service("n2").write("c", rows_of_day(day), "all")


def test_a_day_rises_everywhere_and_older_records_are_dropped(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await fill(bench)
        await keep(bench)
        await bench.wait_until(lambda: all_raised(bench), seconds=3 * LOOK_S)
        for name in bench.cluster.names:
            await bench.wait_until(lambda name=name: days_stored(bench, name) == [FIRST, TODAY])
            assert await times_read(bench.service(name)) == [FIRST, TODAY]
        assert await times_read(bench.service("n3")) == [FIRST, TODAY]
        await bench.wait_settled()

    play(test)


def test_what_is_older_is_in_no_answer_while_it_is_still_on_a_disk(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await fill(bench)
        for service in bench.services:
            service._expiring._dropped = {"c": FIRST}  # as if the sweep had been
        holding = bench.service("n1")._parts.members.holding
        await holding.change(holding.ring.expired({"c": FIRST}))
        await bench.wait_until(lambda: all_raised(bench))
        assert days_stored(bench, "n1") == [FIRST - 2, FIRST - 1, FIRST, TODAY]
        for service in bench.services:
            assert await times_read(service) == [FIRST, TODAY]
            whole = Query("c", time_start=0, time_stop=(TODAY + 1) * DAY_US)
            latest = await service.latest(replace(whole, time_stop=FIRST * DAY_US))
            assert not len(latest.rows)
            nearest = await service.nearest(
                whole, lon=int(make_rows(1).lon[0]), lat=int(make_rows(1).lat[0]), count=5
            )
            assert (nearest.rows.time >= FIRST * DAY_US).all()
            groups = await service.aggregate(AggregateQuery(whole))
            assert groups.table["count"].to_pylist() == [24]
            parts = [part async for part in service.stream(Query("c"))]
            assert sum(len(part.rows) for part in parts) == 24
            assert (await service.explain(Query("c")))["rows"] == 24

    play(test)


def test_an_isolated_node_that_missed_the_raise_brings_nothing_back(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await fill(bench)
        network, names = bench.cluster.network, bench.cluster.names
        network.split(["n4"], [name for name in names if name != "n4"])
        await bench.wait_until(lambda: "n4" in bench.service("n1").status().coverage.away)
        await keep(bench)
        others = [bench.service(name) for name in names if name != "n4"]
        await bench.wait_until(
            lambda: all(first_day(service) == FIRST for service in others), seconds=3 * LOOK_S
        )
        assert first_day(bench.service("n4")) is None
        lonely = bench.service("n4")
        reply = await lonely.write("c", rows_of_day(FIRST - 1, count=30, seed=9))
        assert reply.stored == 30
        assert FIRST - 1 in await times_read(lonely)
        network.heal()
        await bench.wait_settled()
        for name in names:
            bench.service(name)._mover.repair()
        await bench.wait_settled()
        assert all_raised(bench)
        for name in names:
            await bench.wait_until(lambda name=name: days_stored(bench, name) == [FIRST, TODAY])
            assert await times_read(bench.service(name)) == [FIRST, TODAY]

    play(test)


def test_repair_neither_brings_expired_records_back_nor_sends_them(play: Play) -> None:
    """One node's sweep was late: its rows are outside every comparison."""

    async def test(bench: Bench) -> None:
        await fill(bench)
        await keep(bench)
        await bench.wait_until(lambda: all_raised(bench), seconds=3 * LOOK_S)
        await bench.wait_until(lambda: days_stored(bench, "n1") == [FIRST, TODAY])
        await bench.service("n2").engine.write([("c", rows_of_day(FIRST - 1, seed=11))])
        before = [service.counters["records_moved"] for service in bench.services]
        for service in bench.services:
            service._mover.repair()
        await bench.wait_settled()
        assert [service.counters["records_moved"] for service in bench.services] == before
        assert days_stored(bench, "n1") == [FIRST, TODAY]
        late = bench.service("n1")._writer
        await late.store_copy("c", rows_of_day(FIRST - 1, seed=12), [], COPY)
        assert days_stored(bench, "n1") == [FIRST, TODAY]
        assert bench.service("n1").counters["records_expired"] == 12
        await bench.service("n2")._expiring._drop(again=True)
        assert days_stored(bench, "n2") == [FIRST, TODAY]

    play(test)


@pytest.mark.parametrize("off_us", [600_000_000, -600_000_000, YEAR_US, -YEAR_US])
def test_a_wrong_clock_is_outvoted(play: Play, off_us: int) -> None:
    async def test(bench: Bench) -> None:
        clock = bench.cluster.nodes["n1"].clock
        clock.skew_us = off_us
        await asyncio.sleep(LOOK_S / 10)
        for service in bench.services:
            # They start with the clock as it is: one that jumps meanwhile is waited for, an hour.
            service._expiring._expiry = Expiry(
                now_us=service._parts.clock.now_us(), now_ms=service._parts.clock.now_ms()
            )
        await fill(bench)
        await keep(bench)
        await bench.wait_until(lambda: all_raised(bench), seconds=3 * LOOK_S)
        assert await times_read(bench.service("n1")) == [FIRST, TODAY]


def test_after_a_jump_nothing_rises_for_now(play: Play) -> None:
    async def test(bench: Bench) -> None:
        bench.cluster.nodes["n1"].clock.skew_us += 600_000_000
        await asyncio.sleep(LOOK_S / 10)
        await keep(bench)
        await asyncio.sleep(2 * LOOK_S)
        assert all(first_day(service) is None for service in bench.services)

    play(test)


def test_sensors_of_1970_and_2099_are_stored_where_their_time_says(play: Play) -> None:
    async def test(bench: Bench) -> None:
        holding = bench.service("n1")._parts.members.holding
        await holding.change(holding.ring.with_settings(keep_days={"c": 30_000}))
        for day in (0, 47_481):
            reply = await bench.service("n2").write("c", rows_of_day(day), "all")
            assert reply.stored == 12
        wanted = TODAY - 30_000
        await bench.wait_until(lambda: first_day(bench.service("n3")) == wanted, seconds=3 * LOOK_S)
        assert await times_read(bench.service("n3")) == [0, 47_481]

    play(test)


def test_without_the_rules_expired_records_come_back(play: Play) -> None:
    """Each switch alone is seen: on disk, in answers, in what is moved."""

    async def test(bench: Bench) -> None:
        await fill(bench)
        holding = bench.service("n1")._parts.members.holding
        for service in bench.services:
            service._expiring._dropped = {"c": FIRST}
        await holding.change(holding.ring.expired({"c": FIRST}))
        await bench.wait_until(lambda: all_raised(bench))
        for service in bench.services:
            parts = service._parts
            lax = replace(parts, rules=Rules(expired_hidden=False))
            service._reader._parts = lax
        assert FIRST - 1 in await times_read(bench.service("n1"))
        writer = bench.service("n1")._writer
        writer._parts = replace(writer._parts, rules=Rules(expired_refused=False))
        await writer.store_copy("c", rows_of_day(FIRST - 5, seed=12), [], COPY)
        assert FIRST - 5 in days_stored(bench, "n1")

    play(test)
