"""Messages of Kafka as columns: parsed in batches, in Python, by the codecs of the nodes.

A message is what a POST of one record takes: a JSON record, a msgpack record or list, or an Arrow
stream. Spark hands the bodies over in Arrow batches; a broken one costs itself alone.
"""

import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from analytics.errors import AnalyticsError, BadOption
from node.codec.arrow import rows_to_batch
from node.codec.decode import decode_records
from node.codec.decoded import Decoded, concat_decoded
from node.config import Limits
from node.errors import BadRequest
from node.records import Rows
from zring.domain import WORLD, Domain
from zring.morton import Int64s

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LOG = logging.getLogger("analytics.streaming")
MessageFormat = Literal["json", "msgpack", "arrow"]
MEDIA_TYPES: Mapping[str, str] = {
    "json": "application/x-ndjson",
    "msgpack": "application/msgpack",
    "arrow": "application/vnd.apache.arrow.stream",
}
"""Many JSON records are parsed as the lines of one body; the others a message at a time."""
CONNECT_S = 5.0
BATCH_MESSAGES_MAX = 50_000
"""Of one micro-batch, all topics together: a worker holds its share of them as columns."""
FIXED_SCHEMA = pa.schema(
    [
        ("sensor", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("lon", pa.float64()),
        ("lat", pa.float64()),
        ("code", pa.int64()),
        ("produced", pa.timestamp("us", "UTC")),
    ]
)
"""What every record has; `produced` is when the broker took its message."""
FIXED_FIELDS = (
    "sensor string, time timestamp, lon double, lat double, code long, produced timestamp"
)
ELEMENT_SCHEMA = FIXED_SCHEMA.append(pa.field("element", pa.string())).append(
    pa.field("value", pa.float64())
)
ELEMENT_FIELDS = f"{FIXED_FIELDS}, element string, value double"


@dataclass(frozen=True, slots=True)
class KafkaInput:
    """Which messages a job reads.

    Attributes:
        brokers: `HOST:PORT,…`.
        topics: names.
        format: of every message.
        domain: records outside are left out.
        starting: where a job without a checkpoint begins.
        batch_messages_max: of one micro-batch; what waits beyond it is lag, not memory.
        options: more of the connector's own (`kafka.security.protocol` …).
    """

    brokers: str
    topics: tuple[str, ...]
    format: MessageFormat = "json"
    domain: Domain = WORLD
    starting: Literal["earliest", "latest"] = "earliest"
    batch_messages_max: int = BATCH_MESSAGES_MAX
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format not in MEDIA_TYPES:
            raise BadOption(f"format={self.format} is not one of {', '.join(MEDIA_TYPES)}")
        if not self.topics:
            raise BadOption("no topic to read; give --topic NAME")


def check_brokers(brokers: str) -> None:
    """Whether any broker listens: Spark itself would try for minutes.

    Raises:
        BadOption: an address that is none, or none that answers.
    """
    for address in brokers.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise BadOption(f"--brokers {address.strip()} is not HOST:PORT")
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
        except OSError:
            continue
        return
    raise AnalyticsError(f"no broker of {brokers} answers within {CONNECT_S:g} s; is Kafka up?")


def read_elements(session: "SparkSession", source: KafkaInput) -> "DataFrame":
    """One row for each number of each record: FIXED_FIELDS, element, value."""
    unpack = _unpacker(source, rows_to_elements)
    return _messages(session, source).mapInArrow(unpack, ELEMENT_FIELDS)


def read_blobs(session: "SparkSession", source: KafkaInput, name: str) -> "DataFrame":
    """One row for each record that has the value `name` as bytes: FIXED_FIELDS and that value."""

    def convert(rows: Rows, produced: Int64s) -> pa.RecordBatch:
        return rows_to_blobs(rows, produced, name)

    unpack = _unpacker(source, convert)
    return _messages(session, source).mapInArrow(unpack, f"{FIXED_FIELDS}, `{name}` binary")


def _messages(session: "SparkSession", source: KafkaInput) -> "DataFrame":
    reader = (
        session.readStream.format("kafka")
        .option("kafka.bootstrap.servers", source.brokers)
        .option("subscribe", ",".join(source.topics))
        .option("startingOffsets", source.starting)
        .option("maxOffsetsPerTrigger", source.batch_messages_max)
        # Messages that the broker has dropped are gone: the monitor says so, the job goes on.
        .option("failOnDataLoss", "false")
    )
    for name in sorted(source.options):
        reader = reader.option(name, source.options[name])
    return reader.load().select("value", "timestamp")


Convert = Callable[[Rows, Int64s], pa.RecordBatch]
"""Records and when their messages were produced (microseconds) → the columns of a job."""


def _unpacker(
    source: KafkaInput, convert: Convert
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    media_type, domain = MEDIA_TYPES[source.format], source.domain

    def unpack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            decoded = bodies_to_rows(batch.column("value").to_pylist(), media_type, domain)
            produced = batch.column("timestamp").cast(pa.int64()).to_numpy(zero_copy_only=False)
            if decoded.rejected:
                LOG.warning("left out: %s", dict(decoded.rejected_by_reason))
            yield convert(decoded.rows, produced[decoded.indices])

    return unpack


def bodies_to_rows(bodies: list[bytes | None], media_type: str, domain: Domain) -> Decoded:
    """Records of messages; `indices` are those of the messages.

    Args:
        bodies: n bodies; None is a message without one.
    """
    limits = Limits()
    if media_type == MEDIA_TYPES["json"]:
        # JSON has no line breaks inside texts, so a record spread over lines may be joined.
        lines = b"\n".join(_one_line(body) for body in bodies)
        return decode_records(media_type, lines, domain, limits)
    parts = [_decoded(body, index, media_type, domain) for index, body in enumerate(bodies)]
    return concat_decoded(parts or [decode_records(MEDIA_TYPES["json"], b"", domain, limits)])


def _one_line(body: bytes | None) -> bytes:
    # A message that is empty must still be one line, so that indices stay those of messages.
    return body.replace(b"\n", b" ") if body and not body.isspace() else b"null"


def _decoded(body: bytes | None, index: int, media_type: str, domain: Domain) -> Decoded:
    """One message, whose records all count as `index`."""
    limits = Limits()
    try:
        found = decode_records(media_type, body or b"", domain, limits)
    except BadRequest as error:
        nothing = decode_records(MEDIA_TYPES["json"], b"", domain, limits)
        counts = {error.reason or "bad-message": 1}
        return Decoded(nothing.rows, (), 1, counts, nothing.indices)
    where = np.full(len(found.rows), index, np.int64)
    return Decoded(found.rows, found.rejections, found.received, found.rejected_by_reason, where)


def rows_to_elements(rows: Rows, produced: Int64s) -> pa.RecordBatch:
    """Every number of every record as a row of its own."""
    fixed = _fixed(rows, produced)
    parts = []
    for name in sorted(rows.values):
        column = rows.values[name]
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            continue
        at = pa.array(np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)))
        if not len(at):
            continue
        numbers = column.take(at).cast(pa.float64())
        names = pa.array([name]).take(pa.array(np.zeros(len(at), np.int64)))
        parts.append([*(array.take(at) for array in fixed), names, numbers])
    if not parts:
        empty = [pa.array([], field.type) for field in ELEMENT_SCHEMA]
        return pa.RecordBatch.from_arrays(empty, schema=ELEMENT_SCHEMA)
    joined = [pa.concat_arrays(arrays) for arrays in zip(*parts, strict=True)]
    return pa.RecordBatch.from_arrays(joined, schema=ELEMENT_SCHEMA)


def rows_to_blobs(rows: Rows, produced: Int64s, name: str) -> pa.RecordBatch:
    """The records that have bytes (or base64 text, as JSON carries them) under a name."""
    schema = FIXED_SCHEMA.append(pa.field(name, pa.binary()))
    column = rows.values.get(name)
    if column is None or column.type != pa.binary():
        column = pa.nulls(len(rows), pa.binary())
    at = pa.array(np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)))
    arrays = [array.take(at) for array in (*_fixed(rows, produced), column)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _fixed(rows: Rows, produced: Int64s) -> list[pa.Array]:
    columns = rows_to_batch(rows.with_values({}))
    return [
        *(columns.column(name) for name in ("sensor", "time", "lon", "lat")),
        pa.array(rows.code),
        pa.array(produced).cast(pa.timestamp("us", "UTC")),
    ]
