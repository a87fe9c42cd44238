"""Records as sensors really send them: some late, some twice."""

import numpy as np
import pyarrow as pa

from ingest.generate.noise import Int64s, uniform

LATE_RECORDS = 5_000
"""A late record comes after that many others."""
_LATE, _TWICE = 21, 22
"""Streams of random numbers."""


class Disturbance:
    """Delays and repeats shares of the records; the seed alone decides which.

    Args:
        late, duplicates: shares, 0 to 1.

    Attributes:
        late_count, duplicate_count: what was done so far.
    """

    def __init__(self, *, late: float, duplicates: float, seed: int) -> None:
        self._late, self._duplicates, self._seed = late, duplicates, seed
        self._seen = 0
        self._held: list[tuple[int, pa.RecordBatch]] = []
        self.late_count = self.duplicate_count = 0

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What is sent instead of this batch: without the late ones, with those that are due."""
        if not self._late and not self._duplicates:
            return batch
        counters = np.arange(self._seen, self._seen + len(batch), dtype=np.int64)
        self._seen += len(batch)
        is_late = self._draw(_LATE, counters) < self._late
        twice = np.flatnonzero(self._draw(_TWICE, counters) < self._duplicates)
        late = np.flatnonzero(is_late)
        self.late_count += len(late)
        self.duplicate_count += len(twice)
        parts = [batch.take(pa.array(np.flatnonzero(~is_late))), batch.take(pa.array(twice))]
        parts += [held for due, held in self._held if due <= self._seen]
        self._held = [(due, held) for due, held in self._held if due > self._seen]
        if len(late):
            self._held.append((self._seen + LATE_RECORDS, batch.take(pa.array(late))))
        return _joined(parts)

    def rest(self) -> pa.RecordBatch | None:
        """The late ones that are left when everything else was sent."""
        held, self._held = [batch for _, batch in self._held], []
        return _joined(held) if held else None

    def _draw(self, stream: int, counters: Int64s) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return uniform(self._seed, stream, counters, np.zeros(1, np.int64))


def _joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    filled = [part for part in parts if len(part)]
    if len(filled) < 2:
        return filled[0] if filled else parts[0]
    return pa.Table.from_batches(filled).combine_chunks().to_batches()[0]
