"""All that this node has of a question, page by page, and the report of its share."""

from collections.abc import AsyncIterator

from node.query import Query, ReaderReport
from node.records import Key, Rows
from node.service.local import read_page
from node.service.parts import Parts
from node.service.read import PAGE_BYTES_MAX
from node.service.selection import Selection


class Reading:
    """One pass over this node's share of a query, for answers that are made of all of its rows.

    Args:
        query: its `spans` are this node's share.
        deadline_ms: on the node's monotonic clock.
    """

    def __init__(
        self, parts: Parts, query: Query, selection: Selection, *, deadline_ms: int
    ) -> None:
        self._parts = parts
        self._query = query
        self._selection = selection
        self._deadline_ms = deadline_ms
        self._started_us = parts.clock.now_us()
        self._rows_read = 0
        self._blocks_read = 0

    async def pages(self) -> AsyncIterator[Rows]:
        """The rows in bounded parts; at least one part, which may be empty.

        Raises:
            DeadlineExceeded: time is up.
        """
        after: Key | None = None
        while True:
            page = await read_page(
                self._parts,
                self._selection,
                after=after,
                limit=None,
                bytes_max=PAGE_BYTES_MAX,
                deadline_ms=self._deadline_ms,
            )
            self._rows_read += page.rows_read
            self._blocks_read += page.blocks_read
            yield page.rows
            after = page.resume
            if after is None:
                break
        self._parts.counters.rows_read += self._rows_read

    def report(self, rows: int) -> ReaderReport:
        """What reading took, for an answer of so many rows; call it after the last page."""
        return ReaderReport(
            self._parts.node_id,
            len(self._query.spans or ()),
            rows,
            self._rows_read,
            self._blocks_read,
            self._parts.clock.now_us() - self._started_us,
        )
