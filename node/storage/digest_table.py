"""The digest table of a block: set digests of its rows by cell and day, kept beside the block.

A table is made of the block's rows alone. Its level is the finest up to the grain for which it
has few entries for the rows: a station's rows of a day share one, rows of moving sensors share
those of a coarser cell. Whoever asks for finer cells than a table has reads the rows.

Layout 1 (docs/storage.md): level u8, three bytes zero, then entries of `ENTRY`, sorted by (day,
cell); the whole sealed like every value.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from node.errors import StoreDamaged
from node.records import Rows, record_digests
from node.storage.bucket_digests import DAY_US, summed
from zring.morton import CODE_BITS

ENTRY = np.dtype([("total", "<u8"), ("cell", "<u4"), ("day", "<i4"), ("count", "<u4")])
"""20 bytes. Cells are at most of level 16."""
HEAD_BYTES = 4
LEVEL_MAX = 16
ENTRY_ROWS = 16
"""Rows of a block for each entry of its table, at least: at most 1.25 bytes a row."""
ENTRIES_ALWAYS = 64
"""Entries that a table may have however small its block is."""


@dataclass(frozen=True, slots=True)
class DigestTable:
    """Set digests of one block's rows: ENTRY[n] for cells of one level, each (day, cell) once."""

    level: int
    entries: npt.NDArray[Any]


def make_table(collection: str, rows: Rows, *, grain_level: int) -> DigestTable:
    """The table of a block's rows. Cost: the digest of every row, some 0.2 µs and its values."""
    level = min(grain_level, LEVEL_MAX)
    found = summed(
        rows.code >> (CODE_BITS - 2 * level),
        rows.time // DAY_US,
        record_digests(collection, rows),
        np.ones(len(rows), np.int64),
    )
    entries_max = max(len(rows) // ENTRY_ROWS, ENTRIES_ALWAYS)
    while level and len(found) > entries_max:
        # All levels at once that are sure to be needed: four cells make at most one of the next.
        step = max((-(-len(found) // entries_max) - 1).bit_length() // 2, 1)
        step = min(step, level)
        level -= step
        found = summed(found.cells >> (2 * step), found.days, found.totals, found.counts)
    entries = np.empty(len(found), ENTRY)
    entries["total"], entries["cell"] = found.totals, found.cells
    entries["day"], entries["count"] = found.days, found.counts
    return DigestTable(level, entries)


def table_to_bytes(table: DigestTable) -> bytes:
    """See the layout above."""
    return bytes((table.level, 0, 0, 0)) + table.entries.tobytes()


def bytes_to_table(data: bytes, *, name: str) -> DigestTable:
    """The table that was stored.

    Raises:
        StoreDamaged: these are not the bytes of a table.
    """
    if len(data) < HEAD_BYTES or (len(data) - HEAD_BYTES) % ENTRY.itemsize or data[0] > LEVEL_MAX:
        raise StoreDamaged(f"{name} has {len(data)} bytes that are no digest table")
    return DigestTable(data[0], np.frombuffer(data, ENTRY, offset=HEAD_BYTES))
