"""Tombstones: merged alike on all nodes, bounded, and dropped members stay dropped."""

from random import Random

from node.config import LAN
from node.protocol.dissemination import AWAY, Rumour
from node.protocol.forgotten import FORGOTTEN_MAX, Forgotten
from node.protocol.gossip_message import Sender
from node.protocol.membership import Membership
from node.protocol.roster import Member
from node.protocol.word import Word


def membership(*names: str) -> Membership:
    known = {name: Member(name, name, incarnation=5) for name in names}
    return Membership(
        word=Word("a", "c", "s", 1, incarnation=3, address="a"),
        run=1,
        link=LAN,
        rng=Random(1),
        remembered=known,
        names=tuple(known),
        away=tuple(known),
    )


def test_the_greater_incarnation_wins_and_the_oldest_go_first() -> None:
    names = [f"n{index:03}" for index in range(FORGOTTEN_MAX + 20)]
    one, other = Forgotten({"x": 1_000}), Forgotten()
    assert one.merge({"x": 1_001}) and not one.merge({"x": 1_000})
    parts = [
        {name: index for index, name in enumerate(names) if index % 3 == part} for part in (0, 1, 2)
    ]
    for part in parts:
        one.merge(part)
    for part in reversed(parts):
        other.merge(part)
    other.merge(one.told())
    assert one.told() == other.told() and len(one.told()) == FORGOTTEN_MAX
    assert one.incarnation_of("x") == 1_001 and not one.covers("n000", 0)


def test_whoever_was_away_does_not_bring_it_back() -> None:
    beliefs = membership("b", "x")
    beliefs.forgotten.merge({"x": 7})
    beliefs.forget("x")
    assert set(beliefs.roster) == {"b"} and len(beliefs.roster) == 1 and "x" not in beliefs.away
    for incarnation in (5, 7):
        beliefs.hear(Rumour("x", "x", incarnation, 2, rank=AWAY), 0)
        assert "x" not in beliefs.roster
    turns = [member.node for member in beliefs.roster.slice(10)]
    assert turns == ["b"]
    assert beliefs.standing(Sender("x", 9, 7, 0, "x"), "x", 0) == "forgotten"
    assert beliefs.correction_of("x").incarnation == 7


def test_one_that_lives_after_all_is_a_member_again() -> None:
    dead = membership("b", "x")
    dead.forgotten.merge({"x": 7})
    dead.forget("x")
    # It hears of it in the answer to what it says, and takes a higher incarnation.
    alive = Membership(
        word=Word("x", "c", "t", 1, incarnation=5, address="x"), run=9, link=LAN, rng=Random(2),
        remembered={}, names=(), away=(),
    )  # fmt: skip
    alive.hear(dead.correction_of("x"), 0)
    sender = alive.sender(address=True)
    assert sender.incarnation == 8 and dead.standing(sender, "x", 0) == "new"
    assert dead.meet(sender, 0) is not None
    assert [member.node for member in dead.roster.slice(10)] == ["b", "x"]
    assert sorted(dead.roster) == ["b", "x"] and len(dead.roster) == 2
