"""Whether anything is missing: sequences that were acknowledged against what is stored or dead.

Every record says which source, stream and sequence it came from (`ingest.provenance`). A record
that two messages brought says the later one of the two; so a message without a record of its own
is missing only if no later one brought the same record, which only its content could tell. That
is why `unaccounted` is an upper bound where producers send records twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ingest.deadletters import DeadLetter
from ingest.provenance import SEQUENCE, SOURCE, STREAM
from node.client import Client
from node.errors import NotFound
from zring.morton import Int64s

EXAMPLES_MAX = 10


@dataclass(frozen=True, slots=True)
class StreamAudit:
    """One stream.

    Attributes:
        first, stop: the half-open range of sequences that were acknowledged; None where the
            source cannot say: then from the first to the last that is known of.
        stored: of them, sequences of records in the store.
        dead: of the others, sequences with a dead letter.
        unaccounted: the rest; `examples` are the first of them.
    """

    stream: str
    first: int
    stop: int
    stored: int
    dead: int
    unaccounted: int
    examples: tuple[int, ...]


def audit_streams(
    expected: Mapping[str, tuple[int, int]] | None,
    stored: Mapping[str, Int64s],
    dead: Mapping[str, Int64s],
) -> list[StreamAudit]:
    """Compare, stream by stream.

    Args:
        expected: stream → (first, stop); None where the source cannot say.
        stored, dead: stream → sequences, in any order, possibly repeated.
    """
    none = np.empty(0, np.int64)
    streams = sorted({*stored, *dead} if expected is None else expected)
    found = []
    for stream in streams:
        has, lies = np.unique(stored.get(stream, none)), np.unique(dead.get(stream, none))
        known = np.union1d(has, lies)
        if expected is not None:
            first, stop = expected[stream]
        else:
            first, stop = (int(known[0]), int(known[-1]) + 1) if len(known) else (0, 0)
        has = has[(has >= first) & (has < stop)]
        lies = np.setdiff1d(lies[(lies >= first) & (lies < stop)], has, assume_unique=True)
        missing = np.setdiff1d(np.arange(first, stop, dtype=np.int64), known, assume_unique=True)
        found.append(
            StreamAudit(
                stream,
                first,
                stop,
                len(has),
                len(lies),
                len(missing),
                tuple(missing[:EXAMPLES_MAX].tolist()),
            )
        )
    return found


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


def dead_sequences(letters: Iterable[DeadLetter], source: str) -> dict[str, Int64s]:
    """Stream → sequences of a source's dead letters."""
    found: dict[str, list[int]] = {}
    for letter in letters:
        if letter.source == source:
            found.setdefault(letter.stream, []).append(letter.sequence)
    return {stream: np.array(sequences, np.int64) for stream, sequences in found.items()}
