"""What operators see and do: tasks of the whole cluster, repair on request, accepted losses."""

import asyncio

import numpy as np

from node.protocol.cluster_tasks import ClusterTasks
from node.protocol.planning import PlanRequest
from node.service.mover.progress import Progress
from node.storage.bucket_digests import DAY_US
from tests.unit.node.service.conftest import Bench, Play, make_rows
from tests.unit.node.service.test_mover import digest, put, stored
from zring.span import EVERYTHING, subtract


async def settled(bench: Bench, name: str = "n1", *, seconds: float = 120) -> ClusterTasks:
    """What a node tells of the cluster once nothing is under way."""
    end = bench.loop.time() + seconds
    while not (tasks := await bench.service(name).tasks.all()).settled:
        assert bench.loop.time() < end, tasks
        await asyncio.sleep(0.2)
    return tasks


def test_a_move_is_seen_from_every_node_until_it_is_done(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", make_rows(400), "all")
        await settled(bench)
        plans = bench.service("n1").plans
        area = bench.service("n1").ring.owned("n2")
        await plans.commit((await plans.make(PlanRequest("leave", "n2"))).plan)
        rows = make_rows(2_000, seed=5)

        async def write() -> None:
            for index in range(len(rows)):
                await bench.service("n1").write("live", rows.take(np.array([index])))
                await asyncio.sleep(0.05)

        writing = asyncio.ensure_future(write())
        for service in bench.services:
            tasks = await service.tasks.all()
            moves = [task for task in tasks.tasks if task.kind == "move"]
            assert {task.node for task in moves} == {"n2"}
            left = area
            for task in moves:
                left = subtract(left, task.spans)
            assert not left and not tasks.settled
        await settled(bench, "n3")
        ring = bench.service("n4").ring
        assert not ring.owned("n2")
        assert not writing.done(), "the end is found while people write"
        writing.cancel()
        assert not len(stored(bench, "n2")), "settled means that it has let go as well"

    play(test)


def test_what_is_owed_to_an_absent_member_is_told_with_the_reason(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.cluster.nodes["n3"].crash()
        await bench.wait_until(
            lambda: all("n3" in service.status().coverage.away for service in bench.services)
        )
        await bench.service("n1").write("c", make_rows(50))
        tasks = await bench.service("n2").tasks.all()
        owed = [task for task in tasks.tasks if task.kind == "hand-over" and task.target == "n3"]
        assert owed and all("n3 is away" in task.reason for task in owed), owed
        assert tasks.silent == {"n3": "is away"} and tasks.state == "local"
        await bench.cluster.nodes["n3"].start()
        await settled(bench, "n2")

    play(test)


def test_a_repair_of_some_days_leaves_the_others_alone(play: Play) -> None:
    async def test(bench: Bench) -> None:
        rows = make_rows(300, days=10)
        await put(bench, "n1", rows)
        first = int(rows.time.min()) // DAY_US
        reply = await bench.service("n2").repairs.repair(day_start=first + 4, day_stop=first + 6)
        assert reply.told == ("n1", "n2") and not reply.silent
        await settled(bench)
        days = rows.time // DAY_US - first
        assert set((stored(bench, "n2").time // DAY_US - first).tolist()) == {4, 5}
        assert len(stored(bench, "n2")) == int(((days == 4) | (days == 5)).sum())
        await bench.service("n2").repairs.repair()
        await settled(bench)
        assert digest(stored(bench, "n2")) == digest(rows)

    play(test, nodes=2, replicas=1)


def test_a_loss_is_told_with_those_who_had_it_and_given_up_when_accepted(play: Play) -> None:
    async def test(bench: Bench) -> None:
        rows = make_rows(300)
        await bench.service("n1").write("c", rows, "all")
        await settled(bench)
        area = bench.service("n1").ring.owned("n2")
        await bench.cluster.nodes["n2"].crash()
        await bench.wait_until(lambda: "n2" in bench.service("n1").status().coverage.away)
        service = bench.service("n1")
        assert service.status().coverage.state == "partial"
        losses = service.repairs.losses()
        assert losses.spans == area
        (lost,) = losses.nodes
        assert lost.node == "n2" and not lost.in_contact and lost.since_us
        plan = (await service.plans.make(PlanRequest("remove", "n2", accept_loss=True))).plan
        await service.plans.commit(plan, force=True)
        assert service.status().coverage.state == "partial"
        reply = await service.repairs.repair(accept_loss=True)
        assert reply.accepted == {"n1": area}
        await settled(bench)
        assert not service.repairs.losses(EVERYTHING).spans

    play(test, nodes=2, replicas=0)


def test_what_is_being_filled_says_whose_word_it_waits_for(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", make_rows(200), "all")
        await settled(bench)
        node = bench.cluster.nodes["n2"]
        await node.crash()
        node.wipe()
        await node.start()
        reasons = set()
        while not (tasks := await bench.service("n1").tasks.all()).settled:
            reasons |= {task.reason for task in tasks.tasks if task.kind == "fill"}
            await asyncio.sleep(0.05)
        assert any("must have compared everything with it" in reason for reason in reasons)

    play(test)


def test_a_rate_is_the_mean_of_its_window_and_outlives_the_job() -> None:
    progress = Progress().next_job(now_us=0, now_ms=1_000_000)
    for step in range(1, 101):
        progress.moved(10, 500, now_ms=1_000_000 + 100 * step)
    assert 4_500 < progress.frozen().bytes_per_s <= 5_000
    following = progress.next_job(now_us=1, now_ms=9_000_000)
    following.found(buckets=1, records=1_000)
    assert 4_500 < following.frozen().bytes_per_s <= 5_000
    assert following.frozen().eta_s == 50_000 // following.frozen().bytes_per_s


def test_the_time_of_a_plan_rests_on_what_was_measured_else_on_the_limit(play: Play) -> None:
    async def test(bench: Bench) -> None:
        plans = bench.service("n1").plans
        weighed = await plans.make(PlanRequest("leave", "n2"))
        assert weighed.estimate.rate_is == "default"
        rows = make_rows(2_000)
        await put(bench, "n2", rows)
        bench.service("n2")._mover.repair()
        await settled(bench)
        weighed = await plans.make(PlanRequest("leave", "n2"))
        estimate = weighed.estimate
        assert estimate.rate_is == "measured" and estimate.bytes_per_s > 0
        assert estimate.seconds == weighed.plan.bytes / estimate.bytes_per_s

    play(test)
