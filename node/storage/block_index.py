"""What is known of every block without reading it: one fixed-width summary each.

The summaries of one collection form a `BlockIndex`: immutable, sorted by slice, so that a time
range is found by bisection and everything else by comparing short columns. The same bytes are
stored beside the blocks, so that a start reads the small index and no block.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from node.records import Rows
from zring.morton import Int64s

SUMMARY = np.dtype(
    [
        ("block", "<u8"),
        ("run", "<u8"),
        ("slice_start", "<i8"),
        ("code_low", "<i8"),
        ("code_high", "<i8"),
        ("time_first", "<i8"),
        ("hash_first", "<u8"),
        ("time_low", "<i8"),
        ("time_high", "<i8"),
        ("west", "<i4"),
        ("south", "<i4"),
        ("east", "<i4"),
        ("north", "<i4"),
        ("rows", "<u4"),
        ("bytes", "<u4"),
    ]
)
"""104 bytes. Bounds are closed. (code_low, time_first, hash_first) is the key of the first row."""
Summaries = npt.NDArray[Any]
SLICE_FIRST = -(1 << 63)
"""Where the first slice of every collection starts; slices cover all of time."""


def summarise(rows: Rows, *, block: int, run: int, slice_start: int, size_bytes: int) -> Summaries:
    """SUMMARY[1] of a block of sorted rows."""
    return np.array(
        [
            (
                block,
                run,
                slice_start,
                rows.code[0],
                rows.code[-1],
                rows.time[0],
                rows.sensor_hash[0],
                rows.time.min(),
                rows.time.max(),
                rows.lon.min(),
                rows.lat.min(),
                rows.lon.max(),
                rows.lat.max(),
                len(rows),
                size_bytes,
            )
        ],
        SUMMARY,
    )


@dataclass(frozen=True)
class BlockIndex:
    """The summaries of one collection's blocks, SUMMARY[n] sorted by (slice, run, first key)."""

    summaries: Summaries

    @classmethod
    def of(cls, summaries: Summaries) -> "BlockIndex":
        """Sort summaries that come in any order."""
        names = ("hash_first", "time_first", "code_low", "run", "slice_start")
        order = np.lexsort([summaries[name] for name in names])
        return cls(summaries[order])

    def __len__(self) -> int:
        return len(self.summaries)

    def replaced(self, removed: npt.NDArray[np.uint64], added: Summaries) -> "BlockIndex":
        """Without the blocks of these ids, with the added ones."""
        kept = self.summaries[~np.isin(self.summaries["block"], removed)]
        return BlockIndex.of(np.concatenate([kept, added]))

    @cached_property
    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The summaries column by column: comparing is several times faster than in rows."""
        return {name: np.ascontiguousarray(self.summaries[name]) for name in SUMMARY.names or ()}

    @cached_property
    def rows(self) -> int:
        """Rows of all blocks."""
        return int(self.summaries["rows"].sum(dtype=np.int64))

    @cached_property
    def slices(self) -> tuple[Int64s, npt.NDArray[np.intp]]:
        """Starts of the slices that have blocks, and where the blocks of each begin (k + 1)."""
        starts, first = np.unique(self.summaries["slice_start"], return_index=True)
        return starts, np.append(first, len(self.summaries))

    def between(self, time_start: int, time_stop: int) -> slice:
        """The blocks whose slices meet a half-open time range."""
        starts, first = self.slices
        if not len(starts) or time_start >= time_stop:
            return slice(0, 0)
        # Python's bisect over numpy costs less than converting; both ends in one call.
        low, high = starts.searchsorted((time_start, time_stop - 1), side="right")
        return slice(int(first[max(int(low) - 1, 0)]), int(first[int(high)]))

    def slice_starts(self) -> Int64s:
        """int64[k]: the starts of all slices; the first covers everything before the second."""
        starts = self.slices[0]
        if len(starts) and starts[0] == SLICE_FIRST:
            return starts
        return np.concatenate((np.array([SLICE_FIRST], np.int64), starts))
