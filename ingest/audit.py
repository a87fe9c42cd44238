"""Whether anything is missing: sequences that were acknowledged against what is stored or dead.

Every record says which source, stream and sequence it came from (`ingest.provenance`). A record
that two messages brought says the later one of the two; so a message without a record of its own
is missing only if no later one brought the same record, which only its content could tell. That
is why `gap` is an upper bound where producers send records twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ingest.provenance import SEQUENCE, SOURCE, STREAM
from ingest.sources.source import Extent
from node.client import Client
from node.errors import NotFound
from zring.morton import Int64s

EXAMPLES_MAX = 10


@dataclass(frozen=True, slots=True)
class StreamAudit:
    """One stream.

    Attributes:
        begin, end: the half-open range of sequences that the broker still has; None, like the
            next two, where the kind of source has no broker that could say.
        committed: the first sequence that was not acknowledged; None also before any was.
        waiting: sequences behind it: not read or not acknowledged yet.
        deleted: sequences that the broker gave up before anybody acknowledged them.
        first, stop: the half-open range that is accounted for: what was acknowledged of what the
            broker has, from the first that is known of where the stream was not read from its
            beginning; without a broker from the first to the last that is known of.
        stored: of them, sequences of records in the store.
        dead: of the others, sequences with a dead letter.
        gap: the rest; `examples` are the first of them.
    """

    stream: str
    begin: int | None
    end: int | None
    committed: int | None
    waiting: int
    deleted: int
    first: int
    stop: int
    stored: int
    dead: int
    gap: int
    examples: tuple[int, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing; what waits is not."""
        return not self.gap and not self.deleted


def audit_streams(
    extents: Mapping[str, Extent] | None,
    stored: Mapping[str, Int64s],
    dead: Mapping[str, Int64s],
) -> list[StreamAudit]:
    """Compare, stream by stream.

    Args:
        extents: stream → what its broker says; None where there is none.
        stored, dead: stream → sequences, in any order, possibly repeated.
    """
    none = np.empty(0, np.int64)
    streams = sorted({*stored, *dead} if extents is None else extents)
    return [
        _audit_stream(
            stream,
            None if extents is None else extents[stream],
            np.unique(stored.get(stream, none)),
            np.unique(dead.get(stream, none)),
        )
        for stream in streams
    ]


def _audit_stream(stream: str, extent: Extent | None, has: Int64s, lies: Int64s) -> StreamAudit:
    known = np.union1d(has, lies)
    first, stop = _range(extent, known)
    has = has[(has >= first) & (has < stop)]
    lies = np.setdiff1d(lies[(lies >= first) & (lies < stop)], has, assume_unique=True)
    missing = np.setdiff1d(np.arange(first, stop, dtype=np.int64), known, assume_unique=True)
    begin, end, committed = None, None, None
    waiting = deleted = 0
    if extent is not None:
        begin, end, committed = extent.begin, extent.end, extent.committed
        waiting = end - max(begin, committed or 0)
        deleted = max(0, begin - committed) if committed is not None else 0
    return StreamAudit(
        stream=stream,
        begin=begin,
        end=end,
        committed=committed,
        waiting=waiting,
        deleted=deleted,
        first=first,
        stop=stop,
        stored=len(has),
        dead=len(lies),
        gap=len(missing),
        examples=tuple(missing[:EXAMPLES_MAX].tolist()),
    )


def _range(extent: Extent | None, known: Int64s) -> tuple[int, int]:
    """The sequences to account for."""
    if extent is None:
        return (int(known[0]), int(known[-1]) + 1) if len(known) else (0, 0)
    stop = max(extent.begin, extent.committed or 0)
    if extent.is_whole:
        return extent.begin, stop
    since = known[known >= extent.begin]
    return (min(int(since[0]), stop) if len(since) else stop), stop


def stored_sequences(client: Client, collection: str, source: str) -> dict[str, Int64s]:
    """Stream → sequences of the records that a source brought, each once.

    Raises:
        NodeError: the nodes do not answer in full.
    """
    quoted = source.replace("'", "''")
    pages = client.pages(
        collection,
        filter=f"\"{SOURCE}\" = '{quoted}'",
        columns=(SOURCE, STREAM, SEQUENCE),
        require="complete",
    )
    found: dict[str, list[Int64s]] = {}
    try:
        for page in pages:
            for stream, sequences in _by_stream(page.table):
                found.setdefault(stream, []).append(sequences)
    except NotFound:
        return {}
    return {stream: np.unique(np.concatenate(pieces)) for stream, pieces in found.items()}


def _by_stream(table: pa.Table) -> Iterable[tuple[str, Int64s]]:
    if not table.num_rows or STREAM not in table.column_names:
        return
    encoded = table[STREAM].combine_chunks().cast(pa.string()).dictionary_encode()
    sequences = table[SEQUENCE].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
    for at, stream in enumerate(encoded.dictionary.to_pylist()):
        yield stream, np.unique(sequences[encoded.indices.to_numpy() == at]).astype(np.int64)


def dead_sequences(places: Iterable[tuple[str, str, int]], source: str) -> dict[str, Int64s]:
    """Stream → sequences of a source's dead letters.

    Args:
        places: source, stream and sequence of each letter.
    """
    found: dict[str, list[int]] = {}
    for name, stream, sequence in places:
        if name == source:
            found.setdefault(stream, []).append(sequence)
    return {stream: np.array(sequences, np.int64) for stream, sequences in found.items()}
