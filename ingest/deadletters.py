"""Messages that cannot be stored, kept with their original bytes until a person looks at them.

A letter is durable before its message is acknowledged to the source. A message that was delivered
twice may have two letters; source, stream, sequence, key and bytes say that they are one.
"""

import base64
import binascii
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol, Self

import orjson

from ingest.durable import sync_folder
from ingest.errors import DeadLettersRefused, UnreadableFile

FILE_BYTES_MAX = 4 << 30
"""A file that grows beyond is a mapping gone wrong, not a few broken sensors: the pump waits."""
IDENTITY_BYTES = 16
"""Of a hash: two of a million letters are the same by chance once in 10^26 files."""
_OPTIONS = orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message, of which at least one record was not stored.

    Attributes:
        source, stream, sequence, key: where it stood, as in `ingest.sources.Messages`.
        produced_ms: when the source took it.
        dead_us: when it was given up; both since the epoch.
        reason: the short stable word of its first refused record.
        detail: what is wrong and the way out.
        records: how many of its records were refused; the others are stored.
        payload: the original bytes; None where it had none.
    """

    source: str
    stream: str
    sequence: int
    key: bytes | None
    produced_ms: int
    dead_us: int
    reason: str
    detail: str
    records: int
    payload: bytes | None

    def to_json(self) -> bytes:
        """One line of NDJSON; bytes are base64."""
        document: dict[str, Any] = asdict(self)
        for name in ("key", "payload"):
            value = document[name]
            document[name] = None if value is None else base64.b64encode(value).decode()
        return orjson.dumps(document, option=_OPTIONS)

    def identity(self) -> bytes:
        """What two letters of one message have in common.

        The bytes belong to it: where a protocol numbers nothing, the sequence is a count of what
        one process received, and begins anew with the next one.
        """
        digest = blake2b(digest_size=IDENTITY_BYTES)
        place = orjson.dumps([self.source, self.stream, self.sequence, self.payload is None])
        for part in (place, self.key or b"", self.payload or b""):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.digest()

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        """Read what `to_json` wrote.

        Raises:
            UnreadableFile: it is something else, or a piece of it.
        """
        try:
            document = orjson.loads(line)
            for name in ("key", "payload"):
                text = document[name]
                document[name] = None if text is None else base64.b64decode(text, validate=True)
            return cls(**document)
        except (ValueError, TypeError, KeyError, binascii.Error) as error:
            raise UnreadableFile(f"a line is no dead letter: {error}") from None


class DeadLetterSink(Protocol):
    """Where dead letters go. Called by one thread; what it does not take stops the source."""

    def open(self) -> None:
        """Find out within seconds whether the place is there; `add` does without this call.

        Raises:
            SourceRefused: it is not, as things are; the message says what to change.
        """
        ...

    def add(self, letters: Sequence[DeadLetter]) -> None:
        """Keep them; all are durable when it returns.

        Raises:
            DeadLettersRefused: they are not; the pump waits and calls again with the same ones.
        """
        ...

    def close(self) -> None:
        """Let go; safe to call twice."""
        ...


class DeadLetterFile:
    """NDJSON that several processes may append to.

    Args:
        path: made with the first letter, with its folder.
        bytes_max: no letter is added to a larger file.
    """

    def __init__(self, path: Path, *, bytes_max: int = FILE_BYTES_MAX) -> None:
        self._path, self._bytes_max = path, bytes_max

    def open(self) -> None:
        """The file is made with the first letter."""

    def add(self, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetterSink.add`."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self._path.exists()
            with self._path.open("ab+") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                size = stream.seek(0, os.SEEK_END)
                if size > self._bytes_max:
                    raise DeadLettersRefused(
                        f"{self._path} has {size} bytes, more than {self._bytes_max}; see "
                        "`zring deadletter list`, mend and retry them or move the file away"
                    )
                if size and not _ends_with_newline(stream, size):
                    stream.write(b"\n")  # the writer before was killed within a line
                stream.writelines(letter.to_json() for letter in letters)
                stream.flush()
                os.fsync(stream.fileno())
            if is_new:
                sync_folder(self._path.parent)
        except OSError as error:
            raise DeadLettersRefused(f"{self._path}: {error.strerror}; free space, or give "
                                     "another file") from None  # fmt: skip

    def close(self) -> None:
        """Nothing stays open between calls."""


def _ends_with_newline(stream: Any, size: int) -> bool:
    stream.seek(size - 1)
    return bool(stream.read(1) == b"\n")


def read_letters(path: Path) -> Iterator[DeadLetter]:
    """The letters of a file, each message once; lines that were cut off are passed over.

    Raises:
        UnreadableFile: the file cannot be read, or holds no letter at all.
    """
    known: set[bytes] = set()
    lines = 0
    try:
        with path.open("rb") as stream:
            for line in stream:
                lines += 1
                try:
                    letter = DeadLetter.from_json(line)
                except UnreadableFile:
                    continue
                identity = letter.identity()
                if identity not in known:
                    known.add(identity)
                    yield letter
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from None
    if lines and not known:
        raise UnreadableFile(f"{path} holds no dead letter in {lines} lines")


def keep_letters(path: Path, kept: Sequence[DeadLetter], *, seen_bytes: int) -> None:
    """Replace the first `seen_bytes` of a file by these letters; what was added since stays."""
    beside = path.with_name(path.name + ".new")
    with path.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(seen_bytes)
        with beside.open("wb") as target:
            target.writelines(letter.to_json() for letter in kept)
            while piece := stream.read(1 << 20):
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        beside.replace(path)
        sync_folder(path.parent)
