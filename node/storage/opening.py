"""Opening a store: the index and the log are read, blocks that nothing names are deleted."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from node.errors import StoreDamaged
from node.records import Rows
from node.storage.block_index import SUMMARY, BlockIndex
from node.storage.collection import widened
from node.storage.engine import CollectionStatistics
from node.storage.log_codec import decode_entry
from node.storage.memtable import Segments, segments_of
from node.storage.tables import KEY, Tables, TranslatedErrors, unpack_collection
from node.storage.view import CollectionView, Views

INDEX_KEY = struct.Struct(">IQ")
"""Collection number, block id."""


@dataclass(slots=True)
class LogLevel:
    """How much is in the log; changed by the writer thread alone, read by all."""

    rows: int = 0
    size_bytes: int = 0
    entries: int = 0

    def add(self, other: "LogLevel") -> None:
        """More in the log."""
        self.rows += other.rows
        self.size_bytes += other.size_bytes
        self.entries += other.entries

    def remove(self, other: "LogLevel") -> None:
        """What was merged is out of the log."""
        self.rows -= other.rows
        self.size_bytes -= other.size_bytes
        self.entries -= other.entries

    def copy(self) -> "LogLevel":
        """The level now."""
        return LogLevel(self.rows, self.size_bytes, self.entries)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a store holds when it is opened.

    `next_number` is above the number of every block and run.
    """

    views: Views
    log: LogLevel
    sequence: int
    next_number: int


def load_views(tables: Tables) -> Opened:
    """Read everything but blocks.

    Raises:
        StoreDamaged: something that was put is not there as it was.
    """
    try:
        return _load(tables)
    except (ValueError, struct.error, pa.ArrowException) as error:
        raise StoreDamaged(f"{tables.path} cannot be read ({error})") from error


def _load(tables: Tables) -> Opened:
    with TranslatedErrors(), tables.env.begin() as txn:
        tables.items(txn, tables.meta)
        numbers = dict(tables.items(txn, tables.store))
        sequence = int(numbers.get(b"sequence", 0))
        next_number = int(numbers.get(b"next", 1))
        summaries = _read_index(txn, tables)
        log = LogLevel()
        logged = _read_log(txn, tables, log)
        views: Views = {}
        for key, value in tables.items(txn, tables.collections):
            name = key.decode()
            number, types = unpack_collection(value)
            index = BlockIndex.of(summaries.get(number, np.empty(0, SUMMARY)))
            known = _known(index, types)
            active: Segments = ()
            if name in logged:
                active = segments_of(logged[name], rows_max=tables.settings.segment_rows_max)
                for segment in active:
                    known = widened(known, segment.rows)
            if known is None:
                continue  # everything that it had was let go of
            views[name] = CollectionView(number, known, active, (), index)
    _delete_unnamed(tables, summaries)
    return Opened(views, log, sequence, next_number)


def _read_index(txn: Any, tables: Tables) -> dict[int, Any]:
    values: dict[int, list[bytes]] = {}
    for key, value in tables.items(txn, tables.index):
        number, _ = INDEX_KEY.unpack(key)
        values.setdefault(number, []).append(value)
    return {number: np.frombuffer(b"".join(found), SUMMARY) for number, found in values.items()}


def _read_log(txn: Any, tables: Tables, log: LogLevel) -> dict[str, list[Rows]]:
    logged: dict[str, list[Rows]] = {}
    for key, value in txn.cursor(db=tables.log):
        log.entries += 1
        for name, rows in decode_entry(value, name=f"log entry {KEY.unpack(key)[0]}"):
            logged.setdefault(name, []).append(rows)
            log.rows += len(rows)
            log.size_bytes += rows.nbytes()
    tables.check_count(txn, tables.log, log.entries)
    return logged


def _known(index: BlockIndex, types: dict[str, str]) -> CollectionStatistics | None:
    if not len(index):
        return None
    column = index.columns
    return CollectionStatistics(
        0,
        int(column["time_low"].min()),
        int(column["time_high"].max()),
        int(column["west"].min()),
        int(column["south"].min()),
        int(column["east"].max()),
        int(column["north"].max()),
        types,
    )


def _delete_unnamed(tables: Tables, summaries: dict[int, Any]) -> None:
    """Delete blocks that a crash left: put but not yet in the index, or no longer in it.

    Raises:
        StoreDamaged: the index names a block that is not there.
    """
    named = {int(block) for found in summaries.values() for block in found["block"]}
    with TranslatedErrors(), tables.env.begin() as txn:
        keys = list(txn.cursor(db=tables.blocks).iternext(keys=True, values=False))
        tables.check_count(txn, tables.blocks, len(keys))
    unnamed = [key for key in keys if KEY.unpack(key)[0] not in named]
    missing = len(named) + len(unnamed) - len(keys)
    if missing:
        raise StoreDamaged(f"the index names {missing} blocks that are not there")
    if unnamed:
        with TranslatedErrors(), tables.env.begin(write=True) as txn:
            for key in unnamed:
                txn.delete(key, db=tables.blocks)
                txn.delete(key, db=tables.digests)
