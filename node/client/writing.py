"""Writing through the owners: records are grouped by the owner of their position.

Each group goes straight to its owner in batches of bounded bytes, several at a time; a node that
does not answer is replaced by any other, which passes the records on. Repeats are harmless, so
everything that may succeed later is tried again until the deadline.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from node.client.channel import Channel
from node.client.parameters import collection_path
from node.client.problems import problem_to_error
from node.client.routing import RingView
from node.errors import BadRequest, Unavailable
from node.query import Rejection, WriteLevel
from zring.domain import degrees_to_e7

BATCH_BYTES_MAX = 8 << 20
"""One request: large enough that its overhead vanishes, far below what a node accepts."""
BATCH_RECORDS_MAX = 200_000
RECORD_BYTES = 256
"""What a dictionary is assumed to take as NDJSON when batches are cut."""
SENDERS_MAX = 8
"""Requests under way at the same time: two for each of four owners keep their disks busy."""
NODE_SHARE = 0.6
"""Where a caller names a deadline, a node waits so long for the copies that `w` asks for: then it
says which ones are missing, while there is time left to hear it, even from the second node."""
NODE_MS_MAX = 60_000
"""Far below the longest deadline that a node takes."""
PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 2.0
ARROW = "Content-Type: application/vnd.apache.arrow.stream\r\n"
NDJSON = "Content-Type: application/x-ndjson\r\n"

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the records of one call.

    Attributes:
        received, stored: counts of records.
        rejected: the others, by index in the call; each request describes its first 1,000.
        rejected_count: all of the others; `rejected_by_reason`: short stable word → how many.
        copies_wanted, copies_durable: the smallest numbers over all batches.
        acknowledged: all that was stored is on as many nodes as `w` asked.
        lacking: nodes that should have records and are not known to, each with the reason:
            `peer-unreachable`, `deadline`, `store-full`, `overloaded` and so on (`node.errors`).
    """

    received: int
    stored: int
    rejected: tuple[Rejection, ...]
    rejected_count: int
    rejected_by_reason: Mapping[str, int]
    copies_wanted: int
    copies_durable: int
    acknowledged: bool
    lacking: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one request: their URL (None: any node) and their indices in the call."""

    url: str | None
    indices: Indices


def write_records(
    channel: Channel,
    collection: str,
    records: Any,
    *,
    w: WriteLevel,
    replace: bool,
    timeout_s: float | None,
) -> Written:
    """See `Client.write`."""
    deadline_s = time.monotonic() + (timeout_s or channel.timeout_s)
    source = _Source.of(records)
    if not source.count:
        return _joined([])
    view = None if channel.direct else channel.ring_view(timeout_s)
    target = f"{collection_path(collection)}/items?w={w}" + ("&replace=true" if replace else "")
    if timeout_s is not None:
        target += f"&timeout_ms={min(max(1, int(NODE_SHARE * timeout_s * 1_000)), NODE_MS_MAX)}"
    batches = list(_batches(source, view))

    def send(batch: Batch) -> Written:
        return _send(channel, target, source, batch, deadline_s)

    if len(batches) == 1:
        return _joined([send(batches[0])])
    with ThreadPoolExecutor(min(SENDERS_MAX, len(batches))) as senders:
        sent = [senders.submit(send, batch) for batch in batches]
        wait(sent)
    _raise_first(batches, sent)
    return _joined([part.result() for part in sent])


def _raise_first(batches: Sequence[Batch], sent: Sequence["Future[Written]"]) -> None:
    """The error of a call of which some batches failed: how much is stored, and who said what."""
    errors = {place: error for place, part in enumerate(sent) if (error := part.exception())}
    later = [error for error in errors.values() if isinstance(error, Unavailable)]
    for error in errors.values():
        if not isinstance(error, Unavailable):
            raise error  # repeating the call would not help
    if not later:
        return
    stored = sum(part.result().stored for place, part in enumerate(sent) if place not in errors)
    count = sum(len(batch.indices) for batch in batches)
    owners = {batches[at].url or "any node": later[turn].reason for turn, at in enumerate(errors)}
    whose = ", ".join(f"{url}: {reason}" for url, reason in sorted(owners.items()))
    told = type(later[0])(
        f"{stored} of {count} records are stored (not those for {whose}); {later[0]}"
    )
    told.retry_after_s = max(error.retry_after_s for error in later)
    raise told


@dataclass(frozen=True, slots=True)
class _Source:
    """Records of one call, as columns or as dictionaries."""

    table: pa.Table | None
    dictionaries: Sequence[Mapping[str, Any]]
    count: int
    record_bytes: int

    @classmethod
    def of(cls, records: Any) -> "_Source":
        if isinstance(records, pa.RecordBatch):
            records = pa.Table.from_batches([records])
        elif hasattr(records, "iloc"):
            records = pa.Table.from_pandas(records, preserve_index=False)
        elif not isinstance(records, pa.Table) and hasattr(records, "__arrow_c_stream__"):
            records = pa.table(records)
        if isinstance(records, pa.Table):
            count = records.num_rows
            return cls(records, (), count, max(1, records.nbytes // max(1, count)))
        if isinstance(records, Mapping):
            records = [records]
        dictionaries = list(records)
        return cls(None, dictionaries, len(dictionaries), RECORD_BYTES)

    def positions(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Longitudes and latitudes in degrees, float64[n]; NaN where there is no number."""
        if self.table is None:
            return (
                np.array([_number(record, "lon") for record in self.dictionaries]),
                np.array([_number(record, "lat") for record in self.dictionaries]),
            )
        return _column(self.table, "lon"), _column(self.table, "lat")

    def encoded(self, indices: Indices) -> tuple[str, bytes | memoryview]:
        """Content-Type header and body of some of the records."""
        if self.table is None:
            options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
            try:
                lines = [orjson.dumps(self.dictionaries[at], option=options) for at in indices]
            except TypeError as error:
                raise BadRequest(f"records: {error}; bytes are base64 text in JSON") from None
            return NDJSON, b"".join(lines)
        first, last = int(indices[0]), int(indices[-1])
        whole = last - first + 1 == len(indices)
        rows = self.table.slice(first, len(indices)) if whole else self.table.take(indices)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        return ARROW, memoryview(sink.getvalue())


def _number(record: Mapping[str, Any], name: str) -> float:
    value = record.get(name) if isinstance(record, Mapping) else None
    return float(value) if isinstance(value, int | float) else float("nan")


def _column(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    try:
        return table[name].cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return np.full(table.num_rows, np.nan)


def _batches(source: _Source, view: RingView | None) -> Iterator[Batch]:
    """Groups by owner, cut into batches, the owners in turn so that all work at once."""
    size = max(1, min(BATCH_RECORDS_MAX, BATCH_BYTES_MAX // source.record_bytes))
    if view is None:
        groups = [Batch(None, np.arange(source.count))]
    else:
        owners = _owners(source, view)
        groups = [
            Batch(view.urls.get(view.names[owner]) if owner >= 0 else None, indices)
            for owner in range(-1, len(view.names))
            if len(indices := np.flatnonzero(owners == owner))
        ]
    for start in range(0, max(len(group.indices) for group in groups), size):
        for group in groups:
            if start < len(group.indices):
                yield Batch(group.url, group.indices[start : start + size])


def _owners(source: _Source, view: RingView) -> npt.NDArray[np.intp]:
    lon, lat = source.positions()
    # What is no position on Earth is left to the node, which says what is wrong with it.
    valid = (np.abs(lon) <= 180.0) & (np.abs(lat) <= 90.0)
    owners = np.full(source.count, -1, np.intp)
    owners[valid] = view.position_owners(
        lon=degrees_to_e7(lon[valid]), lat=degrees_to_e7(lat[valid])
    )
    return owners


def _send(
    channel: Channel, target: str, source: _Source, batch: Batch, deadline_s: float
) -> Written:
    media_type, body = source.encoded(batch.indices)
    pause_s = PAUSE_FIRST_S
    while True:
        try:
            response = channel.request(
                "POST", target, prefer=batch.url, headers=media_type, body=body,
                timeout_s=max(deadline_s - time.monotonic(), 0.001), expected=(422,),
            )  # fmt: skip
        except Unavailable as error:
            wait_s = min(max(pause_s, 0.0 if pause_s < 1 else error.retry_after_s), PAUSE_MAX_S)
            if time.monotonic() + wait_s >= deadline_s:
                raise
            time.sleep(wait_s)
            pause_s *= 2
        else:
            reply = orjson.loads(response.body)
            if "rejected" not in reply:
                raise problem_to_error(response, url=channel.url)
            return _reply_to_written(reply, response.status, batch)


def _reply_to_written(reply: Mapping[str, Any], status: int, batch: Batch) -> Written:
    return Written(
        received=int(reply["received"]),
        stored=int(reply["stored"]),
        rejected=_rejections(reply["rejected"], batch),
        rejected_count=int(reply.get("rejected_count", len(reply["rejected"]))),
        rejected_by_reason=reply.get("rejected_by_reason", {}),
        copies_wanted=int(reply["copies"]["wanted"]),
        copies_durable=int(reply["copies"]["durable"]),
        acknowledged=status == 200,
        lacking=reply["copies"].get("lacking", {}),
    )


def _rejections(entries: Sequence[Mapping[str, Any]], batch: Batch) -> tuple[Rejection, ...]:
    return tuple(
        Rejection(
            index=int(batch.indices[entry["index"]]),
            reason=str(entry["reason"]),
            field=entry.get("field"),
        )
        for entry in entries
    )


def _joined(parts: Sequence[Written]) -> Written:
    rejected = [rejection for part in parts for rejection in part.rejected]
    stored = [part for part in parts if part.stored]
    reasons: Counter[str] = Counter()
    lacking: dict[str, str] = {}
    for part in parts:
        reasons.update(part.rejected_by_reason)
        lacking |= part.lacking
    return Written(
        received=sum(part.received for part in parts),
        stored=sum(part.stored for part in parts),
        rejected=tuple(sorted(rejected, key=lambda rejection: rejection.index)),
        rejected_count=sum(part.rejected_count for part in parts),
        rejected_by_reason=dict(reasons),
        copies_wanted=min((part.copies_wanted for part in stored), default=0),
        copies_durable=min((part.copies_durable for part in stored), default=0),
        acknowledged=all(part.acknowledged for part in stored),
        lacking=dict(sorted(lacking.items())),
    )
