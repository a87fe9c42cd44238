"""Greetings, seals and doubles as values: who gets a session, and what it lets through."""

from random import Random
from typing import Any

import pytest

from node.errors import BadRequest, PeerRefused, Unauthorised
from node.peer.identity import PeerIdentity
from node.peer.session import DOUBLE_S, PENDING_MAX, WINDOW, Session, Sessions, Speakers

KEY = "a key of enough characters"
SQUARE = (0, 0, 16, 16)


def identity(node: str = "a", **other: Any) -> PeerIdentity:
    fields = {"node": node, "cluster": "c", "domain": SQUARE, "grain_level": 8, **other}
    return PeerIdentity(**fields)


def pair(
    caller: PeerIdentity | None = None,
    called: PeerIdentity | None = None,
    *,
    keys: tuple[str, str] = (KEY, KEY),
    covers_bodies: bool = True,
) -> tuple[Sessions, Sessions]:
    return (
        Sessions(caller or identity("a"), keys[0], covers_bodies=covers_bodies),
        Sessions(called or identity("b"), keys[1], covers_bodies=covers_bodies),
    )


def opened(caller: Sessions, called: Sessions) -> Session:
    ask = caller.ask()
    answer, _ = called.answer(ask)
    return caller.accept(ask, answer)


def receive(called: Sessions, text: str, body: bytes) -> Session:
    session, _, digest = called.check(text, len(body))
    assert session.digest((body,)) == digest
    return session


@pytest.mark.parametrize("key", ["", KEY])
@pytest.mark.parametrize("covers_bodies", [True, False])
def test_messages_of_a_session_pass_and_its_replies_too(key: str, covers_bodies: bool) -> None:
    caller, called = pair(keys=(key, key), covers_bodies=covers_bodies)
    session = opened(caller, called)
    assert session.peer.node == "b"
    for body in (b"", b"one", b"two"):
        text, counter = session.seal((body[:1], body[1:]), len(body))
        there = receive(called, text, body)
        assert there.peer.node == "a"
        seal = there.seal_answer(counter, (b"re", body), 2 + len(body))
        session.check_answer(seal, counter, b"re" + body)


@pytest.mark.parametrize("keys", [(KEY, ""), ("", KEY), (KEY, KEY + " ")])
def test_a_wrong_key_is_no_session(keys: tuple[str, str]) -> None:
    caller, called = pair(keys=keys)
    with pytest.raises(Unauthorised, match="cluster key"):
        opened(caller, called)
    assert not len(called)


def test_whoever_answers_without_the_key_is_refused_by_the_caller() -> None:
    caller, _ = pair()
    _, impostor = pair(keys=("", ""))
    ask = caller.ask()
    answer, _ = impostor.answer({**ask, "proof": b""})
    with pytest.raises(Unauthorised, match="cluster key"):
        caller.accept(ask, answer)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"cluster": "d"}, "other-cluster"),
        ({"domain": (0, 0, 16, 17)}, "other-domain"),
        ({"grain_level": 9}, "other-grain-level"),
        ({"node": "a"}, "duplicate-identity"),
    ],
)
def test_strangers_hear_why_from_both_sides(other: dict[str, Any], reason: str) -> None:
    caller, called = pair(identity("a"), identity(**{"node": "b", **other}))
    for one, two in ((caller, called), (called, caller)):
        with pytest.raises(PeerRefused) as refused:
            opened(one, two)
        assert refused.value.peer_reason == reason


def test_a_message_passes_once() -> None:
    caller, called = pair()
    session = opened(caller, called)
    texts = [session.seal((b"x",), 1)[0] for _ in range(WINDOW + 100)]
    rng = Random(3)
    late = texts[99:]
    rng.shuffle(late)
    for text in late:
        receive(called, text, b"x")
    for text in (*rng.sample(late, 50), texts[0]):
        with pytest.raises(Unauthorised, match="twice"):
            receive(called, text, b"x")


def test_a_changed_message_does_not_pass() -> None:
    caller, called = pair()
    session = opened(caller, called)
    text, counter = session.seal((b"body",), 4)
    rng = Random(5)
    for _ in range(500):
        place = rng.randrange(len(text))
        changed = text[:place] + rng.choice("0123456789abcdef.-é\udcff") + text[place + 1 :]
        if changed != text:
            with pytest.raises(Unauthorised):
                called.check(changed, 4)
    with pytest.raises(Unauthorised):
        called.check(text, 5)
    there, _, digest = called.check(text, 4)
    assert there.digest((b"evil",)) != digest
    answer = there.seal_answer(counter, (b"reply",), 5)
    for seal, number, body in [
        (answer, counter + 1, b"reply"),
        (answer, counter, b"replY"),
        ("", counter, b"reply"),
        ("-.-", counter, b"reply"),
    ]:
        with pytest.raises(Unauthorised):
            session.check_answer(seal, number, body)


def test_a_greeting_that_is_played_back_opens_nothing_usable() -> None:
    caller, called = pair()
    ask = caller.ask()
    answer, _ = called.answer(ask)
    session = caller.accept(ask, answer)
    again, _ = called.answer(ask)
    text, _ = session.seal((b"",), 0)
    with pytest.raises(Unauthorised):
        called.check(text.replace(session.id, again["session"]), 0)
    for _ in range(PENDING_MAX):
        called.answer(ask)
    assert len(called) == PENDING_MAX


def test_any_plain_values_are_no_greeting() -> None:
    _, called = pair()
    good = pair()[0].ask()
    strange: list[Any] = [None, 1 << 70, "x" * 1_000, b"x", [1, 2, 3, "4"], {}, 1.5, True]
    for name in good:
        for value in strange:
            if name != "version":
                with pytest.raises((BadRequest, Unauthorised)):
                    called.answer({**good, name: value})
    with pytest.raises(BadRequest):
        called.answer({})


def test_a_certificate_must_name_the_node() -> None:
    caller, called = pair()
    with pytest.raises(Unauthorised, match="certificate names x"):
        called.answer(caller.ask(), frozenset(["x"]))
    called.answer(caller.ask(), frozenset(["x", "a"]))


class Wire:
    def __init__(self) -> None:
        self.closed = False

    def is_closing(self) -> bool:
        return self.closed


def test_a_double_is_refused_while_the_first_is_alive() -> None:
    first, second, wire = identity(), identity(), Wire()
    speakers = Speakers()
    speakers.heard(first, wire, 0.0)
    with pytest.raises(PeerRefused, match="two processes"):
        speakers.heard(second, Wire(), 1.0)
    with pytest.raises(PeerRefused):
        speakers.check(second, 1.0)
    speakers.heard(first, wire, 2.0)
    # Restarted: its connections are closed.
    wire.closed = True
    speakers.heard(second, Wire(), 2.1)
    with pytest.raises(PeerRefused):
        speakers.heard(identity(), Wire(), 2.2)


def test_a_process_that_was_only_silent_wins_over_its_double() -> None:
    first, second = identity(), identity()
    speakers = Speakers()
    speakers.heard(first, Wire(), 0.0)
    speakers.heard(second, Wire(), DOUBLE_S + 1)
    speakers.heard(first, Wire(), DOUBLE_S + 2)
    with pytest.raises(PeerRefused):
        speakers.heard(second, Wire(), DOUBLE_S + 3)


def test_another_process_at_the_same_address_has_replaced_the_first() -> None:
    first, second = identity(), identity()
    speakers = Speakers()
    speakers.heard(first, Wire(), 0.0)
    speakers.replaced("a", second.instance)
    with pytest.raises(PeerRefused):
        speakers.heard(second, Wire(), 1.0)
    speakers.replaced("a", first.instance)
    speakers.heard(second, Wire(), 1.0)
