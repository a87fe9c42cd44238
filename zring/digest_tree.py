"""A quadtree of set digests: where two stores differ is found by comparing few numbers.

Every cell that holds something has the sum of the digests below it. Two trees are compared from
the root down; only below cells that differ does anybody look further. Values only: who asks whom
for which cells is not decided here.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from zring.digest import Int64s, SetDigest, UInt64s


@dataclass(frozen=True, slots=True)
class CellDigests:
    """Set digests of cells of one level.

    Attributes:
        cells: int64[n], indices along the curve, rising.
        totals: uint64[n].
        counts: int64[n], each above 0.
    """

    cells: Int64s
    totals: UInt64s
    counts: Int64s

    def below(self, parents: Int64s) -> "CellDigests":
        """Those whose parent, one level up, is among `parents` (rising)."""
        at = np.searchsorted(parents, self.cells >> 2)
        chosen = (
            parents[np.minimum(at, len(parents) - 1)] == self.cells >> 2 if len(parents) else []
        )
        kept = np.flatnonzero(chosen)
        return CellDigests(self.cells[kept], self.totals[kept], self.counts[kept])


@dataclass(frozen=True, slots=True)
class DigestTree:
    """Digests of all levels; `levels[k]` holds the cells of level k that are not empty."""

    levels: tuple[CellDigests, ...]

    @classmethod
    def build(cls, grains: CellDigests, *, grain_level: int) -> Self:
        """Sum up the digests of grains level by level. Cost: a few passes over the grains."""
        levels = [grains]
        for _ in range(grain_level):
            below = levels[-1]
            parents = below.cells >> 2
            starts = np.flatnonzero(np.append(True, parents[1:] != parents[:-1])[: len(parents)])
            if not len(starts):
                levels.append(below)
                continue
            levels.append(
                CellDigests(
                    parents[starts],
                    np.add.reduceat(below.totals, starts),
                    np.add.reduceat(below.counts, starts),
                )
            )
        return cls(tuple(reversed(levels)))

    def root(self) -> SetDigest:
        """The digest of everything."""
        top = self.levels[0]
        if not len(top.cells):
            return SetDigest()
        return SetDigest(int(top.totals[0]), int(top.counts[0]))


def differing_cells(mine: CellDigests, theirs: CellDigests) -> Int64s:
    """Cells that one side has and the other has not, or has with another digest; rising."""
    cells = np.union1d(mine.cells, theirs.cells)
    totals = [np.zeros(len(cells), np.uint64) for _ in range(2)]
    counts = [np.zeros(len(cells), np.int64) for _ in range(2)]
    for side, digests in enumerate((mine, theirs)):
        at = np.searchsorted(cells, digests.cells)
        totals[side][at] = digests.totals
        counts[side][at] = digests.counts
    return cells[(totals[0] != totals[1]) | (counts[0] != counts[1])]


def differing_grains(mine: DigestTree, theirs: DigestTree) -> Int64s:
    """Grains in which two trees of equal depth differ. Cost: four cells a level and difference."""
    assert len(mine.levels) == len(theirs.levels)
    cells = differing_cells(mine.levels[0], theirs.levels[0])
    for upper, lower in zip(mine.levels[1:], theirs.levels[1:], strict=True):
        cells = differing_cells(upper.below(cells), lower.below(cells))
    return cells
