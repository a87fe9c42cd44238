"""Batch and streaming writers: Arrow batches to the owners, each record stored once.

A task writes its batches as they come. One that fails and is repeated writes the same records
again, which changes nothing. Rejected records are counted over all tasks, and the driver decides
when all of them are known: then either nothing of the job is unclear, or it fails with the counts.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from pyspark.sql.datasource import (
    DataSourceArrowWriter,
    DataSourceStreamArrowWriter,
    WriterCommitMessage,
)
from pyspark.sql.types import StructType

from analytics.errors import BadOption, RecordsRejected
from analytics.source.options import WriteOptions
from node.client import Client
from node.client.writing import Written
from node.errors import NodeError, Unavailable

LOG = logging.getLogger("analytics.source")
NEEDED = ("sensor", "time", "lon", "lat")
BATCH_BYTES = 16 << 20
BATCH_RECORDS = 100_000
"""What one call of the client gets: Spark's batches are small, and a call groups by owner."""
EXAMPLES_MAX = 3
"""Rejections of one task that a message quotes."""


@dataclass(frozen=True)
class TaskWritten(WriterCommitMessage):
    """What one task did.

    Attributes:
        rejected: short stable word → records.
        examples: reasons in words of the first ones.
    """

    stored: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()


class _Writer:
    """What the batch and the streaming writer share."""

    def __init__(self, options: WriteOptions, schema: StructType) -> None:
        missing = [name for name in NEEDED if name not in schema.names]
        if missing:
            raise BadOption(
                f"the columns {', '.join(missing)} are missing; a record needs "
                f"{', '.join(NEEDED)} and at least one value, there are {', '.join(schema.names)}"
            )
        self._options = options

    def write(self, iterator: Iterator[pa.RecordBatch]) -> TaskWritten:
        """Store the records of one task.

        Raises:
            NodeError: some could not be stored in time; the task may be repeated.
        """
        access = self._options.access
        stored, rejected = 0, Counter[str]()
        examples: list[str] = []
        with _client(self._options) as client:
            for table in _tables(iterator):
                written = client.write(
                    self._options.collection,
                    table,
                    w=self._options.w,
                    replace=self._options.replace,
                    timeout_s=access.timeout_s,
                )
                _check_acknowledged(written, self._options)
                stored += written.stored
                rejected.update(written.rejected_by_reason)
                examples += [entry.reason for entry in written.rejected[:EXAMPLES_MAX]]
        return TaskWritten(stored, dict(rejected), tuple(examples[:EXAMPLES_MAX]))

    def _finish(self, messages: Sequence[WriterCommitMessage | None]) -> None:
        """Raises RecordsRejected, or warns of what was dropped."""
        done = [message for message in messages if isinstance(message, TaskWritten)]
        counts = Counter[str]()
        for message in done:
            counts.update(message.rejected)
        if not counts:
            return
        stored = sum(message.stored for message in done)
        reasons = ", ".join(f"{word} {count}" for word, count in sorted(counts.items()))
        examples = [text for message in done for text in message.examples][:EXAMPLES_MAX]
        text = (
            f"{self._options.collection}: {counts.total()} records were rejected ({reasons}), "
            f"{stored} are stored; the first: {' | '.join(examples)}"
        )
        if self._options.rejected == "fail":
            raise RecordsRejected(
                f"{text}; mend them and write again (what is stored stays as it is), or leave "
                "them out with the option rejected=drop"
            )
        LOG.warning("%s", text)


class ZringWriter(_Writer, DataSourceArrowWriter):
    """`df.write`."""

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """All tasks have written: say what was rejected."""
        self._finish(messages)


class ZringStreamWriter(_Writer, DataSourceStreamArrowWriter):
    """`df.writeStream`: a batch that Spark repeats after a restart changes nothing."""

    def commit(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:  # noqa: N803
        """One micro-batch is written: say what was rejected."""
        self._finish(messages)


def _client(options: WriteOptions) -> Client:
    """A client through the first node that answers.

    Raises:
        NodeError: of the last one.
    """
    access = options.access
    for position, url in enumerate(access.urls):
        client = Client(url, timeout_s=access.timeout_s, **access.credentials())
        if position == len(access.urls) - 1:
            return client
        try:
            client.ring()
        except NodeError:
            client.close()
        else:
            return client
    raise AssertionError("options hold at least one URL")


def _tables(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        size += batch.nbytes
        if count >= BATCH_RECORDS or size >= BATCH_BYTES:
            yield pa.Table.from_batches(held)
            held, count, size = [], 0, 0
    if count:
        yield pa.Table.from_batches(held)


def _check_acknowledged(written: Written, options: WriteOptions) -> None:
    if not written.acknowledged:
        raise Unavailable(
            f"{options.collection}: records are on {written.copies_durable} nodes so far, "
            f"w={options.w} asks for more; they will get there, write again to be sure"
        )
