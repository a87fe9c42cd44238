"""Files that grow: each line is a message, and how far they are done survives whatever happens.

The sequence of a stream counts the lines of its path and goes on across rotation, truncation and
restarts. A file is known by its inode and its first bytes: renamed, it is read to its end under
its old name; another file under the same name begins at its beginning. A line counts when its
newline is there.
"""

import glob
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ingest.errors import SourceRefused
from ingest.sources.files_settings import FilesSettings
from ingest.sources.positions import FilePosition, Positions
from ingest.sources.source import POLL_BYTES_MAX, POLL_MESSAGES_MAX, Lag, Messages

FILES_MAX = 1_000
"""Files that are read at the same time; each costs a descriptor while it has something new."""
SCAN_S = 0.25
_HEADED = (".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class _Receipt:
    """What is done when messages are: a file up to an offset."""

    position: FilePosition


class GrowingFilesSource:
    """See `ingest.sources.source.Source`."""

    def __init__(self, name: str, settings: FilesSettings) -> None:
        self._name, self._settings = name, settings
        self._positions = Positions(settings.position or Path(f"{name}.position.json"))
        self._next: dict[str, FilePosition] = {}
        self._open: dict[str, BinaryIO] = {}
        self._scanned_s = -SCAN_S
        self._is_at_end = False

    @property
    def name(self) -> str:
        """See `Source.name`."""
        return self._name

    def open(self) -> None:
        """See `Source.open`."""
        if not self._settings.paths:
            raise SourceRefused(f"source {self._name!r}: paths is empty; name files or folders")
        self._positions.load()
        self._next = dict(self._positions.done)
        self._scan()
        if not self._next and not self._settings.follow:
            shown = ", ".join(self._settings.paths)
            raise SourceRefused(f"source {self._name!r}: there is no file at {shown}")

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        """See `Source.poll`."""
        until_s = time.monotonic() + timeout_s
        while True:
            found = self._read()
            if found or self._is_at_end or time.monotonic() >= until_s:
                self._positions.save_if_due()
                return found
            time.sleep(min(SCAN_S / 5, max(until_s - time.monotonic(), 0.0)))

    def keep_alive(self) -> None:
        """See `Source.keep_alive`: files wait by themselves."""

    def acknowledge(self, messages: Messages) -> None:
        """See `Source.acknowledge`; durable within half a second."""
        assert isinstance(messages.receipt, _Receipt), "messages of another source"
        self._positions.advance(messages.receipt.position)

    def lost_streams(self) -> Sequence[str]:
        """See `Source.lost_streams`: nobody else reads these."""
        return ()

    def lag(self) -> Lag:
        """See `Source.lag`: bytes are known, lines are not."""
        return Lag(0 if self._is_at_end else None, {})

    def is_at_end(self) -> bool:
        """See `Source.is_at_end`."""
        return self._is_at_end

    def close(self) -> None:
        """See `Source.close`."""
        self._positions.save()
        for stream in self._open.values():
            stream.close()
        self._open.clear()

    # Files

    def _scan(self) -> None:
        """Look for new files and forget those that are gone and done."""
        now_s = time.monotonic()
        if now_s - self._scanned_s < SCAN_S:
            return
        self._scanned_s = now_s
        present: set[str] = set()
        for path in self._paths():
            try:
                with path.open("rb") as stream:
                    known = self._positions.identify(stream, path, self._next)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise SourceRefused(f"{path}: {error.strerror}") from None
            present.add(known.file)
            if known.file not in self._next and self._has_unread(known.path):
                continue  # lines of a path are numbered in order: first the rest of the old file
            if self._next.get(known.file) != known:
                self._begin(known)
        for file in sorted(set(self._next) - present):
            if not self._still_readable(file) and self._is_done(file):
                self._forget(file)

    def _has_unread(self, path: str) -> bool:
        return any(
            position.path == path and self._still_readable(file)
            for file, position in self._next.items()
        )

    def _is_done(self, file: str) -> bool:
        done = self._positions.done.get(file)
        return done is not None and done.offset >= self._next[file].offset

    def _begin(self, position: FilePosition) -> None:
        if not position.offset:  # remembered before its first line, should it be renamed soon
            self._positions.advance(position)
        self._next[position.file] = position
        old = self._open.pop(position.file, None)
        if old is not None:
            old.close()

    def _paths(self) -> Iterator[Path]:
        count = 0
        for pattern in self._settings.paths:
            place = Path(pattern)
            found = (
                sorted(place.iterdir())
                if place.is_dir()
                else [Path(path) for path in sorted(glob.glob(pattern))]  # noqa: PTH207
            )
            for path in found:
                if path.is_file() and not path.name.startswith("."):
                    count += 1
                    if count > FILES_MAX:
                        raise SourceRefused(
                            f"source {self._name!r}: more than {FILES_MAX} files match; move "
                            "those that are done away, or give a narrower pattern"
                        )
                    yield path

    def _still_readable(self, file: str) -> bool:
        """Whether a file that no pattern finds any more has lines that were not read."""
        position = self._next[file]
        stream = self._stream(position)
        if stream is None:
            return False
        return os.fstat(stream.fileno()).st_size > position.offset

    def _forget(self, file: str) -> None:
        self._next.pop(file)
        stream = self._open.pop(file, None)
        if stream is not None:
            stream.close()
        self._positions.forget(file)

    def _stream(self, position: FilePosition) -> BinaryIO | None:
        """The open file; one that was renamed is found again among its neighbours."""
        stream = self._open.get(position.file)
        if stream is None:
            path = self._positions.find(position)
            if path is None:
                return None
            stream = self._open[position.file] = path.open("rb")
        return stream

    # Lines

    def _read(self) -> list[Messages]:
        self._scan()
        found: list[Messages] = []
        messages_left, bytes_left = POLL_MESSAGES_MAX, POLL_BYTES_MAX
        complete = True
        for file in sorted(self._next, key=lambda file: self._next[file].path):
            if messages_left <= 0 or bytes_left <= 0:
                complete = False
                break
            position = self._next[file]
            stream = self._stream(position)
            if stream is None:
                continue
            messages, reached = self._lines(stream, position, messages_left, bytes_left)
            self._next[file] = reached
            if messages is not None:
                found.append(messages)
                messages_left -= len(messages)
                bytes_left -= reached.offset - position.offset
                complete = False
            elif reached.offset < os.fstat(stream.fileno()).st_size:
                complete = False  # its next line did not fit into this poll
        self._is_at_end = complete and not self._settings.follow
        return found

    def _lines(
        self, stream: BinaryIO, position: FilePosition, messages_max: int, bytes_max: int
    ) -> tuple[Messages | None, FilePosition]:
        stream.seek(position.offset)
        data = stream.read(bytes_max)
        ends = data.rfind(b"\n") + 1
        is_cut = len(data) >= bytes_max
        if not ends and (len(data) >= POLL_BYTES_MAX if is_cut else not self._settings.follow):
            ends = len(data)  # a line that is no line, or the last one of a file that is whole
        if not ends:
            return None, position
        lines = data[:ends].split(b"\n", messages_max)
        if len(lines) > messages_max:
            ends -= len(lines.pop())
        elif data[ends - 1 : ends] == b"\n":
            lines.pop()
        reached = position.moved(offset=position.offset + ends, lines=len(lines))
        first = position.line
        header = self._header(stream, position)
        kept = [(first + at, line) for at, line in enumerate(lines) if line and not line.isspace()]
        if header is not None:
            kept = [
                (at, header + line.rstrip(b"\r"))
                for at, line in kept
                if at > first or position.offset > 0
            ]
        if not kept:
            return None, reached
        count = len(kept)
        return Messages(
            stream=position.path,
            sequences=np.fromiter((at for at, _ in kept), np.int64, count),
            payloads=[line for _, line in kept],
            keys=(),
            produced_ms=np.full(count, time.time_ns() // 1_000_000, np.int64),
            receipt=_Receipt(reached),
        ), reached

    def _header(self, stream: BinaryIO, position: FilePosition) -> bytes | None:
        wanted = self._settings.header
        if wanted is None:
            wanted = position.path.lower().endswith(_HEADED)
        if not wanted:
            return None
        stream.seek(0)
        return stream.readline(1 << 16).rstrip(b"\r\n") + b"\n"
