"""A removed member that died is given up: by all, for ever, and only while it is dead."""

import pytest

from node.errors import BadRequest, NotFound, Refused
from node.protocol.planning import PlanRequest
from node.query import Query
from tests.unit.node.service.conftest import Bench, Play, make_rows
from tests.unit.node.service.test_mover import stored
from zring.span import EVERYTHING, contains, subtract


async def remove(bench: Bench, node: str) -> None:
    plans = bench.service("n1").plans
    await plans.commit((await plans.make(PlanRequest("remove", node))).plan, force=True)


def known_to(bench: Bench, node: str) -> list[str]:
    return [
        service.node_id
        for service in bench.services
        if node in (members := service._parts.members).health.members or members._stores.find(node)
    ]


async def dead_and_removed(bench: Bench) -> int:
    """n4 took records alone and died; n1 removed it. Returns how many records there are."""
    service, others = bench.service("n4"), ["n1", "n2", "n3"]
    await bench.service("n1").write("c", make_rows(200), "all")
    await bench.wait_settled()
    bench.cluster.network.split(["n4"], others)
    await bench.wait_until(lambda: len(service.status().coverage.away) == 3)
    held = service._parts.members.holding.held
    rows = make_rows(100, seed=3)
    foreign = rows.where(contains(subtract(EVERYTHING, held), rows.code))
    await service.write("c", foreign, timeout_ms=3_000)
    bench.cluster.network.heal()
    bench.cluster.network.split(["n2"], ["n1", "n3", "n4"])
    await bench.wait_until(lambda: "n2" in bench.service("n1").status().coverage.away)
    await bench.cluster.nodes["n4"].crash()
    members = bench.service("n1")._parts.members.health.members
    await bench.wait_until(lambda: members["n4"].state == "away")
    await remove(bench, "n4")
    return 200 + len(foreign)


def test_all_forget_also_those_who_were_away(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await dead_and_removed(bench)
        forgetting = bench.service("n1").forgetting
        would = forgetting.look("n4")
        assert would.heard and would.owed_to and would.spans and not would.already
        assert "n4" in bench.service("n1").status().coverage.away, "it may have had the only copy"
        assert (await forgetting.forget("n4")) == would
        assert (await forgetting.forget("n4")).already
        await bench.wait_until(lambda: known_to(bench, "n4") == ["n2"], seconds=10)
        assert not bench.service("n3").status().coverage.away.keys() - {"n2"}
        bench.cluster.network.heal()
        await bench.wait_until(lambda: known_to(bench, "n4") == [], seconds=20)
        await bench.wait_settled()
        # Neither a start from what the disk remembers nor another exchange revives it.
        for name in ("n2", "n3"):
            await bench.cluster.nodes[name].crash()
            await bench.cluster.nodes[name].start()
        await bench.wait_settled()
        assert known_to(bench, "n4") == []
        assert (await bench.service("n3").forgetting.forget("n4")).already

    play(test)


@pytest.mark.parametrize("how", ["restarted", "cut off all the time"])
def test_a_node_that_lives_after_all_hands_over_what_it_has(play: Play, how: str) -> None:
    async def test(bench: Bench) -> None:
        count = await dead_and_removed(bench)
        bench.cluster.network.heal()
        node = bench.cluster.nodes["n4"]
        if how == "cut off all the time":
            bench.cluster.network.split(["n4"], ["n1", "n2", "n3"])
            await node.start()
            service = bench.service("n4")
            await service.write("c", make_rows(7, seed=9), timeout_ms=3_000)
            count += 7
        await bench.service("n1").forgetting.forget("n4")
        await bench.wait_until(
            lambda: not any(name != "n4" for name in known_to(bench, "n4")), seconds=20
        )
        if how == "restarted":
            await node.start()
        bench.cluster.network.heal()
        await bench.wait_until(lambda: len(known_to(bench, "n4")) == 3, seconds=60)
        await bench.wait_settled()
        # It holds nothing now, and what only it had is where it belongs.
        await bench.wait_until(lambda: not len(stored(bench, "n4")), seconds=120)
        assert len((await bench.service("n2").read(Query("c"))).rows) == count
        assert bench.service("n4").life == "left"

    play(test)


def test_who_answers_or_holds_anything_is_not_forgotten(play: Play) -> None:
    async def test(bench: Bench) -> None:
        forgetting = bench.service("n1").forgetting
        with pytest.raises(Refused, match="zring plan remove n3"):
            await forgetting.forget("n3")
        with pytest.raises(BadRequest, match="ask another"):
            await forgetting.forget("n1")
        with pytest.raises(NotFound, match="n9"):
            await forgetting.forget("n9")
        await remove(bench, "n3")
        with pytest.raises(Refused, match="alive"):
            await forgetting.forget("n3")
        assert len(known_to(bench, "n3")) == 3

    play(test)
