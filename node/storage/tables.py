"""The LMDB environment: its tables, keys, sizes (layout 2; docs/storage.md)."""

import struct
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb
import msgpack

from node.errors import ConfigInvalid, StoreDamaged, StoreFull
from node.storage.damage import DamageNote
from node.storage.settings import EngineSettings

FORMAT_VERSION = 2
FORMAT_UNSEALED = 1
"""The version before: the same tables, without checksums outside blocks and log entries."""
TABLE_NAMES = (b"store", b"meta", b"collections", b"log", b"blocks", b"index", b"digests")
SEAL = struct.Struct("<I")
KEY = struct.Struct(">Q")
"""Log sequences and block ids: big endian, so that order of keys is order of numbers."""


DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.BadValsizeError,
    lmdb.BadTxnError,
    lmdb.CursorFullError,
    lmdb.PageFullError,
)
"""What LMDB says when its pages are not what it wrote; it has no checksums of its own."""


class Tables:
    """An open environment. One thread writes; readers open short transactions.

    Values of `store`, `meta`, `collections`, `index` and `digests` are sealed: put with `put`,
    read with `get` and `items`. Log entries and blocks have checksums of their own.

    Args:
        note: where damage is noted that is found while the store is open.
    """

    def __init__(self, path: Path, settings: EngineSettings, note: DamageNote) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.settings = settings
        self._measured: Measured | None = None
        self.note = note
        try:
            self.env = lmdb.open(
                str(path),
                map_size=settings.map_bytes_max,
                max_dbs=len(TABLE_NAMES),
                max_readers=settings.readers_max,
                subdir=True,
                sync=True,
                metasync=True,
                writemap=False,
                map_async=False,
                readahead=False,
            )
            self._check_size()
            self.env.reader_check()
            handles = [self.env.open_db(name) for name in TABLE_NAMES]
        except DAMAGE as error:
            raise StoreDamaged(f"{path} is no readable store ({error})") from error
        self.store, self.meta, self.collections, self.log = handles[:4]
        self.blocks, self.index, self.digests = handles[4:]
        self._handles = handles
        with self.env.begin() as txn:
            self.page_bytes = int(txn.stat(self.store)["psize"])

    def _check_size(self) -> None:
        """Before a page is touched: one that the file does not have ends the process.

        Raises:
            StoreDamaged: the file is shorter than its first pages say.
        """
        pages = self.env.info()["last_pgno"] + 1
        wanted = pages * self.env.stat()["psize"]
        size_bytes = (self.path / "data.mdb").stat().st_size
        if pages > 2 and wanted > size_bytes:
            self.env.close()
            raise StoreDamaged(f"{self.path} has {size_bytes} of {wanted} bytes: it was cut off")

    def begin_store(self) -> str:
        """The store's id; made, with the format version, when the store is new.

        Raises:
            ConfigInvalid: the store was written by a newer program.
            StoreDamaged: it has no version or id that can be read.
        """
        with TranslatedErrors(), self.env.begin(write=True) as txn:
            stored = txn.get(b"format", db=self.store)
            if stored is None:
                if any(txn.stat(table)["entries"] for table in self._handles):
                    raise StoreDamaged(f"{self.path} has entries and no format version")
                txn.put(b"format", str(FORMAT_VERSION).encode(), db=self.store)
                return self.renew_store(txn)
            version = int(stored) if stored.isdigit() else 0
            if version > FORMAT_VERSION:
                raise ConfigInvalid(
                    f"{self.path} is a store of format {version}, this program reads up to "
                    f"{FORMAT_VERSION}: start the newer program, or give another node.data",
                    setting="node.data",
                )
            if version == FORMAT_UNSEALED:
                self._seal_all(txn)
            elif version != FORMAT_VERSION:
                raise StoreDamaged(f"{self.path} has the format version {bytes(stored)!r}")
            store_id = self.get(txn, self.store, b"id")
            if store_id is None:
                raise StoreDamaged(f"{self.path} has no id")
            return store_id.decode()

    def _seal_all(self, txn: Any) -> None:
        """Take over a store of the version before: its values get checksums."""
        for table in (self.store, self.meta, self.collections, self.index):
            for key, value in list(txn.cursor(db=table)):
                self.put(txn, table, key, value)
        txn.put(b"format", str(FORMAT_VERSION).encode(), db=self.store)

    def renew_store(self, txn: Any) -> str:
        """Give the store another id."""
        store_id = uuid.uuid4().hex
        self.put(txn, self.store, b"id", store_id.encode())
        return store_id

    def put(self, txn: Any, table: Any, key: bytes, value: bytes) -> None:
        """Put a value under a checksum, which is that of its key and itself."""
        txn.put(key, SEAL.pack(zlib.crc32(value, zlib.crc32(key))) + value, db=table)

    def get(self, txn: Any, table: Any, key: bytes) -> bytes | None:
        """A value that was put with `put`.

        Raises:
            StoreDamaged: it is not what was put.
        """
        sealed = txn.get(key, db=table)
        return None if sealed is None else self._unsealed(table, key, sealed)

    def items(self, txn: Any, table: Any) -> list[tuple[bytes, bytes]]:
        """All keys and values of a table, each verified.

        Raises:
            StoreDamaged: one is not what was put, or some are missing.
        """
        found = [
            (key, self._unsealed(table, key, value))
            for key, value in txn.cursor(db=table)
            if key != b"format" or table is not self.store
        ]
        self.check_count(txn, table, len(found) + (table is self.store))
        return found

    def check_count(self, txn: Any, table: Any, found: int) -> None:
        """A table was read from end to end.

        Raises:
            StoreDamaged: LMDB has counted another number of entries.
        """
        counted = txn.stat(table)["entries"]
        if found != counted:
            raise StoreDamaged(f"{self._name(table)} has {found} of {counted} entries")

    def _unsealed(self, table: Any, key: bytes, sealed: Any) -> bytes:
        value = bytes(sealed[SEAL.size :])
        if sealed[: SEAL.size] != SEAL.pack(zlib.crc32(value, zlib.crc32(key))):
            raise StoreDamaged(f"{key!r} in {self._name(table)} fails its checksum")
        return value

    def _name(self, table: Any) -> str:
        place = next(at for at, handle in enumerate(self._handles) if handle is table)
        return f"the table {TABLE_NAMES[place].decode()}"

    def live_bytes(self) -> int:
        """Bytes of the pages that tables occupy now, free pages left out."""
        with self.env.begin() as txn:
            return self.live_bytes_in(txn)

    def live_bytes_in(self, txn: Any) -> int:
        """The same inside a transaction."""
        pages = 2
        for handle in self._handles:
            found = txn.stat(handle)
            pages += found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"]
        return int(pages) * self.page_bytes

    def take_space(self, txn: Any, more_bytes: int, *, foreign: bool = False) -> None:
        """Refuse a write for which there is no room; from the writer's thread.

        Map and disk are measured once for a transaction, since asking the system costs more than
        putting a single record; what its writes take is counted from there.

        Args:
            foreign: the records belong to other nodes: they are refused earlier.
        Raises:
            StoreFull: the map or the disk is fuller than `full_fraction` (or `keep_fraction`).
        """
        if self._measured is None or self._measured.txn is not txn:
            self._measured = Measured(
                txn, self.live_bytes_in(txn), *self.settings.disk_space(self.path)
            )
        measured = self._measured
        more_bytes += measured.taken_bytes
        self.check_space(
            measured.live_bytes,
            more_bytes,
            measured.disk_bytes,
            measured.free_bytes,
            foreign=foreign,
        )
        measured.taken_bytes = more_bytes

    def check_space(
        self, live_bytes: int, more_bytes: int, total: int, free: int, *, foreign: bool = False
    ) -> None:
        """Refuse what there is no room for.

        Args:
            total, free: bytes of the disk.
            foreign: as in `take_space`.
        Raises:
            StoreFull: the map or the disk is fuller than `full_fraction` (or `keep_fraction`).
        """
        fraction = self.settings.fraction(foreign=foreign)
        taken = "takes records of other nodes' areas" if foreign else "takes writes"
        limit = int(self.settings.map_bytes_max * fraction)
        if live_bytes + more_bytes > limit:
            raise StoreFull(
                f"the store holds {live_bytes} bytes of map_bytes_max="
                f"{self.settings.map_bytes_max} and {taken} up to {fraction:.0%}; "
                "raise the limit or let records expire"
            )
        if total - free + more_bytes > total * fraction:
            raise StoreFull(
                f"the disk of {self.path} has {free} of {total} bytes left and the store {taken} "
                f"up to {fraction:.0%}; free some space"
            )


@dataclass(slots=True)
class Measured:
    """The room that a transaction began with, and what its writes have taken of it."""

    txn: Any
    live_bytes: int
    disk_bytes: int
    free_bytes: int
    taken_bytes: int = 0


class TranslatedErrors:
    """`with TranslatedErrors():` LMDB's errors come out as the node's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, lmdb.MapFullError | lmdb.DiskError):
            raise StoreFull(f"the store has no room for this ({error}); free some space") from error
        if isinstance(error, DAMAGE):
            raise StoreDamaged(f"the store cannot be read ({error})") from error


def pack_collection(number: int, value_types: dict[str, str]) -> bytes:
    """The entry of one collection."""
    return bytes(msgpack.packb([number, value_types]))


def unpack_collection(data: bytes) -> tuple[int, dict[str, str]]:
    """Number and value types of one collection.

    Raises:
        StoreDamaged: the bytes are no such entry.
    """
    try:
        number, value_types = msgpack.unpackb(data)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise StoreDamaged(f"a collection's entry cannot be read ({error})") from error
    return number, value_types
