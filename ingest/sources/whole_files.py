"""A folder into which files are put: each file is one message, whose key is its name.

For downloads and exports (`format = "amedas"`, GeoJSON, Arrow). A file is taken when it has not
changed for a second: whoever writes into the folder slowly should write beside it and rename. One
that changes later is a new message.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import orjson

from ingest.durable import replace_file
from ingest.errors import SourceRefused
from ingest.sources.files_settings import FilesSettings
from ingest.sources.source import POLL_BYTES_MAX, POLL_MESSAGES_MAX, Lag, Messages

SETTLED_S = 1.0
SCAN_S = 0.5
FILES_MAX = 100_000
"""Files of all folders together: their names are kept, some 100 bytes each."""
VERSION = 1

State = tuple[int, int]
"""Size and time of the last change (nanoseconds) of a file."""


class WholeFilesSource:
    """See `ingest.sources.source.Source`; made by `ingest.sources.files.make_files_source`."""

    def __init__(self, name: str, settings: FilesSettings) -> None:
        self._name, self._settings = name, settings
        self._position = settings.position or Path(f"{name}.position.json")
        self._done: dict[str, State] = {}
        self._out: dict[str, State] = {}
        self._waiting: list[Path] = []
        self._sequence = 0
        self._scan_from_s = 0.0
        self._is_at_end = False

    @property
    def name(self) -> str:
        """See `Source.name`."""
        return self._name

    def open(self) -> None:
        """See `Source.open`."""
        try:
            document = orjson.loads(self._position.read_bytes())
            if document["version"] != VERSION or document["unit"] != "file":
                raise ValueError("of another version, or of sources with unit = line")
            self._done = {name: (size, changed) for name, size, changed in document["files"]}
            self._sequence = int(document["sequence"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SourceRefused(
                f"{self._position} does not say which files are done ({error}); move it away to "
                "take all of them again (repeats change nothing)"
            ) from None
        for pattern in self._settings.paths:
            if not Path(pattern).is_dir():
                raise SourceRefused(f"source {self._name!r}: {pattern} is no folder")

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        """See `Source.poll`."""
        until_s = time.monotonic() + timeout_s
        while True:
            self._scan()
            found = self._take()
            if found or self._is_at_end or time.monotonic() >= until_s:
                return found
            time.sleep(min(SCAN_S / 5, max(until_s - time.monotonic(), 0.0)))

    def keep_alive(self) -> None:
        """See `Source.keep_alive`: files wait by themselves."""

    def acknowledge(self, messages: Messages) -> None:
        """See `Source.acknowledge`; durable when it returns."""
        assert isinstance(messages.receipt, dict), "messages of another source"
        self._done.update(messages.receipt)
        for path in messages.receipt:
            self._out.pop(path, None)
        self._save(int(messages.sequences[-1]) + 1)

    def lost_streams(self) -> Sequence[str]:
        """See `Source.lost_streams`: nobody else reads these."""
        return ()

    def lag(self) -> Lag:
        """See `Source.lag`."""
        return Lag(len(self._waiting), {})

    def is_at_end(self) -> bool:
        """See `Source.is_at_end`."""
        return self._is_at_end

    def close(self) -> None:
        """See `Source.close`: nothing is open and everything is saved."""

    def _scan(self) -> None:
        """Find files that are new or changed, once those that were found are taken."""
        now_s = time.monotonic()
        if self._waiting or now_s < self._scan_from_s:
            return
        self._scan_from_s = now_s + SCAN_S
        present: set[str] = set()
        is_settling = False
        for pattern in self._settings.paths:
            for path in sorted(Path(pattern).iterdir()):
                state = _state(path)
                if state is None:
                    continue
                present.add(str(path))
                if state in (self._done.get(str(path)), self._out.get(str(path))):
                    continue
                if time.time_ns() - state[1] < SETTLED_S * 1e9:
                    is_settling = True
                else:
                    self._waiting.append(path)
        if len(present) > FILES_MAX:
            raise SourceRefused(
                f"source {self._name!r}: more than {FILES_MAX} files; move those that are done away"
            )
        self._done = {path: state for path, state in self._done.items() if path in present}
        self._is_at_end = not (self._settings.follow or self._waiting or is_settling)

    def _take(self) -> list[Messages]:
        """The next files, as one batch for each folder."""
        folders: dict[str, list[tuple[Path, State, bytes]]] = {}
        size = count = 0
        while self._waiting and count < POLL_MESSAGES_MAX:
            path = self._waiting[0]
            state = _state(path)
            if state is not None:
                if count and size + state[0] > POLL_BYTES_MAX:
                    break
                try:
                    body = path.read_bytes()
                except OSError as error:
                    raise SourceRefused(f"{path}: {error.strerror}") from None
                folders.setdefault(str(path.parent), []).append((path, state, body))
                size, count = size + len(body), count + 1
            self._waiting.pop(0)
        return [self._messages(folder, files) for folder, files in folders.items()]

    def _messages(self, folder: str, files: Sequence[tuple[Path, State, bytes]]) -> Messages:
        first, self._sequence = self._sequence, self._sequence + len(files)
        receipt: Mapping[str, State] = {str(path): state for path, state, _ in files}
        self._out.update(receipt)
        return Messages(
            stream=folder,
            sequences=np.arange(first, self._sequence, dtype=np.int64),
            payloads=[body for _, _, body in files],
            keys=[path.name.encode() for path, _, _ in files],
            produced_ms=np.array([state[1] // 1_000_000 for _, state, _ in files], np.int64),
            receipt=receipt,
        )

    def _save(self, sequence: int) -> None:
        document = {
            "version": VERSION,
            "unit": "file",
            "sequence": sequence,
            "files": [[path, *self._done[path]] for path in sorted(self._done)],
        }
        try:
            replace_file(self._position, orjson.dumps(document))
        except OSError as error:
            raise SourceRefused(
                f"{self._position}: {error.strerror}; set `position` to a file that can be written"
            ) from None


def _state(path: Path) -> State | None:
    """None for what is no file, hidden, or gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    if path.name.startswith(".") or not path.is_file():
        return None
    return status.st_size, status.st_mtime_ns
