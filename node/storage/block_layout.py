"""The bytes of a block: prefix, header, aligned buffers (layout 1; docs/storage.md).

1. magic, 4 bytes: b"ZRB1"
2. crc32 of everything behind this field, u32 little endian
3. header length, u32 little endian; reserved, u32 (zero)
4. header, msgpack: [rows, columns]; a column is [name, kind, parameters, buffers], a buffer is
   [offset behind the header, length]
5. padding to 8, then the buffers, each padded to 8

What a kind means is known only to `block_encode` and `block_read`.
"""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from node.errors import StoreDamaged

MAGIC = b"ZRB1"
PREFIX = struct.Struct("<4sIII")
ALIGNMENT = 8
CHECKED_FROM = 8
_DTYPES = {
    f"<{sign}{width}": np.dtype(f"<{sign}{width}")
    for sign in "iuf"
    for width in (1, 2, 4, 8)
    if sign != "f" or width == 8
}
"""Types by name: numpy takes longer to read a name than to wrap a buffer."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a block as its header describes it.

    Attributes:
        kind: how the buffers are to be read.
        parameters: of that kind.
        buffers: (start, stop) of each buffer in the block's bytes.
    """

    kind: str
    parameters: tuple[Any, ...]
    buffers: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Header:
    """A block's header: number of rows, fixed columns by name, value columns by name.

    `prepared` keeps small dictionaries that were decoded once, as copies, by column name.
    """

    rows: int
    fixed: dict[str, Column]
    values: dict[str, Column]
    prepared: dict[str, Any] = field(default_factory=dict)


class BlockBuilder:
    """Collects columns and joins them into the bytes of a block."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._columns: list[tuple[str, str, tuple[Any, ...], list[tuple[int, int]]]] = []
        self._buffers: list[bytes] = []
        self._size = 0

    def add(
        self, name: str, kind: str, parameters: tuple[Any, ...], *buffers: npt.NDArray[Any] | bytes
    ) -> None:
        """Append a column; fixed columns come by their name, values as `=name`."""
        places = []
        for buffer in buffers:
            data = buffer if isinstance(buffer, bytes) else buffer.tobytes()
            places.append((self._size, len(data)))
            padding = -len(data) % ALIGNMENT
            self._buffers.append(data + bytes(padding))
            self._size += len(data) + padding
        self._columns.append((name, kind, parameters, places))

    def build(self) -> bytes:
        """The block's bytes."""
        header = msgpack.packb([self._rows, self._columns])
        padding = bytes(-(PREFIX.size + len(header)) % ALIGNMENT)
        length = struct.pack("<II", len(header), 0)
        body = b"".join([length, header, padding, *self._buffers])
        return MAGIC + struct.pack("<I", zlib.crc32(body)) + body


def read_header(data: memoryview | bytes, *, name: str) -> Header:
    """Verify the checksum and read the header.

    Args:
        name: what the block is called in errors.
    Raises:
        StoreDamaged: these are not the bytes of a block.
    """
    if len(data) < PREFIX.size:
        raise StoreDamaged(f"{name} has {len(data)} bytes, less than a prefix")
    magic, checksum, length, _ = PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise StoreDamaged(f"{name} begins with {magic!r}, not {MAGIC!r}")
    if zlib.crc32(memoryview(data)[CHECKED_FROM:]) != checksum:
        raise StoreDamaged(f"{name} fails its checksum")
    start = PREFIX.size + length + -(PREFIX.size + length) % ALIGNMENT
    try:
        rows, columns = msgpack.unpackb(data[PREFIX.size : PREFIX.size + length], use_list=False)
        fixed: dict[str, Column] = {}
        values: dict[str, Column] = {}
        for column_name, kind, parameters, places in columns:
            buffers = tuple((start + at, start + at + size) for at, size in places)
            if any(not 0 <= at <= stop <= len(data) for at, stop in buffers):
                raise StoreDamaged(f"{name} is shorter than its header says")
            target = values if column_name.startswith("=") else fixed
            target[column_name.removeprefix("=")] = Column(kind, parameters, buffers)
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise StoreDamaged(f"{name} has a header that cannot be read ({error})") from error
    return Header(rows, fixed, values)


def buffer_of(data: memoryview | bytes, place: tuple[int, int], kind: Any) -> npt.NDArray[Any]:
    """One buffer as an array of `kind`, where it lies."""
    start, stop = place
    dtype = _DTYPES.get(kind) or np.dtype(kind)
    return np.frombuffer(data, dtype, (stop - start) // dtype.itemsize, start)
