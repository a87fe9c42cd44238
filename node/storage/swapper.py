"""Carries swaps of blocks to the writer: new ones are put, the index changes, old ones go.

Only the index says which blocks count, and it changes in one transaction. A crash before leaves
blocks that nothing names, a crash after it blocks that nothing names any more; both are deleted
at the next start.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from node.errors import StoreDamaged
from node.records import Rows
from node.storage.block_cache import BlockCache, BlockMissing
from node.storage.block_read import read_rows
from node.storage.block_select import ALL_ROWS, BlockFilter
from node.storage.merger import BlockNumbers, NewBlock, Swap
from node.storage.opening import INDEX_KEY
from node.storage.tables import KEY, Tables, TranslatedErrors
from node.storage.view import CollectionView, Views
from node.storage.writer import Job, Writer

PUT_BYTES_MAX = 2 << 20
"""Block bytes put in one transaction: a few milliseconds."""
Guard = Callable[[Any], bool]


def always(txn: Any) -> bool:
    """The guard of swaps that nothing can forbid."""
    return True


class Swapper:
    """Reads and replaces blocks; used by the merger's thread alone."""

    def __init__(self, tables: Tables, writer: Writer, views: Views, numbers: BlockNumbers) -> None:
        self.numbers = numbers
        self.cache = BlockCache(tables)
        self._tables = tables
        self._writer = writer
        self._views = views

    def read_blocks(self, blocks: list[int]) -> list[Rows]:
        """All rows of some blocks."""
        parts = []
        with TranslatedErrors(), self._tables.env.begin(buffers=True) as txn:
            for block in blocks:
                rows = self.read_part(txn, block)
                assert rows is not None, f"block {block} is empty"
                parts.append(rows)
        return parts

    def read_part(
        self, txn: Any, block: int, where: BlockFilter = ALL_ROWS, *, sensor_names: bool = True
    ) -> Rows | None:
        """The rows of a block that pass; None when there are none.

        Raises:
            StoreDamaged: also when the block is not there, as nobody else takes blocks away.
        """
        try:
            data, header = self.cache.read(txn, block)
        except BlockMissing:
            raise StoreDamaged(f"the index names block {block} but it is not there") from None
        name = f"block {block}"
        return read_rows(data, header, where=where, sensor_names=sensor_names, name=name)

    def put_tables(self, tables: Mapping[int, bytes]) -> None:
        """Put digest tables of blocks that have none."""

        def apply(txn: Any) -> None:
            for block in sorted(tables):
                self._tables.put(txn, self._tables.digests, KEY.pack(block), tables[block])

        self._writer.call(Job(apply, lambda: None))

    def carry_out(self, name: str, swap: Swap, *, guard: Guard = always) -> bool:
        """Put blocks, swap the index, delete what was replaced; each step may be the last.

        Args:
            guard: asked on the writer's thread, in the transaction that changes the index, with
                everything that was written before in the views; it may write more.
        Returns:
            False when the guard forbids it: then nothing has changed.
        """
        on_step = self._tables.settings.on_step
        view = self._views.get(name)
        number = 0 if view is None else view.number
        for group in _grouped(swap.added):
            self._writer.call(Job(lambda txn, group=group: self._put(txn, group), lambda: None))  # type: ignore[misc]
            on_step("blocks-put")
        allowed: list[bool] = []

        def apply(txn: Any) -> None:
            allowed[:] = [guard(txn)]
            if allowed[0]:
                self._change_index(txn, number, swap)

        def publish() -> None:
            if allowed[0] and (len(swap.summaries) or len(swap.removed)):
                self._show(name, swap)

        self._writer.call(Job(apply, publish, alone=guard is not always))
        on_step("swap-done")
        gone = swap.removed.tolist() if allowed[0] else [new.block for new in swap.added]
        if gone:
            self._writer.call(Job(lambda txn: self._delete(txn, gone), lambda: None))
            on_step("blocks-deleted")
        return allowed[0]

    def _put(self, txn: Any, group: list[NewBlock]) -> None:
        tables = self._tables
        tables.put(txn, tables.store, b"next", str(self.numbers.next).encode())
        for new in group:
            key = KEY.pack(new.block)
            txn.put(key, new.data, db=tables.blocks)
            tables.put(txn, tables.digests, key, new.table)

    def _change_index(self, txn: Any, number: int, swap: Swap) -> None:
        tables = self._tables
        for summary in swap.summaries:
            key = INDEX_KEY.pack(number, int(summary["block"]))
            tables.put(txn, tables.index, key, summary.tobytes())
        for block in swap.removed.tolist():
            txn.delete(INDEX_KEY.pack(number, block), db=tables.index)

    def _show(self, name: str, swap: Swap) -> None:
        """On the writer's thread: readers see the new blocks; what holds nothing is not shown."""
        view: CollectionView = self._views[name]
        view = view.changed(index=view.index.replaced(swap.removed, swap.summaries))
        if len(view.index) or view.log_rows:
            self._views[name] = view
        else:
            del self._views[name]

    def _delete(self, txn: Any, blocks: list[int]) -> None:
        for block in blocks:
            txn.delete(KEY.pack(block), db=self._tables.blocks)
            txn.delete(KEY.pack(block), db=self._tables.digests)


def _grouped(added: list[NewBlock]) -> Iterator[list[NewBlock]]:
    """Blocks in groups of at most `PUT_BYTES_MAX`, or of one."""
    group: list[NewBlock] = []
    size_bytes = 0
    for new in added:
        if group and size_bytes + new.size_bytes > PUT_BYTES_MAX:
            yield group
            group, size_bytes = [], 0
        group.append(new)
        size_bytes += new.size_bytes
    if group:
        yield group
