"""The LMDB environment: its tables, keys, sizes (layout 1; docs/storage.md)."""

import struct
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb
import msgpack

from node.errors import StoreDamaged, StoreFull
from node.storage.settings import EngineSettings

FORMAT_VERSION = 1
TABLE_NAMES = (b"store", b"meta", b"collections", b"log", b"blocks", b"index", b"digests")
SEAL = struct.Struct("<I")
KEY = struct.Struct(">Q")
"""Log sequences and block ids: big endian, so that order of keys is order of numbers."""


class Tables:
    """An open environment. One thread writes; readers open short transactions."""

    def __init__(self, path: Path, settings: EngineSettings) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.settings = settings
        self._measured: Measured | None = None
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
            self.env.reader_check()
            handles = [self.env.open_db(name) for name in TABLE_NAMES]
        except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.VersionMismatchError) as error:
            raise StoreDamaged(f"{path} is no readable store ({error}); set it aside") from error
        self.store, self.meta, self.collections, self.log = handles[:4]
        self.blocks, self.index, self.digests = handles[4:]
        self._handles = handles
        with self.env.begin() as txn:
            self.page_bytes = int(txn.stat(self.store)["psize"])

    def begin_store(self) -> str:
        """The store's id; made, with the format version, when the store is new.

        Raises:
            StoreDamaged: another format version.
        """
        with self.env.begin(write=True) as txn:
            version = txn.get(b"format", db=self.store)
            if version is None:
                store_id = uuid.uuid4().hex
                txn.put(b"format", str(FORMAT_VERSION).encode(), db=self.store)
                txn.put(b"id", store_id.encode(), db=self.store)
                return store_id
            if int(version) != FORMAT_VERSION:
                raise StoreDamaged(
                    f"{self.path} has format {int(version)}, this program reads {FORMAT_VERSION}"
                )
            return bytes(txn.get(b"id", db=self.store) or b"").decode()

    def renew_store(self, txn: Any) -> str:
        """Give the store another id."""
        store_id = uuid.uuid4().hex
        txn.put(b"id", store_id.encode(), db=self.store)
        return store_id

    def read_meta(self, txn: Any, name: str) -> bytes | None:
        """A setting as a transaction sees it."""
        found = txn.get(name.encode(), db=self.meta)
        return None if found is None else bytes(found)

    def write_meta(self, txn: Any, name: str, value: bytes) -> None:
        """Put a setting."""
        txn.put(name.encode(), value, db=self.meta)

    def seal(self, key: bytes, value: bytes) -> bytes:
        """A value with its checksum in front, which is that of its key and itself."""
        return SEAL.pack(zlib.crc32(value, zlib.crc32(key))) + value

    def unseal(self, key: bytes, sealed: Any, *, name: str) -> bytes:
        """The value.

        Raises:
            StoreDamaged: it is not what was put under this key.
        """
        value = bytes(sealed[SEAL.size :])
        if sealed[: SEAL.size] != SEAL.pack(zlib.crc32(value, zlib.crc32(key))):
            raise StoreDamaged(f"{name} fails its checksum; set the store aside and refill it")
        return value

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

    def take_space(self, txn: Any, more_bytes: int) -> None:
        """Refuse a write for which there is no room; from the writer's thread.

        Map and disk are measured once for a transaction, since asking the system costs more than
        putting a single record; what its writes take is counted from there.

        Raises:
            StoreFull: the map or the disk is fuller than `full_fraction`.
        """
        if self._measured is None or self._measured.txn is not txn:
            self._measured = Measured(
                txn, self.live_bytes_in(txn), *self.settings.disk_space(self.path)
            )
        measured = self._measured
        more_bytes += measured.taken_bytes
        self._check(measured.live_bytes, more_bytes, measured.disk_bytes, measured.free_bytes)
        measured.taken_bytes = more_bytes

    def check_space(self, live_bytes: int, more_bytes: int) -> None:
        """Refuse what there is no room for.

        Raises:
            StoreFull: the map or the disk is fuller than `full_fraction`.
        """
        self._check(live_bytes, more_bytes, *self.settings.disk_space(self.path))

    def _check(self, live_bytes: int, more_bytes: int, total: int, free: int) -> None:
        fraction = self.settings.full_fraction
        limit = int(self.settings.map_bytes_max * fraction)
        if live_bytes + more_bytes > limit:
            raise StoreFull(
                f"the store holds {live_bytes} bytes of map_bytes_max="
                f"{self.settings.map_bytes_max} and takes writes up to {fraction:.0%}; "
                "raise the limit or let records expire"
            )
        if total - free + more_bytes > total * fraction:
            raise StoreFull(
                f"the disk of {self.path} has {free} of {total} bytes left and writes stop at "
                f"{fraction:.0%}; free some space"
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
        if isinstance(error, lmdb.CorruptedError | lmdb.PageNotFoundError):
            raise StoreDamaged(f"the store cannot be read ({error}); refill this node") from error


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
