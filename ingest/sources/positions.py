"""How far files are done, in one small file that is replaced as a whole."""

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO, Self

import orjson

from ingest.durable import replace_file
from ingest.errors import SourceRefused

SAVE_S = 0.5
"""Between two saves: what was done meanwhile is read again after a crash, which is harmless."""
HEAD_BYTES = 256
VERSION = 1


@dataclass(frozen=True, slots=True)
class FilePosition:
    """A place in one file.

    Attributes:
        file: device and inode.
        path: under which it was seen first; the name of its stream.
        head: its first bytes as hexadecimal digits, up to HEAD_BYTES: an inode is used again.
        offset: bytes before the place.
        line: sequence of the line that begins there; goes on from the file before at this path.
    """

    file: str
    path: str
    head: str
    offset: int
    line: int

    def moved(self, *, offset: int, lines: int) -> Self:
        """The place so many lines later."""
        return replace(self, offset=offset, line=self.line + lines)


class Positions:
    """The places up to which files are done.

    Attributes:
        done: device and inode → place.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.done: dict[str, FilePosition] = {}
        self._lines: dict[str, int] = {}
        self._is_changed = False
        self._saved_s = time.monotonic()

    def load(self) -> None:
        """Read what was saved.

        Raises:
            SourceRefused: it is damaged, or of a newer version.
        """
        try:
            document = orjson.loads(self._path.read_bytes())
            if document["version"] != VERSION:
                raise ValueError(f"version {document['version']}, not {VERSION}")
            places = [FilePosition(**entry) for entry in document["files"]]
            self._lines = {str(path): int(line) for path, line in document["lines"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SourceRefused(
                f"{self._path} does not say how far files are done ({error}); move it away to "
                "read them again from the beginning (repeats change nothing)"
            ) from None
        self.done = {place.file: place for place in places}

    def identify(
        self, stream: BinaryIO, path: Path, known: Mapping[str, FilePosition]
    ) -> FilePosition:
        """The place to go on in an open file: where it was left, or the beginning."""
        status = os.fstat(stream.fileno())
        file = f"{status.st_dev}:{status.st_ino}"
        head = stream.read(HEAD_BYTES).hex()
        place = known.get(file)
        if place is not None and head.startswith(place.head) and status.st_size >= place.offset:
            return place if len(place.head) >= len(head) else replace(place, head=head)
        stream_path = place.path if place is not None and place.path == str(path) else str(path)
        line = max(self._lines.get(stream_path, 0), place.line if place is not None else 0)
        for other in known.values():
            if other.path == stream_path:
                line = max(line, other.line)
        return FilePosition(file, stream_path, head, 0, line)

    def find(self, place: FilePosition) -> Path | None:
        """Where the file is now: at its path, or renamed in the same folder."""
        path = Path(place.path)
        try:
            neighbours = [path, *sorted(path.parent.iterdir())]
        except OSError:
            return None
        for candidate in neighbours:
            try:
                status = candidate.stat()
            except OSError:
                continue
            if f"{status.st_dev}:{status.st_ino}" == place.file:
                return candidate
        return None

    def advance(self, place: FilePosition) -> None:
        """Everything before the place is done."""
        self.done[place.file] = place
        self._lines[place.path] = max(self._lines.get(place.path, 0), place.line)
        self._is_changed = True

    def forget(self, file: str) -> None:
        """The file is gone; the count of its path stays."""
        self._is_changed |= self.done.pop(file, None) is not None

    def save_if_due(self) -> None:
        """Save what has changed, twice a second at most."""
        if self._is_changed and time.monotonic() - self._saved_s >= SAVE_S:
            self.save()

    def save(self) -> None:
        """Make everything durable: written beside, synchronised, renamed.

        Raises:
            SourceRefused: the folder cannot be written.
        """
        if not self._is_changed:
            return
        document = {
            "version": VERSION,
            "files": [asdict(self.done[file]) for file in sorted(self.done)],
            "lines": dict(sorted(self._lines.items())),
        }
        try:
            replace_file(self._path, orjson.dumps(document, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise SourceRefused(
                f"{self._path}: {error.strerror}; set `position` to a file that can be written"
            ) from None
        self._is_changed, self._saved_s = False, time.monotonic()
