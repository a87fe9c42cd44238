"""Plans at a node: weighed by what is stored, refused when stale or unwise, told to everybody."""

import pytest

from node.protocol.planning import PlanRequest
from tests.unit.node.service.conftest import Bench, Play, make_rows
from zring.errors import InvalidPlan
from zring.span import EVERYTHING

ROWS = make_rows(400)


def expected_by_owner(bench: Bench) -> dict[str, int]:
    ring = bench.cluster.ring
    counts = dict.fromkeys(ring.owners(), 0)
    for code in ROWS.code.tolist():
        counts[ring.owner_of(code)] += 1
    return counts


def test_load_counts_every_record_once_also_while_its_owner_is_away(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        await bench.wait_settled()
        load, _ = await bench.service("n3").plans.load()
        assert load.by_owner(bench.service("n3").ring) == expected_by_owner(bench)
        await bench.cluster.nodes["n2"].crash()
        load, _ = await bench.service("n3").plans.load()
        assert load.by_owner(bench.service("n3").ring) == expected_by_owner(bench)

    play(test)


def test_a_commit_makes_the_first_change_everywhere_and_an_abort_undoes_it(play: Play) -> None:
    async def test(bench: Bench) -> None:
        plans = bench.service("n1").plans
        before = bench.service("n1").ring
        plan = (await plans.make(PlanRequest("leave", "n2"))).plan
        assert plan.spans() == before.owned("n2")
        await plans.commit(plan)
        with pytest.raises(InvalidPlan, match="make the plan again"):
            await plans.commit(plan)
        _, stopped = await bench.service("n4").plans.abort(EVERYTHING)
        for service in bench.services:
            assert service.ring.owned("n2") == before.owned("n2")
            assert not any(span.next for span in service.ring.spans)
        assert stopped == plan.spans()

    play(test)


def test_unwise_plans_are_refused_with_reasons_unless_forced(play: Play) -> None:
    async def test(bench: Bench) -> None:
        plans = bench.service("n1").plans
        stranger = (await plans.make(PlanRequest("join", "n9", policy="halve"))).plan
        with pytest.raises(InvalidPlan, match=r"n9 is not known here.*start it first"):
            await plans.commit(stranger)
        with pytest.raises(InvalidPlan, match="n3 answers: let it leave"):
            await plans.commit((await plans.make(PlanRequest("remove", "n3"))).plan)
        await bench.cluster.nodes["n3"].crash()
        await bench.wait_until(lambda: "n3" in bench.service("n1").status().coverage.away)
        with pytest.raises(InvalidPlan, match=r"n3 does not answer.*bring it back, or remove it"):
            await plans.commit((await plans.make(PlanRequest("leave", "n3"))).plan)
        removal = (await plans.make(PlanRequest("remove", "n3"))).plan
        ring = await plans.commit(removal)
        assert not ring.owned("n3")
        await bench.wait_until(lambda: bench.service("n4").ring.digest() == ring.digest())

    play(test)


def test_the_last_but_one_node_may_go_only_by_force(play: Play) -> None:
    async def test(bench: Bench) -> None:
        plans = bench.service("n1").plans
        plan = (await plans.make(PlanRequest("leave", "n2"))).plan
        with pytest.raises(InvalidPlan, match="n1 would be alone"):
            await plans.commit(plan)
        ring = await plans.commit(plan, force=True)
        assert ring.expected("n1")

    play(test, nodes=2, replicas=1)


def test_settings_are_planned_like_everything_else(play: Play) -> None:
    async def test(bench: Bench) -> None:
        plans = bench.service("n1").plans
        await bench.service("n1").write("c", ROWS, "all")
        await bench.wait_settled()
        plan = (await plans.make(PlanRequest("settings", replicas=3))).plan
        assert plan.records == len(ROWS)
        ring = await plans.commit(plan)
        assert ring.settings.replicas == 3
        with pytest.raises(InvalidPlan, match="nothing would change"):
            await plans.make(PlanRequest("settings", replicas=3))

    play(test)
