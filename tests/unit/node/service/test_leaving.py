"""Shutting down: new writes go elsewhere, what only one node has is handed over or counted."""

import asyncio

import pytest

from node.errors import Unavailable
from node.query import Query
from node.service.leaving import DRAIN_MS_MAX
from tests.unit.node.service.conftest import Bench, Play, make_rows
from tests.unit.node.service.test_mover import put, stored
from zring.morton import CODE_STOP


def test_a_node_that_drains_hands_over_and_takes_no_writes(play: Play) -> None:
    async def test(bench: Bench) -> None:
        leaving = bench.service("n1")
        await put(bench, "n1", make_rows(200))
        leaving._mover.repair()
        assert leaving.life == "serving"
        left = await leaving.drain()
        assert (left.records, left.owed) == (0, {})
        assert "on another node as well" in left.describe()
        assert len(stored(bench, "n2")) + len(stored(bench, "n3")) + len(stored(bench, "n4")) >= 400
        assert leaving.life == "draining"
        with pytest.raises(Unavailable, match="shutting down"):
            await leaving.write("c", make_rows(3))
        assert len((await leaving.read(Query("c"))).rows) == 200
        # The others go on without it, also with records of its area.
        reply = await bench.service("n2").write("c", make_rows(50, seed=8))
        assert reply.stored == 50 and reply.acknowledged

    play(test)


def test_what_cannot_be_handed_over_is_counted_by_holder(play: Play) -> None:
    async def test(bench: Bench) -> None:
        bench.cluster.network.split(["n1"], ["n2", "n3", "n4"])
        leaving = bench.service("n1")
        await bench.wait_until(lambda: len(leaving.status().coverage.away) == 3)
        await leaving.write("c", make_rows(80))
        began = bench.loop.time()
        left = await leaving.drain()
        assert bench.loop.time() - began < DRAIN_MS_MAX / 1_000
        assert left.records == 80
        assert set(left.owed) == left.away == {"n2", "n3", "n4"}
        assert "80 records may be on no other node" in left.describe()
        assert "for n2 (away)" in left.describe()

    play(test)


def test_what_an_absent_holder_lacks_is_safe_where_another_holder_has_it(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.cluster.nodes["n4"].crash()
        await bench.wait_until(lambda: "n4" in bench.service("n1").status().coverage.away)
        await bench.service("n1").write("c", make_rows(80), "quorum")
        left = await bench.service("n1").drain()
        assert left.records == 0

    play(test)


def test_draining_ends_with_the_limit_where_a_holder_hangs(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await put(bench, "n1", make_rows(100))
        leaving = bench.service("n1")
        bench.cluster.network.block(["n2"], ["n1"])
        leaving._mover.repair()
        began = bench.loop.time()
        left = await leaving._leaving.drain(limit_ms=2_000)
        assert bench.loop.time() - began < 4
        assert left.records == 100 and set(left.owed) == {"n2"}

    play(test, nodes=2, replicas=1)


def test_a_node_that_left_says_so_when_it_has_nothing_any_more(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n2").write("c", make_rows(100), "all")
        await bench.wait_settled()
        holding = bench.service("n2")._parts.members.holding
        quarter = CODE_STOP // 4
        await holding.change(holding.ring.announce(((0, quarter),), next="n2"))
        await bench.wait_until(lambda: "n1" not in bench.service("n1").ring.members())
        await bench.wait_until(lambda: bench.service("n1").life == "left", seconds=120)
        assert not len(stored(bench, "n1"))

        def told() -> bool:
            members = bench.service("n3").status().members
            return {member.node: member.life for member in members}["n1"] == "left"

        await bench.wait_until(told)
        await asyncio.sleep(1)
        node = bench.cluster.nodes["n1"]
        await node.stop()
        await node.start()
        assert bench.service("n2").life == "serving"

    play(test)
