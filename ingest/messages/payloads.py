"""Which messages can be read at all, and what their parsing gives."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.formats import Context, Part
from ingest.messages.decoded import Refusal
from zring.morton import Int64s

MESSAGE_RECORDS_MAX = 100_000
"""Records of one message: what unpacks to more is no batch of a sensor network but a mistake."""


@dataclass(frozen=True, slots=True)
class Payloads:
    """Bodies that are neither absent nor too large.

    Attributes:
        bodies: as they came.
        at: their indices in the batch.
        paths: what each is called (its key or stream), for formats whose names carry meaning.
    """

    bodies: Sequence[bytes]
    at: Sequence[int]
    paths: Callable[[int], str]


@dataclass(slots=True)
class Unpacked:
    """What a format makes of bodies; grows while they are read.

    Attributes:
        objects: one dictionary a record, and the message that each came from.
        tables: records as columns already, of typed or parsed cells.
        parts: records of importers that know their own columns; message → parts.
        refused: messages and records that are none.
    """

    objects: list[dict[str, Any]] = field(default_factory=list)
    object_messages: list[int] = field(default_factory=list)
    tables: list["Table"] = field(default_factory=list)
    parts: list[tuple[int, Part]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, message: int, reason: str, detail: str, record: int | None = None) -> None:
        """Add a refusal."""
        self.refused.append(Refusal(message, record, reason, detail))


@dataclass(frozen=True, slots=True)
class Table:
    """Records of one or more messages in columns of one length.

    Attributes:
        columns: name → Arrow array, or list of parsed cells.
        message: int64[n], rising.
    """

    columns: dict[str, pa.Array | list[Any]]
    message: Int64s


Unpack = Callable[[Payloads, Context], Unpacked]
"""Parses bodies; refuses what it cannot read, raises nothing that depends on one body."""


def repeated(messages: Iterable[int], counts: Iterable[int]) -> Int64s:
    """The message of each record, for messages with so many records each."""
    return np.repeat(np.fromiter(messages, np.int64), np.fromiter(counts, np.int64))
