"""Areas change hands while records are written and read: every answer is checked against truth."""

import asyncio

import pytest

from node.protocol.planning import PlanRequest
from node.protocol.rules import Rules
from tests.sim.stage import GRAIN, QUARTER, Stage, Story, play
from zring.span import Spans, intersect, subtract


@pytest.mark.parametrize("seed", [1, 2])
def test_an_area_moves_while_records_are_written_and_read(seed: int) -> None:
    spans: Spans = ((GRAIN * 16, GRAIN * 48),)

    async def story(stage: Stage) -> None:
        await stage.change("n3", lambda ring: ring.announce(spans, next="n4"))
        await stage.wait(lambda: stage.owner_everywhere(spans, "n4"))
        assert stage.service("n1").counters["flips_done"] == 1
        await asyncio.sleep(2)

    stage = play(story, seed=seed)
    assert set(stage.states) <= {"complete", "settling"}
    assert stage.states.count("complete") > 0.8 * len(stage.states), stage.states


AREA: Spans = ((GRAIN * 16, GRAIN * 48),)


def test_a_move_ends_under_a_steady_stream_of_writes() -> None:
    async def story(stage: Stage) -> None:
        life, waits = stage.life, []

        async def stream(name: str) -> None:
            for _ in range(60):
                node = stage.cluster.nodes[name]
                begun_s = life.loop.time()
                await life._write(node, life.rng.getrandbits(64))
                waits.append(life.loop.time() - begun_s)
                await asyncio.sleep(0.04)

        streams = [asyncio.create_task(stream(f"n{1 + at % 4}")) for at in range(4)]
        await stage.change("n3", lambda ring: ring.announce(AREA, next="n4"))
        await stage.wait(lambda: stage.owner_everywhere(AREA, "n4"), seconds=15)
        assert not all(task.done() for task in streams), "the stream outlived the move"
        await asyncio.gather(*streams)
        assert max(waits) < 2.5, "nobody waits much longer than a hand-over may take"

    play(story)


async def move_to_a_target_that_is_cut_off(stage: Stage) -> None:
    network = stage.cluster.network
    network.split(["n4"], ["n1", "n2", "n3"])
    await stage.change("n1", lambda ring: ring.announce(AREA, next="n4"))
    await stage.pass_time(8)
    assert stage.service("n1").ring.owned("n1")[0] == (0, QUARTER)
    assert stage.service("n1").hand_overs()["n4"].reason == "the target is away"
    network.heal()
    await stage.wait(lambda: stage.owner_everywhere(AREA, "n4"))


def test_the_second_change_waits_for_a_target_that_is_cut_off() -> None:
    play(move_to_a_target_that_is_cut_off)


def test_the_old_owner_crashes_in_the_middle_of_a_move() -> None:
    async def story(stage: Stage) -> None:
        await stage.change("n1", lambda ring: ring.announce(AREA, next="n4"))
        await stage.pass_time(0.4)
        await stage.cluster.nodes["n1"].crash()
        await stage.pass_time(6)
        assert stage.service("n4").ring.owner_of(AREA[0][0]) == "n1", "nobody else may flip"
        await stage.cluster.nodes["n1"].start()
        await stage.wait(lambda: stage.owner_everywhere(AREA, "n4"))

    play(story)


def test_a_dead_owner_is_removed_and_its_heir_gathers() -> None:
    async def story(stage: Stage) -> None:
        await stage.cluster.nodes["n2"].crash()
        await stage.pass_time(5)
        owned = stage.service("n1").ring.owned("n2")
        await stage.change("n1", lambda ring: ring.assign(owned, owner="n3"))
        await stage.wait(lambda: stage.owner_everywhere(owned, "n3"))
        await stage.pass_time(8)
        # It returns, and gets its area back by a plan.
        await stage.cluster.nodes["n2"].start()
        await stage.pass_time(3)
        await stage.change("n1", lambda ring: ring.announce(owned, next="n2"))
        await stage.wait(lambda: stage.owner_everywhere(owned, "n2"))

    play(story)


@pytest.mark.parametrize("seed", [1, 2])
def test_two_halves_remove_each_other_and_nobody_is_lost(seed: int) -> None:
    async def remove(stage: Stage, at: str, dead: str) -> None:
        plans = stage.service(at).plans
        await plans.commit((await plans.make(PlanRequest("remove", dead))).plan, force=True)

    async def story(stage: Stage) -> None:
        stage.cluster.network.split(["n1", "n2"], ["n3", "n4"])
        await stage.pass_time(6)
        for at, dead in (("n1", "n3"), ("n2", "n4"), ("n3", "n1"), ("n4", "n2")):
            await remove(stage, at, dead)
        await stage.pass_time(4)
        for at, others in (("n1", {"n3", "n4"}), ("n3", {"n1", "n2"})):
            assert not others & set(stage.service(at).ring.members())
        stage.cluster.network.heal()
        await stage.wait(lambda: len({node.ring.digest() for node in stage.services()}) == 1)
        ring = stage.service("n1").ring
        assert ring.owners() and set(ring.owners()) <= set(ring.members())
        # Whoever lost everything keeps nothing to itself, and is a member again by a plan.
        outside = sorted({"n1", "n2", "n3", "n4"} - set(ring.members()))
        await stage.wait(lambda: not stage.life.unsettled())
        for name in outside:
            plans = stage.service(ring.owners()[0]).plans
            await plans.commit((await plans.make(PlanRequest("join", name, policy="halve"))).plan)
            await stage.wait(lambda name=name: stage.service(name).ring.owned(name) != ())  # type: ignore[misc]

    play(story, seed=seed)


@pytest.mark.parametrize("seed", [1, 2])
def test_two_halves_give_the_same_area_to_different_nodes(seed: int) -> None:
    async def story(stage: Stage) -> None:
        network = stage.cluster.network
        network.split(["n1", "n2"], ["n3", "n4"])
        await stage.pass_time(5)
        await stage.change("n1", lambda ring: ring.assign(AREA, owner="n2"))
        await stage.change("n3", lambda ring: ring.assign(AREA, owner="n4"))
        await stage.change("n3", lambda ring: ring.assign(((0, GRAIN),), owner="n4"))
        await stage.pass_time(4)
        network.heal()
        await stage.wait(lambda: stage.owner_everywhere(AREA, "n4"))

    play(story, seed=seed)


def test_a_wiped_founder_claims_nothing_and_is_filled_again() -> None:
    async def story(stage: Stage) -> None:
        node = stage.cluster.nodes["n3"]
        await node.crash()
        node.wipe()
        await stage.pass_time(1)
        await node.start()
        holding = stage.service("n3")._parts.members.holding
        await stage.wait(lambda: not holding.filled.spans, seconds=3)
        await stage.wait(lambda: not subtract(holding.held, holding.filled.spans))
        assert not holding.filled.claim.birth

    play(story)


async def wiped_while_its_replicas_are_away(stage: Stage) -> None:
    node = stage.cluster.nodes["n3"]
    await node.crash()
    node.wipe()
    stage.cluster.network.split(["n1", "n3"], ["n2", "n4"])
    await stage.pass_time(5)
    await node.start()
    await stage.pass_time(6)
    first = stage.service("n1").status()
    assert first.coverage.state == "partial"
    holding = stage.service("n3")._parts.members.holding
    assert intersect(tuple(first.coverage.missing), holding.ring.owned("n3"))
    stage.cluster.network.heal()
    await stage.wait(lambda: not subtract(holding.held, holding.filled.spans))


def test_a_wiped_owner_whose_replicas_are_away_says_partial() -> None:
    play(wiped_while_its_replicas_are_away, replicas=1)


@pytest.mark.parametrize(
    ("rule", "story", "replicas"),
    [
        ("unfilled_never_alone", wiped_while_its_replicas_are_away, 1),
        ("lost_stores_unfilled", wiped_while_its_replicas_are_away, 1),
        ("owing_read_too", move_to_a_target_that_is_cut_off, 2),
    ],
)
def test_without_the_rule_the_story_ends_badly(rule: str, story: Story, replicas: int) -> None:
    with pytest.raises(AssertionError):
        play(story, replicas=replicas, rules=Rules(**{rule: False}))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_removed_node_returns_with_records_that_only_it_has(seed: int) -> None:
    async def story(stage: Stage) -> None:
        stage.cluster.network.split(["n2"], ["n1", "n3", "n4"])
        await stage.pass_time(12)
        stage.silent = {"n2"}
        await stage.pass_time(6)
        # Who removes a node gives up what it took alone: no answer speaks for that until it is
        # back, but then nothing may be lost.
        truth = stage.life.truth
        given_up = {
            identity: [one for one in known if one.takers == {"n2"} and one.disks == {"n2"}]
            for identity, known in truth.acknowledged.items()
        }
        assert sum(map(len, given_up.values())) > 5
        for identity, taken in given_up.items():
            known = truth.acknowledged[identity]
            truth.acknowledged[identity] = [one for one in known if one not in taken]
        owned = stage.service("n1").ring.owned("n2")
        await stage.change("n1", lambda ring: ring.assign(owned, owner="n3"))
        await stage.pass_time(4)
        stage.cluster.network.heal()
        await stage.wait(lambda: stage.owner_everywhere(owned, "n3"))
        keeper = stage.service("n2")._parts.members
        assert "n2" not in keeper.ring.members() and not keeper.holding.held
        await stage.wait(lambda: not keeper.outstanding.counts())
        for identity, taken in given_up.items():
            truth.acknowledged[identity] += taken

    play(story, seed=seed)


def test_an_old_image_of_a_disk_gets_another_store_id() -> None:
    async def story(stage: Stage) -> None:
        node = stage.cluster.nodes["n3"]
        await stage.pass_time(2)
        await node.crash()
        disk, store_id = node.disk, node.disk.store_id
        assert len(disk.durable) > 20
        node.restore_image(15)
        stage.life.truth.lose("n3", disk, stage.cluster.disks())
        await node.start()
        engine = stage.service("n3").engine
        await stage.wait(lambda: engine.store_id != store_id, seconds=5)
        holding = stage.service("n3")._parts.members.holding
        await stage.wait(lambda: not subtract(holding.held, holding.filled.spans))

    play(story)


def test_an_old_image_that_wrote_past_what_was_seen_is_found_all_the_same() -> None:
    """While nobody hears it, it takes more records than it had lost."""

    async def story(stage: Stage) -> None:
        node = stage.cluster.nodes["n3"]
        await stage.pass_time(2)
        await node.crash()
        disk, store_id = node.disk, node.disk.store_id
        assert len(disk.durable) > 20
        node.restore_image(15)
        stage.life.truth.lose("n3", disk, stage.cluster.disks())
        others = [name for name in stage.cluster.names if name != "n3"]
        stage.cluster.network.split(["n3"], others)
        await node.start()
        engine = stage.service("n3").engine
        known = stage.service("n1")._parts.members._stores.find("n3")
        assert known is not None
        seen = known.sequence
        while engine.sequence <= seen:
            await node.call(stage.life._write(node, stage.life.rng.getrandbits(64)))
        assert engine.store_id == store_id
        stage.cluster.network.heal()
        await stage.wait(lambda: engine.store_id != store_id, seconds=20)
        holding = stage.service("n3")._parts.members.holding
        await stage.wait(lambda: not subtract(holding.held, holding.filled.spans))

    play(story)


def test_an_old_image_that_is_asked_before_anybody_has_heard_of_it() -> None:
    """It had taken what n2 had no room for; that n2 lacks it nobody else knows."""

    async def story(stage: Stage) -> None:
        node, full = stage.node("n1"), stage.node("n2")
        await stage.write("n3", stage.attempts(((GRAIN * 64, GRAIN * 87),)), w="all")
        full.disk.bytes_max = 0
        await stage.write("n1", stage.attempts(((GRAIN * 64, GRAIN * 87),)))
        await stage.pass_time(2)
        await node.crash()
        disk = node.disk
        node.restore_image(0)
        stage.life.truth.lose("n1", disk, stage.cluster.disks())
        node.start_soon()
        await stage.wait(
            lambda: (
                node.up and len(stage.service("n1")._parts.members.view().standing.contact) == 4
            ),
            every_s=0.0005,
        )
        await stage.ask("n1")
        full.disk.bytes_max = None

    play(story, traffic=False)


def test_a_member_that_has_no_room_for_a_ring_fails_no_query() -> None:
    async def story(stage: Stage) -> None:
        await stage.write("n3", stage.attempts(((0, QUARTER * 4),)), w="all")
        stage.node("n2").disk.bytes_max = 0
        await stage.change("n1", lambda ring: ring.assign(((0, GRAIN),), owner="n4"))
        await stage.pass_time(4)
        assert await stage.ask("n3") == "local"
        stage.node("n2").disk.bytes_max = None

    play(story, traffic=False)


def test_a_restart_keeps_store_and_claim() -> None:
    async def story(stage: Stage) -> None:
        node = stage.cluster.nodes["n3"]
        for _ in range(2):
            await stage.pass_time(2)
            await node.crash()
            store_id = node.disk.store_id
            await node.start()
            assert stage.service("n3")._parts.members.life == "serving"
            await stage.pass_time(4)
            assert stage.service("n3").engine.store_id == store_id
            holding = stage.service("n3")._parts.members.holding
            assert not subtract(holding.held, holding.filled.spans)

    play(story)


def test_a_founder_first_starts_after_the_ring_has_changed() -> None:
    async def story(stage: Stage) -> None:
        await stage.change("n1", lambda ring: ring.assign(AREA, owner="n3"))
        await stage.pass_time(4)
        await stage.cluster.nodes["n4"].start()
        await stage.wait(lambda: stage.owner_everywhere(AREA, "n3"))

    play(story, late="n4")
