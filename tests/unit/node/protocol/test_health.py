"""Health: scripts of events and what the rules made of them."""

from dataclasses import replace

from node.protocol.health import (
    Changed,
    Failed,
    Health,
    Heard,
    Probe,
    Refused,
    Replied,
    StoreLost,
)
from node.protocol.word import Word

B = Word(node="b", cluster="x", store_id="sb", sequence=5, address="hb", url="http://b")


def health(**changes: object) -> Health:
    given = {
        "here": "a",
        "cluster": "x",
        "members": ["a", "b", "c"],
        "seeds": ["hb", "hc"],
        "interval_ms": 1_000,
        "away_after_probes": 3,
        "now_ms": 0,
        "now_us": 100,
        **changes,
    }
    return Health(**given)  # type: ignore[arg-type]


def test_a_member_comes_goes_and_returns() -> None:
    rules = health()
    assert rules.away() == {"b": 100, "c": 100}
    assert rules.tick(0) == [Probe("hb"), Probe("hc")]
    assert rules.tick(5_000) == [], "a probe is under way"
    assert rules.step(Replied("hb", B, sent_us=200), 10) == [Changed("b", "alive")]
    assert rules.contact() == {"b"}
    assert rules.tick(500) == []
    assert rules.tick(1_010) == [Probe("hb")]
    for now_ms in (2_000, 3_000):
        assert rules.step(Failed("hb"), now_ms) == []
        assert rules.tick(now_ms + 1_000) == [Probe("hb")]
    assert rules.step(Failed("hb"), 4_000) == [Changed("b", "away")]
    assert rules.away() == {"b": 200, "c": 100}, "away since the last contact"
    assert rules.step(Failed("hb"), 5_000) == []
    assert rules.step(Replied("hb", B, sent_us=900), 6_000) == [Changed("b", "alive")]
    assert rules.members["b"].since_us == 900


def test_one_answer_ends_a_row_of_failures() -> None:
    rules = health()
    rules.step(Replied("hb", B, sent_us=200), 0)
    for now_ms in range(0, 8_000, 2_000):
        assert rules.step(Failed("hb"), now_ms) == []
        assert rules.step(Failed("hb"), now_ms) == []
        assert rules.step(Replied("hb", B, sent_us=200), now_ms) == []


def test_as_of_is_the_oldest_word_of_those_in_contact() -> None:
    rules = health()
    assert rules.as_of_us(999) == 999
    rules.step(Replied("hb", B, sent_us=300), 0)
    rules.step(Replied("hc", replace(B, node="c", address="hc", store_id="sc"), sent_us=250), 0)
    assert rules.as_of_us(999) == 250
    for _ in range(3):
        rules.step(Failed("hc"), 0)
    assert rules.as_of_us(999) == 300


def test_a_foreign_cluster_is_refused() -> None:
    rules = health()
    assert rules.step(Replied("hb", replace(B, cluster="y"), sent_us=1), 0) == [
        Refused("hb", "foreign cluster")
    ]
    assert rules.contact() == frozenset()


def test_a_stranger_is_no_member() -> None:
    rules = health()
    assert rules.step(Replied("hb", replace(B, node="z"), sent_us=1), 0) == [
        Refused("hb", "not a member")
    ]


def test_two_processes_with_one_name() -> None:
    rules = health()
    rules.step(Replied("hb", B, sent_us=1), 0)
    double = replace(B, store_id="other", address="hc")
    assert rules.step(Replied("hc", double, sent_us=2), 0) == [Refused("hc", "duplicate identity")]
    assert rules.members["b"].address == "hb"


def test_its_own_address_is_probed_once() -> None:
    rules = health(seeds=["ha", "hb"])
    assert rules.tick(0) == [Probe("ha"), Probe("hb")]
    rules.step(Replied("ha", replace(B, node="a", address="ha"), sent_us=1), 0)
    rules.step(Failed("hb"), 0)
    assert rules.tick(1_000) == [Probe("hb")]


def test_another_store_or_a_lower_sequence_is_a_lost_store() -> None:
    rules = health()
    rules.step(Replied("hb", B, sent_us=1), 0)
    assert rules.step(Replied("hb", replace(B, sequence=9), sent_us=2), 0) == []
    assert rules.step(Replied("hb", replace(B, sequence=8), sent_us=3), 0) == [StoreLost("b")]
    assert rules.step(Replied("hb", replace(B, store_id="new"), sent_us=4), 0) == [StoreLost("b")]


def test_what_was_remembered_tells_a_lost_store_after_a_restart() -> None:
    rules = health(seeds=[], remembered={"b": ("hb", "sb", 7)})
    assert rules.tick(0) == [Probe("hb")]
    assert rules.step(Replied("hb", replace(B, sequence=6), sent_us=1), 0) == [
        StoreLost("b"),
        Changed("b", "alive"),
    ]
    assert rules.remembered() == {"b": ("hb", "sb", 6)}


def test_a_member_that_knocks_is_probed_at_once() -> None:
    rules = health()
    rules.tick(0)
    for _ in range(3):
        rules.step(Failed("hb"), 0)
    assert rules.step(Heard(B), 10) == [Probe("hb")]
    rules.step(Replied("hb", B, sent_us=1), 20)
    assert rules.step(Heard(B), 30) == [], "known to be alive"


def test_a_member_may_come_back_at_another_address() -> None:
    rules = health()
    rules.step(Replied("hb", B, sent_us=1), 0)
    for _ in range(3):
        rules.step(Failed("hb"), 0)
    moved = replace(B, address="new")
    assert Probe("new") in [*rules.step(Heard(moved), 10), *rules.tick(10)]
    assert rules.step(Replied("new", moved, sent_us=2), 20) == [Changed("b", "alive")]
    assert rules.members["b"].address == "new"
    assert Probe("new") in rules.tick(5_000)


def test_addresses_are_learned_from_others() -> None:
    rules = health(seeds=["hb"])
    rules.step(Replied("hb", B, sent_us=1, addresses={"c": "hc"}), 0)
    assert Probe("hc") in rules.tick(1)


def test_the_epoch_rises_only_when_routes_may_change() -> None:
    rules = health()
    rules.step(Replied("hb", B, sent_us=1), 0)
    epoch = rules.epoch
    rules.step(Replied("hb", replace(B, sequence=6, records=9, clock_us=5), sent_us=2), 0)
    assert rules.epoch == epoch
    rules.step(Replied("hb", replace(B, sequence=6, owed={"c": ((0, 4),)}), sent_us=3), 0)
    assert rules.epoch > epoch


def test_members_follow_the_ring() -> None:
    rules = health()
    rules.step(Replied("hb", B, sent_us=1), 0)
    rules.know(["a", "b", "d"])
    assert sorted(rules.members) == ["b", "d"]
    assert rules.members["b"].state == "alive" and rules.members["d"].state == "unknown"
