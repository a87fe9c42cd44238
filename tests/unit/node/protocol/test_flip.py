"""When the old owner may hand over, and how often it tries."""

from dataclasses import replace

from node.protocol.flip import (
    FAILED_MAX,
    RETRY_MS_MAX,
    Flips,
    Target,
    moves_from,
    reason_to_wait,
)
from node.protocol.rules import Rules
from zring.domain import DEMO_DOMAIN
from zring.ring import founding_ring
from zring.span import EVERYTHING, Spans

SPANS: Spans = ((0, 10), (20, 30))
READY = Target(
    contact=True, same_ring=True, filled=((0, 30),), uncompared=((30, 40),), failed=FAILED_MAX
)


def test_all_codes_of_one_target_go_together() -> None:
    ring = founding_ring("c", DEMO_DOMAIN, 4, ["a", "b"])
    grain = ring.grain_codes
    ring = ring.announce(((0, grain), (4 * grain, 6 * grain)), next="c")
    ring = ring.announce(((2 * grain, 3 * grain),), next="b")
    ring = ring.announce(((200 * grain, 201 * grain),), next="c")
    assert moves_from(ring, "a") == {
        "b": ((2 * grain, 3 * grain),),
        "c": ((0, grain), (4 * grain, 6 * grain)),
    }
    assert moves_from(ring, "b") == {"c": ((200 * grain, 201 * grain),)}
    assert moves_from(ring, "c") == {}
    assert list(moves_from(ring, "c", rules=Rules(old_owner_flips=False))) == ["c"]


def test_why_a_target_has_to_wait() -> None:
    assert reason_to_wait(SPANS, READY) is None
    for changes, words in (
        ({"contact": False}, "away"),
        ({"same_ring": False}, "another ring"),
        ({"filled": ((0, 29),)}, "not filled"),
        ({"uncompared": ((29, 40),)}, "being compared"),
        ({"failed": FAILED_MAX + 1}, "lacks 65 places"),
    ):
        assert words in (reason_to_wait(SPANS, replace(READY, **changes)) or "")  # type: ignore[arg-type]


def test_a_failed_try_waits_longer_each_time() -> None:
    flips, now_ms, pauses = Flips(), 0, []
    for _ in range(12):
        assert flips.tick({"t": SPANS}, {"t": READY}, now_ms) == ["t"]
        flips.failed("t", "too slow", now_ms=now_ms, chance=0.5)
        assert flips.tick({"t": SPANS}, {"t": READY}, now_ms) == []
        assert flips.turns["t"].reason == "too slow"
        pauses.append(flips.turns["t"].due_ms - now_ms)
        now_ms = flips.turns["t"].due_ms
    assert pauses[:4] == [500, 1_000, 2_000, 4_000] and pauses[-1] == RETRY_MS_MAX
    assert flips.tick(
        {"t": EVERYTHING}, {"t": replace(READY, filled=EVERYTHING, uncompared=())}, 0
    ) == ["t"]


def test_waiting_for_the_target_is_no_failed_try() -> None:
    flips = Flips()
    away = replace(READY, contact=False)
    for now_ms in range(0, 100_000, 1_000):
        assert flips.tick({"t": SPANS}, {"t": away}, now_ms) == []
    assert flips.turns["t"].reason == "the target is away"
    assert flips.tick({"t": SPANS}, {"t": READY}, 100_000) == ["t"]
    assert flips.turns["t"].failures == 0
    assert flips.tick({}, {}, 100_001) == [] and not flips.turns
