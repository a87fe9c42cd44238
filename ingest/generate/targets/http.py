"""A cluster: batches go to the owners over HTTP, the next one is made while the last is stored."""

from collections import Counter
from contextlib import ExitStack

import pyarrow as pa

from ingest.generate.targets.target import Place
from ingest.sender import Sender
from node.cli.options import connect
from node.client.writing import Written


class HttpTarget:
    """See `ColumnTarget`; a record is delivered when as many nodes as `w` says have it on disk."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stack = ExitStack()
        self._sender: Sender | None = None
        self.delivered = 0
        self.failed: Counter[str] = Counter()

    def open(self) -> None:
        """See `ColumnTarget`."""
        client = self._stack.enter_context(connect(**self._place.connection))
        level = self._place.level

        def write(name: str, batch: pa.RecordBatch) -> Written:
            return client.write(name, batch, w=level)  # type: ignore[arg-type]

        self._sender = self._stack.enter_context(Sender(write))

    def send(self, batch: pa.RecordBatch) -> None:
        """See `ColumnTarget`.

        Raises:
            NodeError: an earlier batch could not be stored.
        """
        assert self._sender is not None, "open() comes first"
        self._sender.send(self._place.collection, batch, self._settle)

    def finish(self) -> None:
        """See `ColumnTarget`.

        Raises:
            NodeError: a batch could not be stored.
        """
        try:
            if self._sender is not None:
                self._sender.drain()
        finally:
            self._stack.close()

    def _settle(self, written: Written) -> None:
        self.delivered += written.stored
        self.failed.update(written.rejected_by_reason)
