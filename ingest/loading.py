"""Files to nodes: decode, check, group into batches, store, and account for every row."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ingest.errors import IngestError, UnknownFormat
from ingest.formats import (
    DECODERS,
    HEAD_BYTES,
    STATION_TABLE,
    Context,
    Part,
    Refusals,
    Refused,
    RefusedMany,
    detect,
)
from ingest.formats.compressed import open_plain, read_position
from ingest.recording import RecordingRejecter
from ingest.rejects import RejectFile
from ingest.sender import Sender
from node.client.writing import Written
from node.codec.arrow import rows_to_batch
from node.codec.columns import columns_to_rows
from node.errors import BadRequest
from node.records import Rows, concat_rows
from zring.domain import Domain
from zring.morton import Int64s

SEND_RECORDS = 100_000
"""Records of one batch to the nodes; small files are joined up to it."""
_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".ndjson", ".jsonl", ".geojson", ".parquet")

Progress = Callable[[int, int], None]
"""Is told the bytes of the file that are read, and the records that came of them."""


@dataclass(slots=True)
class FileOutcome:
    """What became of one file; grows while it is loaded.

    Attributes:
        records: rows that were records before any check.
        stored: records that a node has acknowledged (of a dry run: would be sent).
        rejected: the other rows, by reason.
        left_out: single values dropped by rule, by reason.
        error: what stopped the file; records before it are stored.
    """

    path: str
    format: str = ""
    records: int = 0
    stored: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "file": self.path,
            "format": self.format,
            "records": self.records,
            "stored": self.stored,
            "rejected": dict(self.rejected),
            "left_out": dict(self.left_out),
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Checked records of one part, waiting to be sent, and where they came from."""

    outcome: FileOutcome
    part: Part
    rows: Rows
    indices: Int64s


class Loader:
    """Loads files one after another into collections.

    Args:
        domain: positions outside are rejected here, before anything is sent.
        collection: name for records without a topic; others go to `<collection>.<topic>`.
        context: station table, mapping and options for the decoders.
        rejects: takes every rejected row.
        sender: stores; None for a dry run.
    """

    def __init__(
        self,
        *,
        domain: Domain,
        collection: str,
        context: Context,
        rejects: RejectFile,
        sender: Sender | None,
    ) -> None:
        self._domain, self._collection = domain, collection
        self._context, self._rejects, self._sender = context, rejects, sender
        self._waiting: dict[str, list[_Chunk]] = {}

    def load(self, path: Path, format_name: str, progress: Progress) -> FileOutcome:
        """Load one file; what is wrong with it is in the outcome, not raised.

        `stored` grows until `finish`: the records of small files are sent together.

        Raises:
            NodeError: the nodes did not take what was sent; repeat the whole call later.
        """
        outcome = FileOutcome(str(path))
        try:
            for part, position in self._parts(path, format_name, outcome):
                self._take(outcome, part)
                progress(position, outcome.records)
        except IngestError as error:
            outcome.error = str(error)
        return outcome

    def finish(self) -> None:
        """Send what waits and wait until all of it is stored.

        Raises:
            NodeError: as `load`.
        """
        for collection in sorted(self._waiting):
            self._send(collection)
        if self._sender is not None:
            self._sender.drain()

    def _parts(
        self, path: Path, format_name: str, outcome: FileOutcome
    ) -> Iterator[tuple[Part, int]]:
        name = format_name
        if name == "auto":
            with open_plain(path) as stream:
                name = detect(stream.read(HEAD_BYTES), str(path))
        outcome.format = name
        if name == STATION_TABLE:
            raise UnknownFormat("a station table holds no records; give it with --stations")
        with open_plain(path) as stream:
            for part in DECODERS[name](stream, replace(self._context, path=str(path))):
                yield part, read_position(stream)

    def _take(self, outcome: FileOutcome, part: Part) -> None:
        self._reject(outcome, part.refused)
        outcome.left_out.update(part.left_out)
        outcome.records += len(part.rows) + len(part.refused)
        if not len(part.rows):
            return
        recorder = RecordingRejecter(len(part.rows))
        try:
            decoded = columns_to_rows(part.columns, domain=self._domain, rejecter=recorder)
        except BadRequest as error:
            raise UnknownFormat(str(error)) from None
        many = (
            RefusedMany(reason, at, part.rows, describe, part.original)
            for at, reason, describe in recorder.found
        )
        self._reject(outcome, Refusals(many=many))
        if not len(decoded.rows):
            return
        if self._sender is None:
            outcome.stored += len(decoded.rows)
            return
        collection = f"{self._collection}.{part.topic}" if part.topic else self._collection
        waiting = self._waiting.setdefault(collection, [])
        waiting.append(_Chunk(outcome, part, decoded.rows, decoded.indices))
        if sum(len(chunk.rows) for chunk in waiting) >= SEND_RECORDS:
            self._send(collection)

    def _reject(self, outcome: FileOutcome, refused: Sequence[Refused]) -> None:
        if isinstance(refused, Refusals):
            outcome.rejected.update(refused.counts())
        else:
            outcome.rejected.update(entry.reason for entry in refused)
        if self._rejects.wanted:
            self._rejects.write(outcome.path, refused)

    def _send(self, collection: str) -> None:
        assert self._sender is not None, "a dry run has nothing to send"
        chunks = self._waiting.pop(collection)
        batch = rows_to_batch(concat_rows([chunk.rows for chunk in chunks]))
        self._sender.send(collection, batch, lambda written: self._settle(chunks, written))

    def _settle(self, chunks: list[_Chunk], written: Written) -> None:
        """Account for a batch: what the nodes did not take goes back to its file and row."""
        starts = np.cumsum([0, *(len(chunk.rows) for chunk in chunks)])
        for chunk in chunks:
            chunk.outcome.stored += len(chunk.rows)
        for rejection in written.rejected:
            at = int(np.searchsorted(starts, rejection.index, side="right")) - 1
            chunk = chunks[at]
            source = int(chunk.indices[rejection.index - int(starts[at])])
            entry = Refused(
                int(chunk.part.rows[source]),
                "refused-by-node",
                rejection.reason,
                chunk.part.original(source),
            )
            chunk.outcome.stored -= 1
            self._reject(chunk.outcome, (entry,))
        undescribed = written.rejected_count - len(written.rejected)
        if undescribed > 0:
            # A reply describes its first 1,000 rejections; the others are counted where they are.
            chunks[0].outcome.stored -= undescribed
            chunks[0].outcome.rejected["refused-by-node"] += undescribed


def find_files(paths: tuple[Path, ...]) -> list[Path]:
    """The files of the paths in order; of folders all that have a known ending, sorted."""
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            found[path] = None
            continue
        for file in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if not hidden and file.is_file() and _has_known_ending(file.name):
                found[file] = None
    return list(found)


def _has_known_ending(name: str) -> bool:
    lowered = name.lower()
    for suffix in (".gz", ".xz", ".bz2", ".zst"):
        lowered = lowered.removesuffix(suffix)
    return lowered.endswith(_SUFFIXES)


def totals(outcomes: list[FileOutcome], started_s: float) -> Mapping[str, Any]:
    """Sums over all files, as the summary shows them."""
    rejected: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for outcome in outcomes:
        rejected.update(outcome.rejected)
        left_out.update(outcome.left_out)
    seconds = max(time.monotonic() - started_s, 1e-9)
    stored = sum(outcome.stored for outcome in outcomes)
    return {
        "files": len(outcomes),
        "files_failed": sum(outcome.error is not None for outcome in outcomes),
        "records": sum(outcome.records for outcome in outcomes),
        "stored": stored,
        "rejected": dict(rejected),
        "left_out": dict(left_out),
        "seconds": round(seconds, 3),
        "records_per_s": round(stored / seconds),
    }
