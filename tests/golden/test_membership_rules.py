"""Rules of membership that promises rest on: without one of them its script ends otherwise."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node.protocol import swim
from node.protocol.membership import Membership
from node.protocol.roster import Draw, Roster
from node.protocol.swim import Swim
from tests.golden.members_stage import MembersStage
from tests.golden.test_scripts import played

SCRIPTS = Path(__file__).parent / "scripts" / "members"
Switch = Callable[[pytest.MonkeyPatch], None]


def no_incarnation_refutes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Membership, "_about_self", lambda *_: [])


def nobody_probes_for_others(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Roster, "sample", lambda *_, **__: [])


def who_is_away_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Draw, "draw", lambda *_: None)


def bytes_say_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Membership, "felt", lambda *_: [])


def strangers_are_answered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Swim, "refusal", lambda *_: None)


def test_a_suspicion_is_refuted_by_a_higher_incarnation(patch: pytest.MonkeyPatch) -> None:
    check(patch, "suspected_and_refuted", no_incarnation_refutes, kept="c alive, incarnation 2")


def test_a_cut_link_makes_nobody_suspect_where_others_probe(patch: pytest.MonkeyPatch) -> None:
    """As in a large cluster: a small one also tells how lately everybody was heard."""
    patch.setattr(swim, "AGES_MEMBERS_MAX", 0)
    text = (SCRIPTS / "one_cut_link.txt").read_text()
    assert "suspect" not in played(told(text), MembersStage())
    nobody_probes_for_others(patch)
    assert "is suspect" in played(told(text), MembersStage())


def test_who_fills_a_line_is_not_away(patch: pytest.MonkeyPatch) -> None:
    text = told((SCRIPTS / "a_full_line.txt").read_text()).partition("> cut")[0]
    assert "is away" not in played(text, MembersStage())
    bytes_say_nothing(patch)
    assert "is away" in played(text, MembersStage())


def test_halves_meet_again_because_nobody_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    check(patch, "a_long_split", who_is_away_is_forgotten, kept="d e f: a is alive")


def test_strangers_stay_out(patch: pytest.MonkeyPatch) -> None:
    check(patch, "a_stranger", strangers_are_answered, kept="a: x refused")


def check(patch: pytest.MonkeyPatch, script: str, switch: Switch, *, kept: str) -> None:
    """Some words of a script are among the answers with the rule, and not without it."""
    text = told((SCRIPTS / f"{script}.txt").read_text())
    assert kept in played(text, MembersStage())
    switch(patch)
    assert kept not in played(text, MembersStage())


def told(text: str) -> str:
    """What is done in a script, without answers and remarks."""
    return "\n".join(line for line in text.splitlines() if line.startswith(">"))


@pytest.fixture(name="patch")
def _patch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch
