"""The mover's pace: no more than the link's rate, and rest while people are served."""

from node.protocol.throttle import (
    BUSY_MS,
    MESSAGE_BYTES,
    PACKET_BYTES,
    PACKET_HEAD_BYTES,
    REST_MS_MAX,
    STEP_BYTES_FIRST,
    STEP_BYTES_LEAST,
    STEP_BYTES_MAX,
    STEP_BYTES_MIN,
    Foreground,
    LinkBudget,
    wire_bytes,
)


def test_a_link_carries_its_rate_and_saves_nothing_up() -> None:
    budget = LinkBudget(8_000)
    assert budget.wait_ms(now_ms=60_000) == 0
    sent, now_ms = 0, 60_000
    while now_ms < 70_000:
        budget.spend(budget.step_bytes, now_ms=now_ms)
        sent += wire_bytes(budget.step_bytes)
        now_ms += budget.wait_ms(now_ms=now_ms)
    assert sent <= 8_000 * (now_ms - 60_000) / 1_000 + 8_000 / 1_000
    assert sent > 9 * 8_000


def test_a_line_carries_heads_and_what_is_lost_as_well() -> None:
    """Measured on a kept connection: a message of 8,000 bytes takes some 8,600 without a loss."""
    assert 8_900 < 0.95 * wire_bytes(8_000) < 9_200
    assert wire_bytes(0) >= MESSAGE_BYTES + PACKET_HEAD_BYTES
    assert wire_bytes(10**6) > 10**6 * (1 + PACKET_HEAD_BYTES / PACKET_BYTES) / 0.95


def test_live_copies_make_the_mover_wait_longer() -> None:
    budget = LinkBudget(1_000)
    budget.spend(1_000, now_ms=0)
    alone_ms = budget.wait_ms(now_ms=0)
    budget.spend(500, now_ms=0)
    owed_ms = budget.wait_ms(now_ms=0)
    assert owed_ms == wire_bytes(1_000) + wire_bytes(500) > alone_ms + 500
    assert budget.wait_ms(now_ms=owed_ms - 100) == 100
    assert budget.wait_ms(now_ms=owed_ms + 500) == 0


def test_steps_fit_the_link() -> None:
    assert LinkBudget(0).step_bytes == STEP_BYTES_FIRST
    assert LinkBudget(8_000).step_bytes == 8_000
    assert LinkBudget(100).step_bytes == STEP_BYTES_MIN
    free = LinkBudget(0)
    free.spend(1 << 40, now_ms=0)
    assert free.wait_ms(now_ms=0) == 0


def test_the_mover_rests_while_people_are_served() -> None:
    foreground = Foreground(rest_share=3.0)
    assert not foreground.busy(0, now_ms=0)
    assert foreground.busy(1, now_ms=10)
    assert foreground.busy(1, now_ms=10 + BUSY_MS - 1)
    assert not foreground.busy(1, now_ms=10 + BUSY_MS)
    assert foreground.rest_ms(20, busy=True) == 60
    assert foreground.rest_ms(20, busy=False) == 0
    assert foreground.rest_ms(60_000, busy=True) == REST_MS_MAX
    assert Foreground(rest_share=0.0).rest_ms(500, busy=True) == 0


def test_steps_grow_on_a_wide_link_however_far_it_reaches() -> None:
    for distance_ms in (0, 600):
        budget = LinkBudget(0)
        for _ in range(10):
            budget.took(budget.step_bytes, distance_ms + 10)
        assert budget.step_bytes == STEP_BYTES_MAX


def test_steps_of_a_narrow_link_keep_it_for_less_than_a_probe_waits() -> None:
    budget, bytes_per_ms = LinkBudget(0), 100
    budget.took(100, 1)
    for _ in range(10):
        budget.took(budget.step_bytes, 1 + budget.step_bytes // bytes_per_ms)
    assert STEP_BYTES_LEAST <= budget.step_bytes <= 400 * bytes_per_ms


def test_small_messages_tell_nothing_and_failures_halve_twice() -> None:
    budget = LinkBudget(0)
    for _ in range(10):
        budget.took(100, 1)
    assert budget.step_bytes == STEP_BYTES_FIRST
    budget.failed()
    assert budget.step_bytes == STEP_BYTES_FIRST // 4
