"""What readers see: one immutable view a collection, replaced by the writer thread alone.

Replacing a view is one assignment into a dict, so that a reader on another thread sees either
the view before or the one after, each of them whole.
"""

from dataclasses import dataclass, replace

import numpy as np

from node.storage.block_index import SUMMARY, BlockIndex
from node.storage.collection import with_records
from node.storage.engine import CollectionStatistics
from node.storage.memtable import Segments, count_rows

NO_BLOCKS = BlockIndex(np.empty(0, SUMMARY))


@dataclass(frozen=True, slots=True)
class CollectionView:
    """The state of one collection at one moment.

    Attributes:
        number: stands for the name in the index.
        known: bounds and types; its count of records means nothing.
        active: log in memory since the last merge began. frozen: what that merge is working on.
        index: the blocks.
    """

    number: int
    known: CollectionStatistics
    active: Segments = ()
    frozen: Segments = ()
    index: BlockIndex = NO_BLOCKS

    @property
    def log_rows(self) -> int:
        """Rows in memory."""
        return count_rows(self.active) + count_rows(self.frozen)

    def statistics(self) -> CollectionStatistics:
        """With the records of blocks and log."""
        return with_records(self.known, self.index.rows + self.log_rows)

    def changed(self, **parts: object) -> "CollectionView":
        """A copy with other parts."""
        return replace(self, **parts)  # type: ignore[arg-type]


Views = dict[str, CollectionView]
