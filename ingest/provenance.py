"""Where each record came from and when, as metadata beside it (`node.metadata`).

It is outside identity, version and digest: a record that is delivered again is the same record,
whatever it says here.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ingest.messages import RecordPart
from ingest.sources.source import Messages
from node.codec.arrow import rows_to_batch

INGESTED, SOURCE, STREAM, SEQUENCE = "@ingested", "@source", "@stream", "@sequence"


def with_metadata(
    part: RecordPart, polled: Sequence[Messages], *, source: str, now_us: int
) -> pa.RecordBatch:
    """Checked records as a batch for the nodes, with metadata.

    Args:
        part: of the messages of `polled`, one after another.
        now_us: microseconds since the epoch.

    Cost: some 20 ns a record; names are sent once.
    """
    count = len(part.rows)
    batch = rows_to_batch(part.rows)
    blocks = np.repeat(
        np.arange(len(polled), dtype=np.int32), [len(messages) for messages in polled]
    )[part.message]
    sequences = np.concatenate([messages.sequences for messages in polled])[part.message]
    streams = pa.array([messages.stream for messages in polled], pa.string())
    added = {
        INGESTED: pa.array(np.full(count, now_us, np.int64)),
        SOURCE: pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), [source]),
        STREAM: pa.DictionaryArray.from_arrays(blocks, streams),
        SEQUENCE: pa.array(sequences.astype(np.int64, copy=False)),
    }
    own = {
        name: column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        if name not in added
    }
    return pa.RecordBatch.from_pydict({**own, **added})
