"""The mover on a quiet simulated network: differences flow both ways, in steps, newest first."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from node.config import MoverSettings
from node.peer.transport import Message
from node.protocol.throttle import BUSY_STEP_BYTES_MAX
from node.query import Query
from node.records import Rows, concat_rows, record_digests
from node.service.mover.job import Job
from node.service.mover.link import Link
from node.service.mover.progress import Progress
from node.service.mover.region import Region
from node.service.mover.release import buckets_of
from node.storage.bucket_digests import DAY_MAX, DAY_MIN, DAY_US
from node.storage.engine import Scan
from tests.sim.network import Weather
from tests.unit.node.service.conftest import Bench, Play, identities, make_rows
from zring.span import EVERYTHING, contains, subtract


def stored(bench: Bench, name: str, collection: str = "c") -> Rows:
    """Everything in one node's store."""
    parts, after = [], None
    while True:
        step = bench.service(name).engine.scan(Scan(collection, deletions=True), after=after)
        parts.append(step.rows)
        after = step.resume
        if after is None:
            return concat_rows(parts)


def digest(rows: Rows) -> int:
    return int(record_digests("c", rows).sum(dtype=np.uint64))


async def put(bench: Bench, name: str, rows: Rows, collection: str = "c") -> None:
    """Into one store, past all rules: a difference that nothing has announced."""
    await bench.service(name).engine.write([(collection, rows)])


def with_values(rows: Rows, value: float) -> Rows:
    return rows.with_values({"temp": pa.array(np.full(len(rows), value))})


async def repair(bench: Bench) -> None:
    for service in bench.services:
        service._mover.repair()
    await bench.wait_settled()


@pytest.mark.parametrize("steps", [100_000, 7])
def test_differences_flow_both_ways(play: Play, steps: int) -> None:
    async def test(bench: Bench) -> None:
        shared = make_rows(400, seed=1)
        for name in bench.cluster.names:
            await put(bench, name, shared)
        await put(bench, "n1", make_rows(30, seed=2))
        await put(bench, "n2", make_rows(30, seed=3))
        await put(bench, "n2", make_rows(3, seed=4), "other")
        await repair(bench)
        assert len(stored(bench, "n1")) == len(stored(bench, "n2")) == 460
        assert digest(stored(bench, "n1")) == digest(stored(bench, "n2"))
        assert len(stored(bench, "n1", "other")) == 3

    play(test, nodes=2, replicas=1, steps=steps)


def test_newer_versions_and_greater_contents_win_everywhere(play: Play) -> None:
    async def test(bench: Bench) -> None:
        rows = make_rows(90, seed=5)
        first, second, third = rows.slice(0, 30), rows.slice(30, 60), rows.slice(60, 90)
        newer = Rows.build(
            time=first.time, lon=first.lon, lat=first.lat, code=first.code, sensor=first.sensor,
            version=np.full(30, 5, np.int64), values={}, deleted=np.ones(30, np.bool_),
        )  # fmt: skip
        await put(bench, "n1", rows)
        await put(bench, "n2", newer)
        await put(bench, "n2", with_values(second, 1.0))
        await put(bench, "n2", third)
        await repair(bench)
        assert digest(stored(bench, "n1")) == digest(stored(bench, "n2"))
        assert int(stored(bench, "n1").deleted.sum()) == 30
        moved = sum(service.counters["records_moved"] for service in bench.services)
        assert moved == 60, "what was equal stayed where it is"

    play(test, nodes=2, replicas=1)


def test_agreement_costs_one_question_a_collection(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await put(bench, "n1", make_rows(500))
        await put(bench, "n2", make_rows(500))
        before = [dict(service.counters) for service in bench.services]
        await repair(bench)
        after = [dict(service.counters) for service in bench.services]
        for old, new in zip(before, after, strict=True):
            assert new["records_moved"] == 0
            assert new["bytes_received"] - old["bytes_received"] < 100

    play(test, nodes=2, replicas=1)


def test_a_lost_store_is_filled_again(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", make_rows(300), "all")
        await bench.wait_settled()
        before = digest(stored(bench, "n2"))
        node = bench.cluster.nodes["n2"]
        await node.crash()
        node.wipe()
        await node.start()
        await bench.wait_until(lambda: len(stored(bench, "n2")) > 0)
        await bench.wait_settled()
        assert digest(stored(bench, "n2")) == before

    play(test)


def test_a_restarted_node_compares_and_finds_nothing(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", make_rows(300), "all")
        await bench.wait_settled()
        node = bench.cluster.nodes["n1"]
        await node.crash()
        bench.cluster.network.split(["n1"], ["n2", "n3", "n4"])
        await node.start()
        owed = bench.service("n1")._parts.members.outstanding
        assert owed.summary(), "after a start everything counts as outstanding"
        bench.cluster.network.heal()
        await bench.wait_settled()
        assert not owed.summary()
        assert bench.service("n1").counters["records_moved"] == 0

    play(test)


def test_a_peer_that_is_back_is_not_kept_waiting_for_its_former_failures(play: Play) -> None:
    async def test(bench: Bench) -> None:
        node, mover = bench.cluster.nodes["n2"], bench.service("n1")._mover
        await node.crash()
        await bench.service("n1").write("c", make_rows(300))
        peer = mover._peer("n2")
        peer.failures, peer.failed_ms = 9, bench.cluster.nodes["n1"].clock.now_ms()
        peer.retry_at_ms = peer.failed_ms + 3_600_000
        await bench.wait_until(lambda: "n2" in bench.service("n1").status().coverage.away)
        await node.start()
        await bench.wait_until(lambda: len(stored(bench, "n2")) == 300, seconds=10)

    play(test, nodes=2, replicas=1)


def test_a_slow_link_carries_the_newest_days_first_and_live_copies_before_them(play: Play) -> None:
    async def test(bench: Bench) -> None:
        bench.cluster.network.weather = Weather(delay_ms=200, slow_share=0.0)
        backlog = make_rows(3_000, days=20)
        await put(bench, "n1", backlog)
        mover = bench.service("n1")._mover
        mover.repair()
        await bench.wait_until(lambda: len(stored(bench, "n2")) > 0)
        began_s = bench.loop.time()
        live = make_rows(5, seed=77, days=1)
        writing = asyncio.ensure_future(bench.service("n1").write("live", live))
        days: list[int] = []
        while len(stored(bench, "n2")) < len(backlog):
            days.append(int(stored(bench, "n2").time.min()) // DAY_US)
            if bench.loop.time() - began_s > 5:
                assert len(stored(bench, "n2", "live")) == 5, "live copies do not wait"
            assert bench.loop.time() - began_s < 200
            peers = mover.statistics().peers
            assert peers["n2"].records_left > 0 and peers["n2"].bytes_per_s < 20_000
            await asyncio.sleep(1)
        await writing
        assert len(days) > 10 and days == sorted(days, reverse=True)

    play(test, nodes=2, replicas=1, mover=MoverSettings(link_bytes_per_s_max=8_000))


def test_over_a_slow_link_the_newest_come_before_any_comparison(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each collection, as soon as there is contact again."""
    call, carried = Link._call, list[tuple[str, str]]()

    async def noted(
        self: Link, kind: str, header: dict[str, Any], body: bytes | memoryview
    ) -> Message:
        reply = await call(self, kind, header, body)
        carried.append((kind, str(header.get("collection"))))
        return reply

    monkeypatch.setattr(Link, "_call", noted)

    async def test(bench: Bench) -> None:
        node = bench.cluster.nodes["n2"]
        await node.crash()
        for collection, days in (("old", 20), ("new", 30)):
            rows = make_rows(2_000, days=days)
            await bench.service("n1").write(collection, rows)
            newest = rows.take(np.argsort(-rows.time)[:30])
        carried.clear()
        await node.start()
        await bench.wait_until(lambda: len(carried) >= 3)
        assert carried[:3] == [("copy", "new"), ("copy", "old"), ("digests", "new")]
        found = set(identities(stored(bench, "n2", "new")))
        assert found >= set(identities(newest))

    play(test, nodes=2, replicas=1, mover=MoverSettings(link_bytes_per_s_max=8_000))


def test_pieces_are_small_and_one_at_a_time_while_people_are_served(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, sizes, under_way, most = Link.copy, list[int](), 0, 0

    async def noted(self: Link, collection: str, rows: Rows) -> None:
        nonlocal under_way, most
        sizes.append(rows.nbytes())
        under_way += 1
        most = max(most, under_way)
        await copy(self, collection, rows)
        under_way -= 1

    monkeypatch.setattr(Link, "copy", noted)

    async def test(bench: Bench) -> None:
        nonlocal most
        backlog = make_rows(30_000)
        for served in (False, True):
            sizes.clear()
            most = 0
            if served:
                await bench.cluster.nodes["n2"].crash()
                bench.cluster.nodes["n2"].wipe()
                await bench.cluster.nodes["n2"].start()
            else:
                await put(bench, "n1", backlog)
                bench.service("n1")._mover.repair()
            while len(stored(bench, "n2")) < len(backlog):
                if served:
                    await bench.service("n1").read(Query("c", limit=1))
                await asyncio.sleep(0.05)
            if served:
                assert max(sizes) < 1.5 * BUSY_STEP_BYTES_MAX and most == 1
            else:
                assert max(sizes) > 2 * BUSY_STEP_BYTES_MAX

    play(test, nodes=2, replicas=1, steps=100_000)


def test_settling_is_the_last_piece_of_a_hand_over(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await put(bench, "n1", make_rows(200))
        mover, clock = bench.service("n1")._mover, bench.cluster.nodes["n1"].clock
        assert await mover.settle("n2", EVERYTHING, deadline_ms=clock.now_ms() + 1_000)
        assert digest(stored(bench, "n2")) == digest(stored(bench, "n1"))
        bench.cluster.network.split(["n1"], ["n2"])
        await put(bench, "n1", make_rows(20, seed=9))
        assert not await mover.settle("n2", EVERYTHING, deadline_ms=clock.now_ms() + 1_000)

    play(test, nodes=2, replicas=1)


def test_draining_hands_over_or_says_what_it_could_not(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await put(bench, "n1", make_rows(200))
        mover, clock = bench.service("n1")._mover, bench.cluster.nodes["n1"].clock
        mover.repair()
        assert await mover.drain(deadline_ms=clock.now_ms() + 5_000) == {}
        assert len(stored(bench, "n2")) == 200
        bench.cluster.network.split(["n1"], ["n2"])
        mover.repair()
        left = await mover.drain(deadline_ms=clock.now_ms() + 3_000)
        assert set(left) == {"n2"}

    play(test, nodes=2, replicas=1)


def test_statistics_say_why_a_peer_waits(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.cluster.nodes["n2"].crash()
        await bench.service("n1").write("c", make_rows(20), timeout_ms=3_000)
        await bench.wait_until(lambda: "n2" in bench.service("n1").status().coverage.away)
        progress = bench.service("n1").mover_statistics().peers["n2"]
        assert (progress.phase, progress.reason) == ("waiting", "n2 is away")
        await bench.cluster.nodes["n2"].start()
        await bench.wait_settled()
        progress = bench.service("n1").mover_statistics().peers["n2"]
        assert progress.phase == "idle" and progress.records_moved == 20

    play(test, nodes=2, replicas=1)


def test_reading_digests_of_all_time(play: Play) -> None:
    async def test(bench: Bench) -> None:
        rows = make_rows(3)
        rows = Rows.build(
            time=np.array([-(1 << 62), 0, (1 << 62) - 1]), lon=rows.lon, lat=rows.lat,
            code=rows.code, sensor=rows.sensor, values={},
        )  # fmt: skip
        await put(bench, "n1", rows)
        found = await bench.service("n1").engine.digests(
            "c", level=0, spans=EVERYTHING, day_start=DAY_MIN, day_stop=DAY_MAX, by_day=True
        )
        await repair(bench)
        assert len((await bench.service("n2").read(Query("c"))).rows) == len(found) == 3

    play(test, nodes=2, replicas=1)


def test_a_keeper_lets_go_once_every_holder_has_it(play: Play) -> None:
    async def test(bench: Bench) -> None:
        keeper, service = "n1", bench.service("n1")
        foreign = subtract(EVERYTHING, service._parts.members.holding.held)
        rows = make_rows(200)
        kept = rows.where(contains(foreign, rows.code))
        others = [name for name in bench.cluster.names if name != keeper]
        bench.cluster.network.split([keeper], others)
        await bench.wait_until(lambda: len(service.status().coverage.away) == 3)
        assert (await service.write("c", kept, timeout_ms=3_000)).stored == len(kept) > 20
        assert len(stored(bench, keeper)) == len(kept)
        bench.cluster.network.heal()
        bench.cluster.network.split([keeper], ["n4"])
        await bench.wait_until(lambda: len(service.status().coverage.away) == 1)
        await asyncio.sleep(20)
        assert len(stored(bench, keeper)) > 0, "n4 has not confirmed"
        assert service.mover_statistics().letting_go == "n4 is away"
        bench.cluster.network.heal()
        await bench.wait_settled()
        assert len(stored(bench, keeper)) == 0 and service.counters["records_removed"] == len(kept)
        assert len((await service.read(Query("c"))).rows) == len(kept)

    play(test)


def test_what_a_former_process_of_a_holder_confirmed_is_asked_again(play: Play) -> None:
    """Its disk may be an old image with the same id; nobody can tell before it is compared."""

    async def test(bench: Bench) -> None:
        service = bench.service("n1")
        mover, view = service._mover, service._parts.members.view()
        foreign = subtract(EVERYTHING, view.holders.spans_of("n1"))
        rows = make_rows(60)
        await put(bench, "n1", rows.where(contains(foreign, rows.code)))
        mine = await service.engine.digests(
            "c", level=4, spans=foreign, day_start=DAY_MIN, day_stop=DAY_MAX, by_day=True
        )

        def confirmed() -> bool:
            return "n3" not in mover._letting_go.unconfirmed(
                "c",
                mine,
                view.holders,
                ring_digest=service.ring.digest(),
                stores=mover._release._stores(view.holders),
            )

        bench.cluster.network.split(["n1"], ["n4"])  # without it nothing goes
        node = bench.cluster.nodes["n3"]
        job = Job(service._parts, mover._link("n3", Progress()), mover._letting_go)
        assert await job.bring([Region("c", EVERYTHING, foreign=True)])
        confirmed_by = mover._letting_go._confirmed["n3", "c"].store
        assert confirmed() and confirmed_by == service._parts.members.store_at("n3")
        await node.crash()
        assert confirmed(), "who is away has confirmed all the same"
        await node.start()
        await bench.wait_until(
            lambda: service._parts.members.store_at("n3")[1] == node.service._parts.members.instance
        )
        await bench.wait_until(
            lambda: mover._letting_go._confirmed["n3", "c"].store != confirmed_by
        )
        assert confirmed() and len(stored(bench, "n1"))
        bench.cluster.network.heal()
        await bench.wait_settled()
        assert len(stored(bench, "n1")) == 0

    play(test)


def test_what_comes_while_letting_go_stays(play: Play) -> None:
    async def test(bench: Bench) -> None:
        service = bench.service("n1")
        foreign = subtract(EVERYTHING, service._parts.members.holding.held)
        rows = make_rows(100)
        kept = rows.where(contains(foreign, rows.code))
        await put(bench, "n1", kept)
        mine = await service.engine.digests(
            "c", level=4, spans=foreign, day_start=DAY_MIN, day_stop=DAY_MAX, by_day=True
        )
        await put(bench, "n1", replace(kept.slice(0, 1), version=np.array([1])))
        holding = service._parts.members.holding
        gone = await holding.let_go(
            "c",
            buckets_of(mine, np.arange(len(mine)), grain_level=4),
            codes=(),
            ring_digest=holding.ring.digest(),
        )
        assert gone.count(False) == 1
        assert not any(
            await holding.let_go(
                "c", buckets_of(mine, np.arange(len(mine)), grain_level=4), codes=(), ring_digest=5
            )
        ), "another ring is in force"

    play(test)
