"""An event loop whose time is virtual: it jumps to the next timer instead of waiting.

Nothing in it sleeps, and nothing outside it can wake it: when no callback is ready and no timer
is set, the program would wait for ever, and the loop says so.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any


class Deadlock(Exception):
    """Raised when every task waits for something that can never happen."""


DUE_S = 1e-7
"""Timers closer than this count as due: far below a microsecond, above float rounding."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """`asyncio`'s own loop on a clock that starts at 0 and jumps.

    A life is mostly timers and callbacks, so their queues are kept here: the same order as in
    `asyncio`, timers of one moment in the order in which they were set, and no look at files.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._timers: list[tuple[float, int, _Handle]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> "_Handle":
        timer = _Handle(callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> "_Handle":
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        # A timer that was cancelled is passed over when its moment comes.
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not ready and not self._stopping:
            if not timers:
                raise Deadlock("every task waits, and no timer is set")
            self._now_s = max(self._now_s, timers[0][0])
        while timers and timers[0][0] < self._now_s + DUE_S:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()


class _Handle(asyncio.Handle):
    """One that does not ask whether to remember where it was made: a life is made of them."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: Sequence[Any],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None

    def cancel(self) -> None:
        self._cancelled = True
        self._callback = self._args = None


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
