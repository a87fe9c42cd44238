"""The whole answer as a stream: `limit=all` in arrow, ndjson or csv.

The first part is awaited before the header goes out, so that errors up to there are proper ones.
What goes wrong later, worse coverage included, cuts the connection: a client sees a broken body,
never a short one.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pyarrow as pa
from aiohttp import web

from node.api.coverage import coverage_headers
from node.api.formats import ARROW, CSV, Format
from node.api.parsing import refused
from node.api.questions import Question
from node.api.state import State
from node.codec.arrow import rows_to_batch
from node.codec.columns import POSITION_NAMES
from node.codec.csv import rows_to_csv
from node.errors import BadRequest, NodeError
from node.metadata import chosen_values
from node.query import Answer
from node.records import JSON, Rows, concat_values

LOG = logging.getLogger(__name__)


async def stream_answer(
    request: web.Request, state: State, question: Question
) -> web.StreamResponse:
    """Everything that matches, part by part."""
    form = question.form
    if not form.streams:
        why = f"needs a format that streams: f=arrow, f=ndjson or f=csv, not {form.name}"
        raise refused("limit", "all", why)
    parts = aiter(state.service.stream(question.query))
    try:
        return await _send_parts(request, state, question, parts)
    finally:
        if isinstance(parts, AsyncGenerator):
            await parts.aclose()  # a stream that was cut stops its readers now, not some time


async def _send_parts(
    request: web.Request, state: State, question: Question, parts: AsyncIterator[Answer]
) -> web.StreamResponse:
    form = question.form
    first = await anext(parts)
    encoder = await _encoder(state, question, form)
    body = encoder.start(first.rows)
    state.metrics.rows_sent += len(first.rows)
    response = web.StreamResponse(headers=coverage_headers(first.coverage, state.domain))
    response.content_type = form.media_type
    await response.prepare(request)
    try:
        await _send(response, state, body)
        async for answer in parts:
            if len(answer.rows):
                state.metrics.rows_sent += len(answer.rows)
                await _send(response, state, encoder.part(answer.rows))
        await _send(response, state, encoder.stop())
        await response.write_eof()
    except (NodeError, pa.ArrowException) as error:
        LOG.warning("stream of %s cut: %s", question.query.collection, error)
        cut(request)
    return response


async def _send(response: web.StreamResponse, state: State, body: bytes) -> None:
    if body:
        state.metrics.bytes_sent += len(body)
        await response.write(body)


def cut(request: web.Request) -> None:
    """End the connection at once: the client sees a broken body, never a short one."""
    if request.transport is not None:
        request.transport.abort()


class Encoder:
    """Turns parts of a stream into bytes; this one needs no columns to be known before."""

    def __init__(self, form: Format) -> None:
        assert form.encode is not None
        self._encode = form.encode

    def start(self, rows: Rows) -> bytes:
        """The beginning, with the first part."""
        return self.part(rows)

    def part(self, rows: Rows) -> bytes:
        """A further part."""
        return self._encode(rows)

    def stop(self) -> bytes:
        """The end."""
        return b""


class _ColumnEncoder(Encoder):
    """For formats that fix their columns in the head: those that the collection is known to have.

    A column of another type later on, or a new one, cannot be told any more: it ends the stream.
    """

    def __init__(self, form: Format, types: dict[str, Any]) -> None:
        super().__init__(form)
        self._types = types

    def fitted(self, rows: Rows) -> Rows:
        """The rows with exactly the promised columns.

        Raises:
            BadRequest: a column that was not there when the stream began.
        """
        new = rows.values.keys() - self._types.keys()
        if new:
            raise BadRequest(f"value {min(new)!r} appeared after the stream had begun")
        return rows.with_values(
            {name: _fitted(rows, name, kind) for name, kind in self._types.items()}
        )


def _fitted(rows: Rows, name: str, kind: Any) -> pa.Array:
    column = rows.values.get(name)
    if column is None:
        return pa.nulls(len(rows), kind)
    if column.type == kind:
        return column
    if kind == JSON:  # joined with an empty json column, the values become texts of JSON
        return concat_values([(column, len(rows)), (pa.nulls(0, JSON), 0)])
    return column.cast(kind)


class _CsvEncoder(_ColumnEncoder):
    def start(self, rows: Rows) -> bytes:
        return rows_to_csv(self.fitted(rows))

    def part(self, rows: Rows) -> bytes:
        return rows_to_csv(self.fitted(rows), header=False)


class _ArrowEncoder(_ColumnEncoder):
    def __init__(self, form: Format, types: dict[str, Any]) -> None:
        super().__init__(form, types)
        self._sink = Sink()
        self._writer: Any = None

    def start(self, rows: Rows) -> bytes:
        batch = rows_to_batch(self.fitted(rows))
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._sink, "w"), batch.schema)
        self._writer.write_batch(batch)
        return self._sink.taken()

    def part(self, rows: Rows) -> bytes:
        self._writer.write_batch(rows_to_batch(self.fitted(rows)))
        return self._sink.taken()

    def stop(self) -> bytes:
        self._writer.close()
        return self._sink.taken()


class Sink:
    """What an Arrow writer wrote since the last look."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        """Keep a copy of the bytes."""
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """Everything since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing to release."""


async def _encoder(state: State, question: Question, form: Format) -> Encoder:
    if form not in (ARROW, CSV):
        return Encoder(form)
    collections = await state.service.collections()
    statistics = collections.get(question.query.collection)
    known = {} if statistics is None else dict(statistics.value_types)
    query = question.query
    known = dict(chosen_values(known, query.columns, None if query.metadata else ()))
    types = {
        name: STREAM_TYPES[known[name]] for name in sorted(known) if name not in POSITION_NAMES
    }
    return _CsvEncoder(form, types) if form is CSV else _ArrowEncoder(form, types)


STREAM_TYPES = {
    "number": pa.float64(),
    "text": pa.string(),
    "boolean": pa.bool_(),
    "bytes": pa.binary(),
    "json": JSON,
}
"""Type of a column by the name that collection statistics give it: one for the whole stream."""
