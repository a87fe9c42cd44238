"""Reads blocks out of a transaction; keeps the headers of those that were verified."""

from typing import Any

from node.storage.block_layout import Header, read_header
from node.storage.tables import KEY, Tables

INLINE_BYTES_MAX = 4_096
"""Smaller values may lie unaligned inside a page; they are copied first."""


class BlockMissing(Exception):
    """Raised when a block is gone because a merge replaced it; take the newer view."""


class BlockCache:
    """Verified headers by block id, used by one thread."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._headers: dict[int, Header] = {}

    def read(self, txn: Any, block: int) -> tuple[memoryview | bytes, Header]:
        """A block's bytes and header; the bytes are valid until the transaction ends.

        Raises:
            BlockMissing: there is no such block any more.
            StoreDamaged: its checksum is wrong; verified once for each block and process.
        """
        data = txn.get(KEY.pack(block), db=self._tables.blocks)
        if data is None:
            raise BlockMissing(block)
        if len(data) < INLINE_BYTES_MAX:
            data = bytes(data)
        header = self._headers.get(block)
        if header is None:
            header = read_header(data, name=f"block {block}")
            if len(self._headers) >= self._tables.settings.headers_max:
                # The oldest entry goes; a block that is read again is verified again.
                del self._headers[next(iter(self._headers))]
            self._headers[block] = header
        return data, header
