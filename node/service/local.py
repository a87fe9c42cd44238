"""Reading this node's own store in bounded steps, yielding to others between them."""

import asyncio
from dataclasses import dataclass, replace

from node.errors import DeadlineExceeded
from node.protocol.expiry import kept_from_us
from node.protocol.paging import limit_page
from node.records import Key, Rows, concat_rows
from node.service.parts import Parts
from node.service.selection import Selection
from node.storage.engine import Scan

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
    parts: Parts,
    selection: Selection,
    *,
    after: Key | None,
    limit: int | None,
    bytes_max: int | None,
    deadline_ms: int,
) -> Page:
    """Scan until `limit` rows, `bytes_max` bytes or the end is reached.

    Every answer is made of such pages, so here is where expired records are hidden.

    Raises:
        DeadlineExceeded: time is up between two steps.
    Cost: a few µs over the engine when one step is enough.
    """
    scan, plain = _kept(parts, selection.scan), selection.is_plain
    found: list[Rows] = []
    count = size = rows_read = blocks_read = 0
    while True:
        wanted = None if limit is None else limit - count
        if wanted is not None and not plain:
            wanted = max(4 * wanted, FILTERED_STEP_ROWS)
        step = parts.engine.scan(scan, after=after, rows_max=wanted)
        rows = step.rows if plain else selection.wanted(step.rows)
        rows_read += step.rows_read
        blocks_read += step.blocks_read
        found.append(rows)
        count += len(rows)
        after = step.resume
        if after is None or (limit is not None and count >= limit):
            break
        if bytes_max is not None:
            size += rows.nbytes()
            if size >= bytes_max:
                break
        await asyncio.sleep(0)
        if parts.clock.now_ms() >= deadline_ms:
            raise DeadlineExceeded(
                f"the time given passed after {rows_read} rows were looked at; "
                "ask for a smaller area or time, or give more time"
            )
    joined = found[0] if len(found) == 1 else concat_rows(found)
    rows, resume = limit_page(joined, after, limit)
    return Page(rows, resume, rows_read, blocks_read)


def _kept(parts: Parts, scan: Scan) -> Scan:
    kept_us = kept_from_us(parts.members.ring.settings, scan.collection)
    if kept_us <= scan.time_start or not parts.rules.expired_hidden:
        return scan
    return replace(scan, time_start=min(kept_us, scan.time_stop))
