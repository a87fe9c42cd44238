"""How fast records go out: so many a second, as fast as they once were measured, or at once."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

SLICE_RECORDS_MAX = 10_000
TICK_S = 0.02
"""Records that are due are sent together this often: each reader sees a steady stream."""
US = 1_000_000


class Pace:
    """Cuts batches into slices and waits until each is due. Falls behind where a target is slow,
    and then sends what is due without waiting.

    Args:
        rate: records a second.
        speed: seconds of the records' own time that pass in one second. Only one of the two; with
            neither, nothing waits.
        now_s, wait: a clock and how to let time pass.
    """

    def __init__(
        self,
        *,
        rate: float | None,
        speed: float | None,
        now_s: Callable[[], float],
        wait: Callable[[float], None],
    ) -> None:
        assert rate is None or speed is None, "a rate and a speed contradict each other"
        self._rate, self._speed, self._now_s, self._wait = rate, speed, now_s, wait
        self._began_s: float | None = None
        self._first_us = 0
        self._sent = 0

    def slices(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """The batch in pieces, each when it is due."""
        if not len(batch):
            return
        times_us = np.maximum.accumulate(batch["time"].cast("int64").to_numpy())
        if self._began_s is None:
            self._began_s, self._first_us = self._now_s(), int(times_us[0])
        start = 0
        while start < len(batch):
            due = min(self._due(times_us, start), SLICE_RECORDS_MAX)
            if due <= 0:
                self._wait(TICK_S)
                continue
            piece = batch.slice(start, due)
            start += len(piece)
            self._sent += len(piece)
            yield piece

    def _due(self, times_us: np.ndarray[tuple[int], np.dtype[np.int64]], start: int) -> int:
        """Records from `start` on that should have gone out by now."""
        assert self._began_s is not None
        elapsed_s = self._now_s() - self._began_s
        if self._rate is not None:
            return int(elapsed_s * self._rate) + 1 - self._sent
        if self._speed is not None:
            until_us = self._first_us + int(elapsed_s * self._speed * US)
            return int(np.searchsorted(times_us, until_us, side="right")) - start
        return len(times_us) - start
