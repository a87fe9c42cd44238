"""When a batch is acknowledged: tables of who has it."""

import pytest

from node.protocol.acknowledge import Tally, copies_needed, merge_replies, spreader
from node.query import WriteLevel, WriteReply

SET = ("owner", "near", "far")


@pytest.mark.parametrize(
    ("w", "holders", "needed"),
    [("one", 3, 1), ("quorum", 1, 1), ("quorum", 2, 2), ("quorum", 3, 2), ("quorum", 4, 3),
     ("quorum", 5, 3), ("all", 1, 1), ("all", 5, 5)],
)  # fmt: skip
def test_copies_needed(w: WriteLevel, holders: int, needed: int) -> None:
    assert copies_needed(w, holders) == needed


@pytest.mark.parametrize(
    ("here", "contact", "failed", "expected"),
    [
        ("near", {"owner", "near"}, set(), "near"),
        ("x", {"owner", "near", "x"}, set(), "owner"),
        ("x", {"near", "far", "x"}, set(), "near"),
        ("x", {"owner", "near", "x"}, {"owner"}, "near"),
        ("x", {"x"}, set(), "x"),
        ("x", {"owner", "x"}, {"owner"}, "x"),
        ("near", {"owner", "near"}, {"near"}, "owner"),
    ],
)
def test_spreader(here: str, contact: set[str], failed: set[str], expected: str) -> None:
    chosen = spreader(SET, here=here, contact=frozenset(contact), failed=frozenset(failed))
    assert chosen == expected


def tally(w: WriteLevel, *, here: str = "owner") -> Tally:
    counted = Tally([SET], here=here, w=w)
    for node in SET:
        if node != here:
            counted.sent(node)
    return counted


def test_one_is_settled_by_the_owner_alone() -> None:
    counted = tally("one")
    assert not counted.settled()
    counted.stored("owner")
    assert counted.settled()
    reply = counted.reply(7)
    assert reply == WriteReply(stored=7, copies_wanted=3, copies_durable=1, acknowledged=True)


def test_a_replica_waits_for_the_owner() -> None:
    counted = tally("one", here="near")
    counted.stored("near")
    assert counted.enough() and not counted.settled()
    counted.stored("owner")
    assert counted.settled() and counted.pending() == ["far"]


def test_nobody_left_to_wait_for() -> None:
    counted = tally("all")
    counted.stored("owner")
    counted.stored("near")
    assert not counted.settled()
    counted.failed("far", "store-full")
    assert counted.settled()
    reply = counted.reply(1)
    assert (reply.copies_durable, reply.acknowledged) == (2, False)
    assert reply.lacking == {"far": "store-full"}


def test_who_lacks_a_copy_and_why() -> None:
    counted = Tally([SET], here="owner", w="quorum")
    counted.absent("far")
    counted.sent("near")
    counted.stored("owner")
    late = counted.reply(1)
    assert (late.acknowledged, late.lacking) == (
        False,
        {"far": "peer-unreachable", "near": "deadline"},
    )
    counted.stored("near")
    assert counted.reply(1).lacking == {"far": "peer-unreachable"}


def test_a_copy_under_way_behind_an_acknowledged_batch_is_not_lacking() -> None:
    counted = tally("one")
    counted.stored("owner")
    assert counted.reply(1).lacking == {}


def test_a_keeper_counts_as_a_disk() -> None:
    counted = tally("quorum", here="keeper")
    counted.stored("keeper")
    counted.stored("far")
    assert counted.enough()
    assert counted.reply(1).copies_durable == 2


def test_copies_elsewhere_do_not_settle_before_the_spreader_has_it() -> None:
    counted = tally("one")
    counted.stored("near")
    counted.stored("far")
    assert not counted.enough()
    assert counted.reply(3).stored == 0


def test_the_worst_set_counts() -> None:
    counted = Tally([("a", "b"), ("a", "c")], here="a", w="all")
    counted.sent("b")
    counted.sent("c")
    counted.stored("a")
    counted.stored("b")
    assert not counted.enough()
    assert counted.reply(2).copies_durable == 1


def test_merged_replies() -> None:
    good = WriteReply(stored=2, copies_wanted=3, copies_durable=2, acknowledged=True)
    few = WriteReply(stored=1, copies_wanted=2, copies_durable=1, acknowledged=False)
    assert merge_replies([good, few], records=3) == WriteReply(3, 2, 1, False)
    assert merge_replies([good], records=3) == WriteReply(2, 3, 0, False)
    assert merge_replies([], records=3) == WriteReply(0, 0, 0, False)
    full = WriteReply(1, 3, 2, False, {"c": "store-full"})
    away = WriteReply(1, 3, 2, False, {"b": "peer-unreachable"})
    assert list(merge_replies([full, away], records=2).lacking) == ["b", "c"]
