"""Files as they lie: plain, .gz, .xz, .bz2 or .zst, told apart by their first bytes."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from ingest.errors import UnreadableFile

SUFFIXES = (".gz", ".xz", ".bz2", ".zst")
READ_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowInvalid)
"""What the libraries raise for damaged or cut-off compressed bytes."""


def _open_xz(stream: BinaryIO) -> Any:
    return lzma.LZMAFile(stream)


def _open_zst(stream: BinaryIO) -> Any:
    return pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")


_OPENERS: Mapping[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"\xfd7zXZ\x00": _open_xz,
    b"BZh": lambda stream: bz2.BZ2File(stream),
    b"\x28\xb5\x2f\xfd": _open_zst,
}


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading its uncompressed bytes.

    Raises:
        UnreadableFile: it does not exist or may not be read.
    """
    try:
        stream = path.open("rb")
        head = stream.read(6)
        stream.seek(0)
    except OSError as error:
        raise UnreadableFile(f"cannot be opened: {error.strerror or error}") from None
    for magic, opener in _OPENERS.items():
        if head.startswith(magic):
            return cast(BinaryIO, _Translated(opener(stream), stream))
    return stream


class _Translated:
    """A compressed stream whose failures are UnreadableFile and whose end closes the file."""

    def __init__(self, stream: Any, below: BinaryIO) -> None:
        self._stream, self._below = stream, below

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read() if size < 0 else self._stream.read(size)
        except READ_ERRORS as error:
            raise UnreadableFile(f"compressed bytes are damaged or cut off: {error}") from None

    def close(self) -> None:
        self._stream.close()
        self._below.close()

    def __enter__(self) -> "_Translated":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_position(stream: BinaryIO) -> int:
    """Bytes of the file on disk that have been read, for progress."""
    below = stream._below if isinstance(stream, _Translated) else stream
    return 0 if below.closed else below.tell()


def plain_name(name: str) -> str:
    """The file's name without folders and compression: `map/2025….json.gz` → `2025….json`."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    for suffix in SUFFIXES:
        last = last.removesuffix(suffix)
    return last
