"""Bodies of messages to checked records: choose the format, map the columns, check, account."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.errors import IngestError, MappingNeeded, SettingsInvalid
from ingest.formats import Context, Part
from ingest.formats.column_mapping import FIXED
from ingest.formats.table import TableMapper
from ingest.messages.amedas_bodies import unpack_amedas
from ingest.messages.arrow_bodies import unpack_arrow
from ingest.messages.cells import alike, fixed_column, objects_to_cells
from ingest.messages.csv_bodies import unpack_csv
from ingest.messages.decoded import DecodedMessages, RecordPart, Refusal
from ingest.messages.fluentd_bodies import unpack_fluentd
from ingest.messages.json_bodies import unpack_json, unpack_ndjson
from ingest.messages.msgpack_bodies import unpack_msgpack
from ingest.messages.payloads import Payloads, Table, Unpack, Unpacked
from ingest.recording import RecordingRejecter
from node.codec.columns import columns_to_rows
from node.codec.json_records import cells_to_column
from node.errors import BadRequest
from zring.domain import Domain
from zring.morton import Int64s

FORMATS: Mapping[str, Unpack] = {
    "json": unpack_json,
    "ndjson": unpack_ndjson,
    "geojson": unpack_json,
    "csv": unpack_csv,
    "msgpack": unpack_msgpack,
    "arrow": unpack_arrow,
    "fluentd": unpack_fluentd,
    "amedas": unpack_amedas,
}
MESSAGE_BYTES_MAX = 8 << 20
"""A larger body is refused: parsed, it would take ten times as much."""


@contextmanager
def without_collecting() -> Iterator[None]:
    """Parsed objects are many, live shortly and hold no cycles: looking for these among them
    again and again while they are made costs more than making them."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def no_path(_index: int) -> str:
    """For messages that have neither a key nor a stream."""
    return ""


class MessageDecoder:
    """Decodes batches of one source; remembers nothing from one batch to the next.

    Args:
        format_name: one of FORMATS.
        domain: positions outside are refused here, before anything is sent.
        context: mapping and station table.
        message_bytes_max: larger bodies are refused.
    Raises:
        SettingsInvalid: no such format.
    """

    def __init__(
        self,
        format_name: str,
        *,
        domain: Domain,
        context: Context | None = None,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        if format_name not in FORMATS:
            raise SettingsInvalid(
                f"format = {format_name!r} is no format of messages; use {', '.join(FORMATS)}"
            )
        self._unpack = FORMATS[format_name]
        self._domain, self._context = domain, context or Context()
        self._message_bytes_max = message_bytes_max

    def decode(
        self, bodies: Sequence[bytes | None], paths: Callable[[int], str] = no_path
    ) -> DecodedMessages:
        """Decode messages together.

        Args:
            bodies: n bodies; None is a message without one.
            paths: index → the message's key or stream, for formats whose names carry meaning.

        Cost: some 0.3 M JSON records/s, 1 M records/s as columns in msgpack.
        """
        refused: list[Refusal] = []
        payloads = self._screened(bodies, paths, refused)
        batch = _Batch(self._domain, self._context)
        with without_collecting():
            self._take(payloads, batch)
        refused += batch.refused
        refused.sort(
            key=lambda entry: (entry.message, -1 if entry.record is None else entry.record)
        )
        good = sum(len(part.rows) for part in batch.parts)
        return DecodedMessages(batch.parts, refused, good + len(refused), batch.left_out)

    def _screened(
        self,
        bodies: Sequence[bytes | None],
        paths: Callable[[int], str],
        refused: list[Refusal],
    ) -> Payloads:
        limit = self._message_bytes_max
        good: list[bytes] = []
        at: list[int] = []
        for message, body in enumerate(bodies):
            if body is None:
                detail = "the message has no payload (a deletion marker?)"
                refused.append(Refusal(message, None, "no-payload", detail))
            elif len(body) > limit:
                detail = f"{len(body)} bytes are more than message_bytes_max={limit}"
                refused.append(Refusal(message, None, "message-too-large", detail))
            else:
                good.append(body)
                at.append(message)
        return Payloads(good, at, lambda index: paths(at[index]))

    def _take(self, payloads: Payloads, batch: "_Batch") -> None:
        """Decode bodies together; when that fails as a whole, in halves, to find whose fault."""
        if not payloads.bodies:
            return
        try:
            found = batch.decoded(self._unpack(payloads, self._context))
        except (BadRequest, IngestError) as error:
            if len(payloads.bodies) == 1:
                detail = str(error)
                batch.refused.append(Refusal(payloads.at[0], None, "bad-message", detail))
                return
            middle = len(payloads.bodies) // 2
            for half, start in ((slice(None, middle), 0), (slice(middle, None), middle)):
                part = Payloads(
                    payloads.bodies[half],
                    payloads.at[half],
                    lambda index, start=start: payloads.paths(start + index),  # type: ignore[misc]
                )
                self._take(part, batch)
            return
        batch.add(*found)


class _Batch:
    """Collects what becomes of the bodies of one call."""

    def __init__(self, domain: Domain, context: Context) -> None:
        self._domain, self._context = domain, context
        self.parts: list[RecordPart] = []
        self.refused: list[Refusal] = []
        self.left_out: Counter[str] = Counter()

    def add(self, parts: list[RecordPart], refused: list[Refusal], left_out: Counter[str]) -> None:
        """Keep what `decoded` found."""
        self.parts += parts
        self.refused += refused
        self.left_out.update(left_out)

    def decoded(self, unpacked: Unpacked) -> tuple[list[RecordPart], list[Refusal], Counter[str]]:
        """Map and check everything.

        Raises:
            BadRequest, IngestError: a limit of the whole, or something that one message brought.
        """
        refused = list(unpacked.refused)
        parts: list[RecordPart] = []
        left_out: Counter[str] = Counter()
        tables = list(unpacked.tables)
        if unpacked.objects:
            cells = objects_to_cells(unpacked.objects, self._context.mapping)
            messages = np.array(unpacked.object_messages, np.int64)
            for group, places in alike(cells, self._context.mapping):
                tables.append(Table({**group}, messages if places is None else messages[places]))
        for table in tables:
            part = self._mapped(table, refused)
            if part is not None:
                self._check(part, table.message[part.rows], table.message, parts, refused)
        for message, part in unpacked.parts:
            left_out.update(part.left_out)
            numbers = np.full(len(part.rows), message, np.int64)
            self._check(part, numbers, None, parts, refused)
        return parts, refused, left_out

    def _mapped(self, table: Table, refused: list[Refusal]) -> Part | None:
        """Columns with our names; `Part.rows` are the places in the table."""
        mapping, count = self._context.mapping, len(table.message)
        columns: dict[str, Any] = dict(table.columns)
        for path in mapping.names.values():
            columns.setdefault(path, pa.nulls(count))
        try:
            resolved = mapping.resolve(columns)
        except MappingNeeded as error:  # then none of these records has it
            records = _records(table.message)
            refused.extend(
                Refusal(message, record, "not-mapped", str(error))
                for message, record in zip(table.message.tolist(), records.tolist(), strict=True)
            )
            return None
        ours = {resolved[name]: name for name in FIXED if name in resolved}
        recorder = RecordingRejecter(count)
        arrays = {}
        for name, cells in columns.items():
            if not isinstance(cells, list):
                arrays[name] = cells
            elif name in ours:
                arrays[name] = fixed_column(ours[name], cells, mapping)
            else:
                arrays[name] = cells_to_column(name, cells, recorder)
        part = TableMapper(self._context, list(columns), guess=False).part(
            arrays, np.arange(count, dtype=np.int64), lambda _: None
        )
        refused += [
            _refusal(table.message, entry.row, entry.reason, entry.message)
            for entry in part.refused
        ]
        return _without(part, recorder, table.message, refused)

    def _check(
        self,
        part: Part,
        messages: Int64s,
        every: Int64s | None,
        parts: list[RecordPart],
        refused: list[Refusal],
    ) -> None:
        """Pass records through the door of all records.

        Args:
            messages: of each record of the part.
            every: of each record before any was refused, where `Part.rows` are places in it;
                None where they are numbers within one message.
        """
        if not len(part.rows):
            return
        recorder = RecordingRejecter(len(part.rows))
        decoded = columns_to_rows(part.columns, domain=self._domain, rejecter=recorder)
        for at, reason, describe in recorder.found:
            for index in at.tolist():
                row = int(part.rows[index])
                if every is None:
                    entry = Refusal(int(messages[index]), row, reason, describe(index))
                else:
                    entry = _refusal(every, row, reason, describe(index))
                refused.append(entry)
        if len(decoded.rows):
            parts.append(RecordPart(part.topic, decoded.rows, messages[decoded.indices]))


def _refusal(messages: Int64s, place: int, reason: str, detail: str) -> Refusal:
    message = int(messages[place])
    first = int(np.searchsorted(messages, message))
    return Refusal(message, place - first, reason, detail)


def _records(messages: Int64s) -> Int64s:
    """Index of each record within its message."""
    return np.arange(len(messages)) - np.searchsorted(messages, messages)


def _without(
    part: Part, recorder: RecordingRejecter, messages: Int64s, refused: list[Refusal]
) -> Part:
    """The part without records that have a cell which cannot be kept."""
    if not recorder.bad.any():
        return part
    keep = ~recorder.bad[part.rows]
    present = set(part.rows.tolist())
    for at, reason, describe in recorder.found:
        refused += [
            _refusal(messages, place, reason, describe(place))
            for place in at.tolist()
            if place in present  # else the mapper has refused it already
        ]
    taken = pa.array(np.flatnonzero(keep))
    columns = {name: column.take(taken) for name, column in part.columns.items()}
    return Part(columns, part.rows[keep], part.original, (), part.left_out, part.topic)
