"""The newest time of a collection that is not later than a given one."""

from typing import Any

from node.storage.block_cache import BlockCache
from node.storage.block_read import ints_of
from node.storage.view import CollectionView


def newest_time(view: CollectionView, cache: BlockCache, txn: Any, *, until: int) -> int | None:
    """The greatest time <= `until` in blocks and log; None when all are later.

    Blocks that end before `until` need not be read. Those that reach over it all lie in the one
    slice which contains it: at most some dozen, of which only the times are decoded.

    Raises:
        BlockMissing: the view is older than the transaction; take the newer one.
    """
    found: list[int] = []
    column = view.index.columns
    before = column["time_high"] <= until
    if before.any():
        found.append(int(column["time_high"][before].max()))
    for block in column["block"][~before & (column["time_low"] <= until)]:
        data, header = cache.read(txn, int(block))
        times = ints_of(data, header, "time", slice(0, header.rows))
        found.append(int(times[times <= until].max()))
    for segment in (*view.active, *view.frozen):
        if segment.time_high <= until:
            found.append(segment.time_high)
        elif segment.time_low <= until:
            times = segment.rows.time
            found.append(int(times[times <= until].max()))
    return max(found, default=None)
