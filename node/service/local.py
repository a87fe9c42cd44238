"""Reading this node's own store in bounded steps, yielding to others between them."""

import asyncio
from dataclasses import dataclass

from node.clock import Clock
from node.errors import DeadlineExceeded
from node.protocol.paging import limit_page
from node.records import Key, Rows, concat_rows
from node.service.selection import Selection
from node.storage.engine import Engine

FILTERED_STEP_ROWS = 4_096
"""Rows asked of a step when a filter will drop some: more than a page, so few steps are needed."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one reader in key order.

    Attributes:
        resume: everything up to this key has been returned; None when there is nothing more.
    """

    rows: Rows
    resume: Key | None
    rows_read: int = 0
    blocks_read: int = 0
    elapsed_us: int = 0


async def read_page(
    engine: Engine,
    clock: Clock,
    selection: Selection,
    *,
    after: Key | None,
    limit: int | None,
    bytes_max: int | None,
    deadline_ms: int,
) -> Page:
    """Scan until `limit` rows, `bytes_max` bytes or the end is reached.

    Raises:
        DeadlineExceeded: time is up between two steps.
    Cost: a few µs over the engine when one step is enough.
    """
    scan, plain = selection.scan, selection.is_plain
    parts: list[Rows] = []
    count = size = rows_read = blocks_read = 0
    while True:
        wanted = None if limit is None else limit - count
        if wanted is not None and not plain:
            wanted = max(4 * wanted, FILTERED_STEP_ROWS)
        step = engine.scan(scan, after=after, rows_max=wanted)
        rows = step.rows if plain else selection.wanted(step.rows)
        rows_read += step.rows_read
        blocks_read += step.blocks_read
        parts.append(rows)
        count += len(rows)
        after = step.resume
        if after is None or (limit is not None and count >= limit):
            break
        if bytes_max is not None:
            size += rows.nbytes()
            if size >= bytes_max:
                break
        await asyncio.sleep(0)
        if clock.now_ms() >= deadline_ms:
            raise DeadlineExceeded(
                f"the time given passed after {rows_read} rows were looked at; "
                "ask for a smaller area or time, or give more time"
            )
    joined = parts[0] if len(parts) == 1 else concat_rows(parts)
    rows, resume = limit_page(joined, after, limit)
    return Page(rows, resume, rows_read, blocks_read)
