"""Records to messages: JSON or msgpack, one record or many each, some of them broken on request."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingest.generate.noise import uniform

RECORDS_PER_MESSAGE = 500
_BREAKS = 23
"""Stream of random numbers: which messages are followed by a broken one, and how it is broken."""


@dataclass(frozen=True, slots=True)
class Message:
    """One body with its key (the sensor of its first record), and how many records it holds."""

    key: bytes
    payload: bytes | None
    records: int


def _json(batch: pa.RecordBatch) -> Iterator[bytes]:
    return map(orjson.dumps, _documents(batch))


def _msgpack(batch: pa.RecordBatch) -> Iterator[bytes]:
    return map(msgpack.packb, _documents(batch))


FORMATS: Mapping[str, Callable[[pa.RecordBatch], Iterator[bytes]]] = {
    "json": _json,
    "msgpack": _msgpack,
}
"""Bodies of one record each; a value that is absent is left out."""
BATCH = "msgpack-batch"
"""Bodies of many: the columns of the records as lists, which is what is decoded fastest."""


def to_messages(
    batch: pa.RecordBatch, form: str, *, records_per_message: int = RECORDS_PER_MESSAGE
) -> list[Message]:
    """One message for each record, or for each `records_per_message` where the form is a batch."""
    keys = [sensor.encode() for sensor in batch["sensor"].to_pylist()]
    if form != BATCH:
        return [Message(key, body, 1) for key, body in zip(keys, FORMATS[form](batch), strict=True)]
    columns = dict(zip(batch.schema.names, _lists(batch), strict=True))
    messages = []
    for start in range(0, len(batch), records_per_message):
        whole = slice(start, start + records_per_message)
        body = msgpack.packb({name: cells[whole] for name, cells in columns.items()})
        messages.append(Message(keys[start], body, len(keys[whole])))
    return messages


def with_broken(messages: list[Message], share: float, *, seed: int, first: int) -> list[Message]:
    """The same messages, some followed by a broken one that no record may come of.

    Args:
        share: of broken messages to good ones.
        first: how many good messages came before, so that the seed alone decides.
    """
    if not share or not messages:
        return messages
    counters = np.arange(first, first + len(messages), dtype=np.int64)
    chance = uniform(seed, _BREAKS, counters, np.arange(1, dtype=np.int64))
    kind = (chance / share * len(_BROKEN)).astype(np.int64)
    result = []
    for index, message in enumerate(messages):
        result.append(message)
        if chance[index] < share:
            result.append(Message(message.key, _BROKEN[kind[index]](message.payload or b""), 0))
    return result


def _truncated(body: bytes) -> bytes | None:
    return body[: len(body) // 2]


def _of_another_kind(_body: bytes) -> bytes | None:
    return b'{"level":"info","message":"a line of a log"}'


def _compressed(body: bytes) -> bytes | None:
    return zlib.compress(body)


def _null(_body: bytes) -> bytes | None:
    return None


_BROKEN = (_truncated, _of_another_kind, _compressed, _null)


def _documents(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    names = batch.schema.names
    for cells in zip(*_lists(batch), strict=True):
        yield {name: cell for name, cell in zip(names, cells, strict=True) if cell is not None}


def _lists(batch: pa.RecordBatch) -> list[list[Any]]:
    """Columns as Python lists; times as RFC 3339, in whole seconds where that loses nothing."""
    return [
        _time_texts(column) if pa.types.is_timestamp(column.type) else column.to_pylist()
        for column in batch.columns
    ]


def _time_texts(column: pa.Array) -> list[str]:
    with suppress(pa.ArrowInvalid):  # it has fractions of seconds
        column = column.cast(pa.timestamp("s", tz="UTC"))
    texts: list[str] = pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ").to_pylist()
    return texts
