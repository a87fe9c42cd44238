"""Holding back writes of some codes for a moment, at the node that spreads them.

Copies that another spreader sends are let through: that node gives one to the owner to come as
well, or owes it, so what it sends here is nothing that the second change could lose.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from node.clock import Clock
from node.errors import DeadlineExceeded
from zring.morton import Int64s
from zring.span import Spans, contains


class Gate:
    """Writes pass; while it is closed for some codes, those that touch them wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._closed: Spans | None = None
        self._opened = asyncio.Event()
        self._passing: dict[int, Int64s] = {}
        self._left = asyncio.Event()
        self._number = 0

    async def wait(self, codes: Int64s, *, deadline_ms: int) -> bool:
        """Wait while any of the codes is held back; returns whether that was so.

        Raises:
            DeadlineExceeded: time is up; nothing was written.
        """
        waited = False
        while self._closed is not None and contains(self._closed, codes).any():
            waited = True
            left_ms = deadline_ms - self._clock.now_ms()
            try:
                async with asyncio.timeout(max(left_ms, 0) / 1_000):
                    await self._opened.wait()
            except TimeoutError:
                raise DeadlineExceeded(
                    "the time given passed while the area was handed to another owner; send again"
                ) from None
        return waited

    @contextmanager
    def passing(self, codes: Int64s) -> Iterator[None]:
        """A write is under way until it is stored and its copies are known to be owed."""
        self._number += 1
        number = self._number
        self._passing[number] = codes
        try:
            yield
        finally:
            del self._passing[number]
            self._left.set()

    @contextmanager
    def closed(self, spans: Spans) -> Iterator[None]:
        """Hold back writes of some codes; one part at a time."""
        assert self._closed is None, "one hand-over at a time"
        self._closed = spans
        self._opened.clear()
        try:
            yield
        finally:
            self._closed = None
            self._opened.set()

    async def wait_passed(self, spans: Spans, *, deadline_ms: int) -> bool:
        """Wait until the writes of some codes that were let through are stored; False: too late."""
        under_way = [
            number
            for number, codes in self._passing.items()
            if bool(np.any(contains(spans, codes)))
        ]
        while any(number in self._passing for number in under_way):
            self._left.clear()
            left_ms = deadline_ms - self._clock.now_ms()
            try:
                async with asyncio.timeout(max(left_ms, 0) / 1_000):
                    await self._left.wait()
            except TimeoutError:
                return False
        return True
