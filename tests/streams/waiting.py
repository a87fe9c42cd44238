"""Waiting for what other processes do: for a condition, with a deadline."""

import time
from collections.abc import Callable

POLL_S = 0.02
DEADLINE_S = 90.0
"""Generous: it costs nothing while things go well, and the machine may be busy."""


def wait_until(
    condition: Callable[[], object], what: str, *, deadline_s: float = DEADLINE_S
) -> None:
    """Return when the condition holds; fail with `what` after the deadline."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"{what}: not within {deadline_s:g} s"
        time.sleep(POLL_S)


def pass_time(seconds: float) -> None:
    """Let a moment pass that a seed has chosen: faults come when they like."""
    time.sleep(seconds)
