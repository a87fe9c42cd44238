"""The mover's pace: no more than the link's rate, and rest while people are served."""

from node.protocol.throttle import (
    BUSY_MS,
    MESSAGE_BYTES,
    REST_MS_MAX,
    STEP_BYTES_MAX,
    STEP_BYTES_MIN,
    Foreground,
    LinkBudget,
)


def test_a_link_carries_its_rate_and_saves_nothing_up() -> None:
    budget = LinkBudget(8_000)
    assert budget.wait_ms(now_ms=60_000) == 0
    sent, now_ms = 0, 60_000
    while now_ms < 70_000:
        budget.spend(budget.step_bytes - MESSAGE_BYTES, now_ms=now_ms)
        sent += budget.step_bytes
        now_ms += budget.wait_ms(now_ms=now_ms)
    assert sent == 10 * 8_000


def test_live_copies_make_the_mover_wait_longer() -> None:
    budget = LinkBudget(1_000)
    budget.spend(1_000, now_ms=0)
    budget.spend(500, now_ms=0)
    owed_ms = 1_500 + 2 * MESSAGE_BYTES
    assert budget.wait_ms(now_ms=0) == owed_ms
    assert budget.wait_ms(now_ms=owed_ms - 100) == 100
    assert budget.wait_ms(now_ms=owed_ms + 500) == 0


def test_steps_fit_the_link() -> None:
    assert LinkBudget(0).step_bytes == STEP_BYTES_MAX
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
