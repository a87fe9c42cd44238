"""The file of rejected rows: one JSON object per line, with what stood in the file."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from ingest.formats import Refused

_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class RejectFile:
    """Collects rejected rows; without a path it only lets them pass.

    A line is `{"file", "row", "reason", "message", "original"}`. The file is created with the
    first row, so that a run without rejections leaves none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    @property
    def wanted(self) -> bool:
        """Whether rows that are written here go anywhere."""
        return self._path is not None

    def write(self, file: str, refused: Iterable[Refused]) -> None:
        """Append rows of one file."""
        if self._path is None:
            return
        lines = [
            orjson.dumps(
                {
                    "file": file,
                    "row": entry.row,
                    "reason": entry.reason,
                    "message": entry.message,
                    "original": entry.original,
                },
                default=_shown,
                option=_OPTIONS,
            )
            for entry in refused
        ]
        if not lines:
            return
        if self._stream is None:
            self._stream = self._path.open("wb")
        self._stream.writelines(lines)


def _shown(value: Any) -> str:
    """What JSON has no form for (bytes of a Parquet cell, a decimal) as its repr."""
    return repr(value)
