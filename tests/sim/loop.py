"""An event loop whose time is virtual: it jumps to the next timer instead of waiting.

Nothing in it sleeps, and nothing outside it can wake it: when no callback is ready and no timer
is set, the program would wait for ever, and the loop says so.
"""

import asyncio
import selectors
from typing import Any


class Deadlock(Exception):
    """Raised when every task waits for something that can never happen."""


class _JumpingSelector(selectors.SelectSelector):
    """Watches no file for real; what would be waiting moves the clock forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("every task waits, and no timer is set")
        if timeout > 0:
            self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`asyncio`'s own loop on a clock that starts at 0 and jumps."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        # Timers closer than this count as due: far below a microsecond, above float rounding.
        self._clock_resolution = 1e-7

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now_s


class VirtualClock:
    """`node.clock.Clock` on a virtual loop.

    Args:
        skew_us: how far this machine's wall clock is ahead of the true time.
    """

    EPOCH_US = 1_700_000_000_000_000

    def __init__(self, loop: VirtualLoop, *, skew_us: int = 0) -> None:
        self._loop = loop
        self.skew_us = skew_us

    def now_us(self) -> int:
        return self.EPOCH_US + round(self._loop.time() * 1e6) + self.skew_us

    def now_ms(self) -> int:
        return int(self._loop.time() * 1e3 + 1e-4)
