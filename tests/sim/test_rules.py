"""Each rule is needed: a story that breaks a promise without it and keeps all of them with it."""

import asyncio

import pytest

from node.peer.transport import Message
from node.query import Query
from node.service.expiring import LOOK_MS
from node.service.holding import META_RING
from node.service.mover.progress import Progress
from node.storage.bucket_digests import DAY_US
from tests.sim.runs import without
from tests.sim.stage import GRAIN, Stage, Story, play
from tests.sim.truth import COLLECTION, Attempt, PromiseBroken, below_filter
from zring.span import Spans

# Four nodes own a quarter each. With one replica the holders of these codes are:
ONE: Spans = ((GRAIN * 3, GRAIN * 8),)
"""n1 and n2."""
TWO: Spans = ((GRAIN * 64, GRAIN * 87),)
"""n2 and n1."""
THREE: Spans = ((GRAIN * 152, GRAIN * 155),)
"""n3 and n1."""


async def read_past_what_a_replica_took(stage: Stage, *, filtered: bool) -> None:
    """The replica of n2 takes a newer version while it cannot reach n2; somebody asks n3."""
    first = stage.attempts(TWO)
    await stage.write("n1", first, w="all")
    stage.cut("n1-n2")
    await stage.pass_time(6)
    second = stage.again(first)
    await stage.write("n1", second)
    await stage.pass_time(3)
    older = Query(COLLECTION, filter=below_filter(second[0].version))
    assert await stage.ask("n3", older if filtered else None) == "complete"


async def a_replica_took_it(stage: Stage) -> None:
    await read_past_what_a_replica_took(stage, filtered=False)


async def an_older_version_passes_the_filter(stage: Stage) -> None:
    await read_past_what_a_replica_took(stage, filtered=True)


async def a_copy_is_late(stage: Stage) -> None:
    """A replica takes records that the owner's disk is slow to store."""

    async def slow() -> None:
        await asyncio.sleep(5)

    owner = stage.node("n2")
    quick, owner.disk.wait = owner.disk.wait, slow
    await stage.write("n1", stage.attempts(TWO))
    await stage.pass_time(1.2)
    await stage.ask("n3")
    owner.disk.wait = quick


async def a_spreader_starts_again(stage: Stage) -> None:
    """A replica takes records, cannot reach the owner, and forgets whom it owes them."""
    stage.cut("n1-n2")
    await stage.pass_time(6)
    await stage.write("n1", stage.attempts(TWO))
    await stage.node("n1").crash()
    await stage.node("n1").start()
    await stage.pass_time(4)
    await stage.ask("n3")


async def a_keeper_reaches_one_holder(stage: Stage) -> None:
    """A keeper of records of n2 and n1 reaches n1 only; n2 is the one who is asked."""
    stage.cut("n4-n1", "n4-n2", "n4-n3")
    await stage.pass_time(8)
    await stage.write("n4", stage.attempts(TWO))
    stage.cut("n4-n2", "n1-n2")
    await stage.pass_time(10)
    await stage.ask("n3")


async def a_replica_lost_its_disk(stage: Stage) -> None:
    """n1 starts with an empty disk while n2 is away, in whose place it would answer."""
    await stage.write("n3", stage.attempts(THREE))
    await stage.write("n2", stage.attempts(TWO), w="all")
    await stage.pass_time(4)
    stage.cut("n2-n1", "n2-n3", "n2-n4")
    await stage.pass_time(8)
    await stage.lose_disk("n1")
    await stage.pass_time(4)
    await stage.ask("n3")


async def a_replica_is_won_while_the_owner_is_away(stage: Stage) -> None:
    """Somebody wants more copies; who is to have one cannot have heard of the owner's records."""
    await stage.write("n3", stage.attempts(THREE))
    await stage.write("n2", stage.attempts(TWO))
    await stage.pass_time(3)
    stage.cut("n2-n1", "n2-n3", "n2-n4")
    await stage.pass_time(8)
    await stage.change("n1", lambda ring: ring.with_settings(replicas=1))
    await stage.pass_time(4)
    await stage.ask("n3")


async def the_former_owner_is_the_only_one_filled(stage: Stage) -> None:
    """An area was given to a node that cannot reach the one who has its records."""
    await stage.write("n2", stage.attempts(TWO))
    await stage.pass_time(3)
    stage.cut("n2-n4")
    await stage.pass_time(6)
    await stage.change("n1", lambda ring: ring.assign(TWO, owner="n4"))
    await stage.pass_time(3)
    if await stage.ask("n3") == "partial":
        raise PromiseBroken("an answer is partial although a filled former holder is in contact")


async def a_member_cannot_store_the_new_ring(stage: Stage) -> None:
    """n2 took records for itself, and says nothing of the node to which a new ring gave them."""
    await stage.write("n3", stage.attempts(THREE))
    stage.cut("n2-n1", "n2-n4")
    await stage.pass_time(6)
    await stage.write("n2", stage.attempts(TWO))
    stage.node("n2").disk.bytes_max = 0
    await stage.pass_time(3)
    await stage.change("n1", lambda ring: ring.assign(TWO, owner="n4"))
    await stage.wait(lambda: stage.is_filled("n4", TWO))
    await stage.pass_time(3)
    await stage.ask("n3", Query(COLLECTION, spans=TWO))
    stage.node("n2").disk.bytes_max = None


async def a_move(stage: Stage) -> None:
    """The target cannot bring itself in step with what the old owner has."""
    await stage.write("n2", stage.attempts(TWO))
    await stage.change("n1", lambda ring: ring.announce(TWO, next="n4"))


async def a_move_to_a_target_with_a_slow_disk(stage: Stage) -> None:
    """Copies to n4 are late when n2 could hand over."""
    await stage.write("n2", stage.attempts(TWO))
    target = stage.node("n4")
    quick = target.disk.wait
    await stage.change("n2", lambda ring: ring.announce(TWO, next="n4"))
    await stage.wait(lambda: stage.is_filled("n4", TWO), every_s=0.005)
    target.disk.wait = lambda: asyncio.sleep(0.9)
    taken = stage.attempts(TWO)
    await stage.write("n2", taken)
    while not stage.owner_everywhere(TWO, "n4"):
        await stage.pass_time(0.005)
        moved = stage.service("n2").ring.owner_of(TWO[0][0]) == "n4"
        if moved and not stage.has("n4", taken):
            raise PromiseBroken("PROTOCOL 4.2: the new owner lacks what the old one had taken")
    target.disk.wait = quick


async def a_holder_cannot_say_that_it_is_filled(stage: Stage) -> None:
    """The new owner has everything, and its disk is full before it could claim so."""
    taken = stage.attempts(TWO)
    await stage.write("n2", taken)
    await stage.change("n1", lambda ring: ring.assign(TWO, owner="n4"))
    await stage.wait(lambda: all(stage.has("n4", [one]) for one in taken), every_s=0.002)
    stage.node("n4").disk.bytes_max = 0
    assert not stage.is_filled("n4", TWO)
    await stage.pass_time(25)
    stage.node("n4").disk.bytes_max = None


async def the_ring_changes_while_a_keeper_lets_go(stage: Stage) -> None:
    """n4 has decided to let go of what it then comes to own; its disk is slow with both."""
    stage.cut("n4-n1", "n4-n2", "n4-n3")
    await stage.pass_time(8)
    keeper = stage.node("n4")
    await stage.write("n4", stage.attempts(TWO))
    quick = keeper.disk.wait

    async def slow() -> None:
        last = keeper.disk.pending[-1]
        await asyncio.sleep(12 if META_RING in last.meta or last.removal is not None else 0.001)

    keeper.disk.wait = slow
    stage.cut()
    change = asyncio.create_task(stage.change("n4", lambda ring: ring.assign(TWO, owner="n4")))
    await stage.pass_time(40)
    await change
    keeper.disk.wait = quick


async def a_node_has_what_it_does_not_hold(stage: Stage) -> None:
    rows = stage.life.truth.attempt(stage.attempts(TWO))
    stage.cut("n3-n1", "n3-n2")
    await stage.service("n3")._writer.store_copy(COLLECTION, rows, [], Message("copy", {}))
    link = stage.service("n4")._mover._link("n3", Progress())
    if not (await link.offer(COLLECTION, rows)).all():
        raise PromiseBroken("PROTOCOL 5.1: a node claims what it does not hold and may delete")


async def a_reader_goes_away_during_a_stream(stage: Stage) -> None:
    await stage.write("n1", stage.attempts(ONE, count=20))
    await stage.write("n2", stage.attempts(TWO, count=20))
    await stage.pass_time(4)

    async def cut() -> None:
        stage.cut("n2-n1", "n2-n3", "n2-n4")
        await stage.pass_time(8)

    await stage.ask("n1", streamed=True, between=cut)


KEPT_DAYS = 1_140
"""Some records of a story are older, by the true clock."""


async def keep(stage: Stage, days: int) -> int:
    """Somebody commits that records are kept for so many days; the first moment of these."""
    stage.life.truth.may_expire(stage.life._kept_from_us(days))
    await stage.change("n1", lambda ring: ring.with_settings(keep_days={COLLECTION: days}))
    await stage.pass_time(3 * LOOK_MS / 1_000)
    return stage.life._kept_from_us(days)


def older(stage: Stage, than_us: int) -> list[Attempt]:
    return [one for one in stage.attempts(TWO, count=40) if one.identity[1] < than_us][:5]


async def old_records_expire(stage: Stage) -> None:
    await stage.write("n2", stage.attempts(TWO, count=40))
    await keep(stage, KEPT_DAYS)
    await stage.ask("n3")


async def old_records_come_late(stage: Stage) -> None:
    late = older(stage, await keep(stage, KEPT_DAYS))
    await stage.write("n2", late)
    if stage.has("n2", late):
        raise PromiseBroken("PROTOCOL 8: expired records were stored")


async def a_sweep_was_late(stage: Stage) -> None:
    """A disk still has expired records when it is compared with others."""
    await stage.write("n2", stage.attempts(TWO), w="all")
    late = older(stage, await keep(stage, KEPT_DAYS))
    await stage.service("n2").engine.write([(COLLECTION, stage.life.truth.attempt(late))])
    before = stage.service("n2").counters["records_moved"]
    stage.service("n2")._mover.repair()
    await stage.pass_time(3)
    if stage.service("n2").counters["records_moved"] > before:
        raise PromiseBroken("PROTOCOL 8: a repair has sent expired records")
    await stage.service("n2")._expiring._drop(again=True)


async def a_clock_is_wrong(stage: Stage) -> None:
    """No record is so old, but by the clock of n1."""
    await stage.write("n2", stage.attempts(TWO))
    stage.node("n1").jump_clock(100 * DAY_US)
    await keep(stage, 1_230)
    for name in ("n2", "n3", "n4"):
        await stage.ask(name)


STORIES: dict[str, tuple[Story, int]] = {
    "unfilled_never_alone": (a_replica_lost_its_disk, 1),
    "won_spans_unfilled": (a_replica_is_won_while_the_owner_is_away, 0),
    "lost_stores_unfilled": (a_replica_lost_its_disk, 1),
    "former_holders_read": (the_former_owner_is_the_only_one_filled, 0),
    "owing_read_too": (a_replica_took_it, 1),
    "other_rings_untrusted": (a_member_cannot_store_the_new_ring, 1),
    "old_owner_flips": (a_move, 0),
    "writes_held_back": (a_move_to_a_target_with_a_slow_disk, 0),
    "owed_before_acknowledged": (a_copy_is_late, 1),
    "uncompared_after_start": (a_spreader_starts_again, 1),
    "holders_confirm": (a_node_has_what_it_does_not_hold, 1),
    "every_holder_confirms": (a_keeper_reaches_one_holder, 1),
    "filled_before_letting_go": (a_holder_cannot_say_that_it_is_filled, 0),
    "removal_rechecked": (the_ring_changes_while_a_keeper_lets_go, 0),
    "newest_before_filter": (an_older_version_passes_the_filter, 1),
    "worse_streams_aborted": (a_reader_goes_away_during_a_stream, 0),
    "expired_refused": (old_records_come_late, 1),
    "expired_hidden": (old_records_expire, 1),
    "expired_counts_as_had": (a_sweep_was_late, 1),
    "clocks_agree": (a_clock_is_wrong, 1),
}
"""Rule → a story that misses it, and the replicas in it."""


@pytest.mark.parametrize("rule", sorted(STORIES))
def test_every_promise_is_kept_with_the_rule_and_one_is_broken_without(rule: str) -> None:
    story, replicas = STORIES[rule]
    play(story, replicas=replicas, traffic=False)
    with pytest.raises(PromiseBroken):
        play(story, replicas=replicas, traffic=False, rules=without(rule))
