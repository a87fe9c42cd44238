"""What is known of every block without reading it: one fixed-width summary each.

The summaries of one collection form a `BlockIndex`: immutable, sorted by slice, so that a time
range is found by bisection and everything else by comparing short columns. The same bytes are
stored beside the blocks, so that a start reads the small index and no block.
"""

from bisect import bisect_right
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
Entry = tuple[int, ...]
"""One summary as Python's numbers, in the order of SUMMARY's fields."""
ENTRY_SLICES_MAX = 256
"""Slices whose entries are kept: of usual ones some 5,000 entries, 3 MB."""
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

    @cached_property
    def _edges(self) -> tuple[list[int], list[int]]:
        """`slices` as Python's numbers: bisecting a list costs a tenth of asking numpy."""
        starts, first = self.slices
        return starts.tolist(), first.tolist()

    def _slices_between(self, time_start: int, time_stop: int) -> range:
        """Places of the slices that meet a half-open time range."""
        starts = self._edges[0]
        if not starts or time_start >= time_stop:
            return range(0)
        low = max(bisect_right(starts, time_start) - 1, 0)
        return range(low, bisect_right(starts, time_stop - 1))

    def between(self, time_start: int, time_stop: int) -> slice:
        """The blocks whose slices meet a half-open time range."""
        slices, first = self._slices_between(time_start, time_stop), self._edges[1]
        return slice(first[slices.start], first[slices.stop]) if slices else slice(0, 0)

    @cached_property
    def _entries(self) -> dict[int, list[Entry]]:
        return {}

    def entries(self, time_start: int, time_stop: int) -> list[Entry]:
        """The summaries of `between` as tuples in the order of SUMMARY's fields.

        For ranges of few slices: what was made before is kept for the next question.
        """
        first, known = self._edges[1], self._entries
        found: list[Entry] = []
        for place in self._slices_between(time_start, time_stop):
            entries = known.get(place)
            if entries is None:
                if len(known) >= ENTRY_SLICES_MAX:
                    known.clear()
                entries = self.summaries[first[place] : first[place + 1]].tolist()
                known[place] = entries
            found += entries
        return found

    def slice_starts(self) -> Int64s:
        """int64[k]: the starts of all slices; the first covers everything before the second."""
        starts = self.slices[0]
        if len(starts) and starts[0] == SLICE_FIRST:
            return starts
        return np.concatenate((np.array([SLICE_FIRST], np.int64), starts))
