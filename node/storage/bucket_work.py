"""Long work on buckets, done on the merger's thread: digests, removing, expiring.

There it has the blocks for itself: only this thread replaces them. What a reader or a writer
sees changes in transactions of the writer thread, as with merges.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from node.records import Bools, Rows, empty_rows
from node.storage.block_select import BlockFilter
from node.storage.bucket_digests import DAY_US, NO_DIGESTS, BucketDigests
from node.storage.bucket_set import Bucket, BucketSet
from node.storage.bucket_sums import Question, view_digests
from node.storage.digest_table import DigestTable, bytes_to_table, make_table, table_to_bytes
from node.storage.merger import NO_SWAP, Swap
from node.storage.removal import (
    MayGo,
    Positions,
    blocks_with,
    going_places,
    touched_by,
    without_rows,
)
from node.storage.swapper import Swapper
from node.storage.tables import KEY, Tables, TranslatedErrors
from node.storage.view import CollectionView, Views
from zring.span import Spans

LOG_ROWS_MAX = 16_384
"""Rows of a collection's log that digests are worked out from; a larger log is merged first."""
TABLES_AT_ONCE = 256
"""Digest tables put in one transaction: at most some 2 MB."""
NO_ROWS = empty_rows()


class BucketWork:
    """Digests, removing and expiring; every method runs on the merger's thread."""

    def __init__(
        self,
        tables: Tables,
        views: Views,
        swapper: Swapper,
        *,
        merge_log: Callable[[], None],
        has_half_merged: Callable[[], bool],
    ) -> None:
        self._tables = tables
        self._views = views
        self._swapper = swapper
        self._merge_log = merge_log
        self._has_half_merged = has_half_merged

    def digests(self, name: str, question: Question) -> BucketDigests:
        """See `Engine.digests`."""
        view = self._views.get(name)
        if view is not None and view.log_rows > LOG_ROWS_MAX:
            self._merge_log()
        return self._digests_now(name, question)

    def _digests_now(self, name: str, question: Question) -> BucketDigests:
        view = self._views.get(name)
        if view is None:
            return NO_DIGESTS
        tables, made = self._tables, dict[int, bytes]()
        with TranslatedErrors(), tables.env.begin(buffers=True) as txn:

            def read_part(block: int, spans: Spans | None, start: int, stop: int) -> Rows:
                where = BlockFilter(time=(start, stop), spans=spans)
                rows = self._swapper.read_part(txn, block, where, sensor_names=False)
                return NO_ROWS if rows is None else rows

            def read_table(block: int) -> DigestTable:
                stored = tables.get(txn, tables.digests, KEY.pack(block))
                if stored is not None:
                    return bytes_to_table(stored, name=f"digest table {block}")
                # A block of a store that an older program wrote.
                rows = self._swapper.read_part(txn, block, sensor_names=False)
                assert rows is not None, f"block {block} is empty"
                table = make_table(name, rows, grain_level=tables.settings.grain_level)
                made[block] = table_to_bytes(table)
                return table

            found = view_digests(name, view, question, read_table=read_table, read_part=read_part)
        for blocks in _groups(sorted(made)):
            self._swapper.put_tables({block: made[block] for block in blocks})
        return found

    def remove(
        self,
        name: str,
        buckets: Sequence[Bucket],
        expected_meta: Mapping[str, bytes],
        meta: Mapping[str, bytes],
    ) -> tuple[bool, ...]:
        """See `Engine.remove`."""
        if self._has_half_merged():
            # Rows may be in blocks and on disk still in the log, which a start would read again.
            self._merge_log()
        wanted = BucketSet.of(buckets)
        removed = np.zeros(len(buckets), np.bool_)
        going = np.ones(len(buckets), np.bool_)
        while going.any():
            view = self._views.get(name)
            if view is not None and touched_by((*view.active, *view.frozen), wanted, going).any():
                self._merge_log()
            question = Question(
                wanted.level, wanted.spans, wanted.day_start, wanted.day_stop, by_day=True
            )
            found = wanted.digests_in(self._digests_now(name, question), level=wanted.level)
            going &= [
                digest == bucket.digest for digest, bucket in zip(found, buckets, strict=True)
            ]
            if not going.any():
                break
            attempt = _Attempt(self._views, self._tables, name, wanted, going, expected_meta, meta)
            if self._try(attempt, name, wanted, going):
                removed = going
                break
            if attempt.is_refused:
                break
            going = going & ~attempt.touched
        return tuple(removed.tolist())

    def _try(self, attempt: "_Attempt", name: str, wanted: BucketSet, going: Bools) -> bool:
        view = self._views.get(name)
        if view is None:
            return self._swapper.carry_out(name, NO_SWAP, guard=attempt.guard)
        swap = self._without(
            name,
            view,
            blocks_with(view.index, wanted),
            lambda rows: going_places(wanted, rows, going) >= 0,
        )
        return self._swapper.carry_out(name, swap, guard=attempt.guard)

    def expire(self, name: str, day: int) -> None:
        """See `Engine.expire`."""
        limit = day * DAY_US
        view = self._views.get(name)
        if view is None:
            return
        if self._has_half_merged() or any(
            segment.time_low < limit for segment in (*view.active, *view.frozen)
        ):
            self._merge_log()
            view = self._views[name]
        column = view.index.columns
        old = np.flatnonzero(column["time_low"] < limit)
        for start in np.unique(column["slice_start"][old]).tolist():
            mine = old[column["slice_start"][old] == start]
            gone = column["time_high"][mine] < limit
            swap = self._without(name, view, mine[~gone], lambda rows: rows.time < limit)
            whole = column["block"][mine[gone]]
            swap = replace(swap, removed=np.concatenate((swap.removed, whole)))
            self._swapper.carry_out(name, swap)

    def _without(
        self, name: str, view: CollectionView, positions: Positions, may_go: MayGo
    ) -> Swap:
        return without_rows(
            name,
            view.index,
            positions,
            may_go,
            read_blocks=self._swapper.read_blocks,
            numbers=self._swapper.numbers,
            settings=self._tables.settings,
        )


def _groups(blocks: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(blocks), TABLES_AT_ONCE):
        yield blocks[start : start + TABLES_AT_ONCE]


class _Attempt:
    """One attempt to remove buckets; its guard is asked on the writer's thread.

    Attributes:
        touched: buckets in which records have arrived. is_refused: a setting is another one.
    """

    def __init__(
        self,
        views: Views,
        tables: Tables,
        name: str,
        wanted: BucketSet,
        going: Bools,
        expected_meta: Mapping[str, bytes],
        meta: Mapping[str, bytes],
    ) -> None:
        self._views = views
        self._tables = tables
        self._name = name
        self._wanted = wanted
        self._going = going
        self._expected_meta = expected_meta
        self._meta = meta
        self.touched: Bools = np.zeros(len(wanted), np.bool_)
        self.is_refused = False

    def guard(self, txn: Any) -> bool:
        """Whether everything is as it was when it was read; then the settings are written."""
        tables = self._tables
        for name in sorted(self._expected_meta):
            if tables.get(txn, tables.meta, name.encode()) != self._expected_meta[name]:
                self.is_refused = True
                return False
        view = self._views.get(self._name)
        if view is not None:
            self.touched = touched_by((*view.active, *view.frozen), self._wanted, self._going)
        if self.touched.any():
            return False
        for name in sorted(self._meta):
            tables.put(txn, tables.meta, name.encode(), self._meta[name])
        return True
