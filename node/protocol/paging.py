"""Joining the pages of several readers in key order.

Each reader gives rows in key order and the key up to which it has given everything (`resume`;
None when it is done). Everything up to the smallest of these keys is certain; what lies beyond
it may still have to make room for another reader's rows.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from node.records import Key, Rows, join_sorted, newest_rows


def smallest_resume(resumes: Iterable[Key | None]) -> Key | None:
    """Where the joined page ends; None when every reader is done."""
    return min((key for key in resumes if key is not None), default=None)


def rows_up_to(rows: Rows, key: Key) -> int:
    """How many of the rows (in key order) have a key <= `key`."""
    start = int(np.searchsorted(rows.code, key.code, side="left"))
    stop = int(np.searchsorted(rows.code, key.code, side="right"))
    time = rows.time[start:stop]
    first = start + int(np.searchsorted(time, key.time, side="left"))
    last = start + int(np.searchsorted(time, key.time, side="right"))
    hashes = rows.sensor_hash[first:last]
    return first + int(np.searchsorted(hashes, np.uint64(key.sensor_hash), side="right"))


def join_pages(
    pages: Sequence[tuple[Rows, Key | None]], *, overlapping: bool
) -> tuple[Rows, Key | None]:
    """All rows that are certain, in key order, and the key to go on after.

    Args:
        pages: (rows, resume) of each reader.
        overlapping: several readers may have the same record: the newest version is chosen.
    """
    cut = smallest_resume(resume for _, resume in pages)
    parts = [rows for rows, _ in pages if len(rows)]
    if cut is not None:
        parts = [rows.slice(0, rows_up_to(rows, cut)) for rows in parts]
    rows = join_sorted(parts)
    if overlapping and len(parts) > 1:
        rows = newest_rows(rows)
    return rows, cut


def limit_page(rows: Rows, resume: Key | None, limit: int | None) -> tuple[Rows, Key | None]:
    """The first `limit` rows and the key to go on after; None when nothing can follow."""
    if limit is None or len(rows) <= limit:
        return rows, resume
    assert limit >= 1, limit
    page = rows.slice(0, limit)
    return page, page.key(-1)
