"""The clock seam: the only place where a node learns what time it is."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall and monotonic time. Called from anywhere on the event loop; never blocks."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC, as this machine believes; may jump."""

    def now_ms(self) -> int:
        """Milliseconds of a clock that never goes back; its zero means nothing."""


class SystemClock:
    """The machine's own clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000
