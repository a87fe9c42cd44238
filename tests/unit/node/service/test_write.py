"""Writes: where copies go, what is said of them, and how they get there in the end."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from node.errors import Overloaded, StoreFull
from node.peer.transport import Message
from node.query import Query, WriteReply
from node.records import Rows
from node.storage.engine import Scan
from tests.sim.cluster import SKEW_US_MAX
from tests.sim.loop import VirtualClock
from tests.unit.node.service.conftest import Bench, Play, identities, make_rows
from zring.placement import holder_map
from zring.ring import to_document
from zring.span import contains

ROWS = make_rows(300)


def held(bench: Bench, name: str) -> set[tuple[str, int, int]]:
    return set(identities(bench.service(name).engine.scan(Scan("c")).rows))


def should_hold(bench: Bench, name: str, rows: Rows = ROWS) -> set[tuple[str, int, int]]:
    holders = holder_map(bench.cluster.ring)
    return {
        identity
        for identity, code in zip(identities(rows), rows.code.tolist(), strict=True)
        if name in holders.holders_at(code)
    }


@pytest.mark.parametrize(("w", "durable"), [("one", 1), ("quorum", 2), ("all", 3)])
def test_every_holder_gets_its_copy_and_no_other_node(play: Play, w: str, durable: int) -> None:
    async def test(bench: Bench) -> None:
        reply = await bench.service("n2").write("c", ROWS, w)  # type: ignore[arg-type]
        assert (reply.stored, reply.copies_wanted, reply.acknowledged) == (300, 3, True)
        assert reply.copies_durable >= durable
        await bench.wait_settled()
        for name in bench.cluster.names:
            assert held(bench, name) == should_hold(bench, name)

    play(test, steps=10_000)


def test_no_rows(play: Play) -> None:
    async def test(bench: Bench) -> None:
        reply = await bench.service("n1").write("c", ROWS.slice(0, 0), "all")
        assert reply == WriteReply(0, 0, 0, True)

    play(test)


def test_a_node_alone_keeps_everything_and_hands_it_back(play: Play) -> None:
    """Experiment N1: only one node runs; each record ends on its node without help."""

    async def test(bench: Bench) -> None:
        for name in ("n2", "n3", "n4"):
            await bench.cluster.nodes[name].crash()
        service = bench.service("n1")
        reply = await service.write("c", ROWS, "quorum")
        assert (reply.stored, reply.copies_durable, reply.acknowledged) == (300, 1, False)
        assert reply.lacking == dict.fromkeys(("n2", "n3", "n4"), "peer-unreachable")
        assert service.counters["records_kept"] > 0
        await bench.wait_until(lambda: len(service.status().coverage.away) == 3)
        answer = await service.read(Query("c"))
        assert answer.coverage.state in ("local", "partial")
        for name in ("n2", "n3", "n4"):
            await bench.cluster.nodes[name].start()
        seen = set()
        while not all(should_hold(bench, n) <= held(bench, n) for n in bench.cluster.names):
            seen.add((await bench.service("n3").read(Query("c"))).coverage.state)
            await asyncio.sleep(0.05)
        assert "complete" not in seen, "nothing is complete before everything is handed back"
        await bench.wait_settled()
        answer = await bench.service("n3").read(Query("c"))
        assert answer.coverage.state == "complete" and len(answer.rows) == 300

    play(test, steps=10_000)


def test_the_keeper_remembers_what_it_owes_through_a_crash(play: Play) -> None:
    async def test(bench: Bench) -> None:
        for name in ("n2", "n3", "n4"):
            await bench.cluster.nodes[name].crash()
        await bench.service("n1").write("c", ROWS)
        await bench.cluster.nodes["n1"].crash()
        for name in bench.cluster.names:
            await bench.cluster.nodes[name].start()
        await bench.wait_settled()
        for name in bench.cluster.names:
            assert held(bench, name) >= should_hold(bench, name)

    play(test, steps=10_000)


def test_whoever_got_a_copy_owes_it_to_those_who_were_absent(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.cluster.nodes["n4"].crash()
        await bench.wait_until(
            lambda: all("n4" in s.status().coverage.away for s in bench.services)
        )
        await bench.service("n1").write("c", ROWS, "all")
        await bench.cluster.nodes["n1"].crash()
        await bench.cluster.nodes["n4"].start()
        await bench.wait_until(lambda: should_hold(bench, "n4") <= held(bench, "n4"))

    play(test, steps=10_000)


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_copy_of_a_process_that_is_gone_is_owed_to_every_holder(
    play: Play, cancelled: bool
) -> None:
    """Its sender died and lost its disk; whoever got the copy may be the only one who has it."""

    async def test(bench: Bench) -> None:
        service, disk = bench.service("n2"), bench.cluster.nodes["n2"].disk
        instance = bench.service("n1")._parts.members.instance
        header = {"from": "n1", "instance": instance + (not cancelled), "lines": [[1, len(ROWS)]]}
        stored, quick = asyncio.Event(), disk.wait
        disk.wait = stored.wait  # type: ignore[assignment]
        copy = asyncio.create_task(
            service._writer.store_copy("c", ROWS, [], Message("copy", header))
        )
        await asyncio.sleep(1)
        if cancelled:
            copy.cancel()
        stored.set()
        await asyncio.wait((copy,))
        assert copy.cancelled() == cancelled
        disk.wait = quick
        await bench.wait_until(lambda: held(bench, "n2") == should_hold(bench, "n2"))
        for name in bench.cluster.names:
            assert held(bench, name) == should_hold(bench, name)

    play(test, steps=10_000)


def test_whoever_is_refilled_owes_it_to_those_who_still_lack_it(play: Play) -> None:
    """n3 is full; n2 loses its disk and is refilled by others, who may go away any time."""

    async def test(bench: Bench) -> None:
        bench.cluster.nodes["n3"].disk.bytes_max = 0
        await bench.service("n2").write("c", ROWS)
        node = bench.cluster.nodes["n2"]
        await bench.wait_until(lambda: held(bench, "n4") >= should_hold(bench, "n4"))
        await node.crash()
        node.wipe()
        await node.start()
        await bench.wait_until(lambda: held(bench, "n2") >= should_hold(bench, "n2"))
        lacking = should_hold(bench, "n3") & held(bench, "n2")
        owed = bench.service("n2")._parts.members.outstanding.summary()["n3"]
        assert contains(owed, np.array([code for _, _, code in lacking])).all()

    play(test, steps=10_000)


def test_a_full_owner_is_passed_over(play: Play) -> None:
    async def test(bench: Bench) -> None:
        bench.cluster.nodes["n1"].disk.bytes_max = 0
        mine = ROWS.where(ROWS.code < 1 << 60)
        reply = await bench.service("n3").write("c", mine, "one")
        assert (reply.stored, reply.acknowledged) == (len(mine), True)
        for node in bench.cluster.nodes.values():
            node.disk.bytes_max = 0
        with pytest.raises(StoreFull):
            await bench.service("n3").write("c", mine, "one")
        assert bench.service("n3").counters["writes_refused"] == 1

    play(test)


def test_a_keeper_stops_before_its_own_area_has_no_room(play: Play) -> None:
    async def test(bench: Bench) -> None:
        others, service = ["n2", "n3", "n4"], bench.service("n1")
        bench.cluster.network.split(["n1"], others)
        await bench.wait_until(lambda: len(service.status().coverage.away) == 3)
        await service.write("c", ROWS, "one", timeout_ms=3_000)
        disk, kept = bench.cluster.nodes["n1"].disk, service.counters["records_kept"]
        disk.bytes_max = int(disk.bytes_used / 0.87)
        rows = make_rows(30, seed=9)
        mine = contains(service._parts.members.holding.held, rows.code)
        assert 8 < mine.sum() < 22
        with pytest.raises(StoreFull, match="other nodes' areas"):
            await service.write("c", rows.where(~mine), "one", timeout_ms=3_000)
        reply = await service.write("c", rows, "one", timeout_ms=3_000)
        assert (reply.stored, reply.acknowledged) == (mine.sum(), False)
        assert service.counters["records_kept"] == kept > 0
        disk.bytes_max *= 2
        reply = await service.write("c", rows, "one", timeout_ms=3_000)
        assert (reply.stored, reply.acknowledged) == (len(rows), True)
        bench.cluster.network.heal()
        await bench.wait_settled()

    play(test, steps=10_000)


def test_the_same_batch_again_changes_nothing(play: Play) -> None:
    async def test(bench: Bench) -> None:
        for name in bench.cluster.names:
            await bench.service(name).write("c", ROWS, "all")
        answer = await bench.service("n1").read(Query("c"))
        assert len(answer.rows) == 300

    play(test, steps=10_000)


def test_corrections_win_over_what_comes_later(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        corrected = ROWS.with_values({"fixed": ROWS.values["count"]})
        await bench.service("n2").write("c", corrected, "all", replace=True)
        again = ROWS.with_values({"fixed": ROWS.values["temp"]})
        await bench.service("n2").write("c", again, "all", replace=True)
        await bench.service("n3").write("c", ROWS, "all")
        rows = (await bench.service("n4").read(Query("c"))).rows
        assert rows.version.min() > VirtualClock.EPOCH_US - SKEW_US_MAX
        for name in ("temp", "count", "name"):
            assert rows.values[name].null_count == len(rows), "a record is replaced whole"
        assert str(rows.values["fixed"].type) == "double"

    play(test, steps=10_000)


def test_a_deletion_wins_at_every_reader(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        await bench.cluster.nodes["n1"].crash()
        gone = replace(
            ROWS,
            version=np.full(len(ROWS), 5, np.int64),
            deleted=np.arange(len(ROWS)) % 2 == 0,
        )
        gone = gone.where(gone.deleted).with_values({})
        await bench.service("n2").write("c", gone, "all")
        assert len((await bench.service("n3").read(Query("c"))).rows) == 150
        acknowledged_us = bench.cluster.nodes["n4"].clock.now_us()
        await bench.cluster.nodes["n1"].start()
        for _ in range(30):
            answer = await bench.service("n4").read(Query("c"))
            if answer.coverage.as_of > acknowledged_us:
                assert len(answer.rows) == 150
            await asyncio.sleep(0.05)
        await bench.wait_settled()
        assert len((await bench.service("n4").read(Query("c"))).rows) == 150

    play(test, steps=10_000)


def test_a_full_queue_slows_and_then_refuses_writers(play: Play) -> None:
    async def test(bench: Bench) -> None:
        service = bench.service("n1")
        object.__setattr__(service._parts.limits, "write_queue_bytes_max", 1)
        mine = ROWS.where(ROWS.code < 1 << 60)
        bench.cluster.network.block(["n1"], ["n2", "n3", "n4"])
        await service.write("c", mine)
        with pytest.raises(Overloaded, match="write_queue_bytes_max"):
            await service.write("c", mine, timeout_ms=100)
        reply = await service.write("c", mine, timeout_ms=8_000)
        assert reply.stored == len(mine)

    play(test)


def test_rings_that_differ_are_merged_before_anything_is_served(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        newer = bench.cluster.ring.assign(((0, 1 << 58),), owner="n3")
        await bench.service("n1")._parts.members.adopt(to_document(newer))
        assert bench.service("n4").ring.digest() != newer.digest()
        box = Query("c")
        answer = await bench.service("n4").read(box)
        assert len(answer.rows) == 300
        assert bench.service("n4").ring.digest() == newer.digest()
        await bench.service("n1").write("c", make_rows(50, 9), "all")
        assert {service.ring.digest() for service in bench.services} == {newer.digest()}
        await bench.cluster.nodes["n4"].crash()
        await bench.cluster.nodes["n4"].start()
        assert bench.service("n4").ring.digest() == newer.digest(), "it was persisted"

    play(test, steps=10_000)


def test_a_wiped_node_is_filled_again_before_it_answers_alone(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        await bench.wait_settled()
        node = bench.cluster.nodes["n2"]
        await node.crash()
        node.wipe()
        await node.start()
        for _ in range(20):
            answer = await bench.service("n1").read(Query("c"))
            assert answer.coverage.state == "partial" or len(answer.rows) == 300
            await asyncio.sleep(0.1)
        await bench.wait_settled()
        await bench.wait_until(lambda: held(bench, "n2") == should_hold(bench, "n2"))
        await bench.wait_until(
            lambda: not any(m.unfilled for s in bench.services for m in s.status().members)
        )
        assert len((await bench.service("n1").read(Query("c"))).rows) == 300

    play(test, steps=10_000)
