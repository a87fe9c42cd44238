"""`/cluster/store/{collection}`: what this node's own disk holds, as no merged answer tells it.

For operators and for the recovery scripts, which count copies: every record of the collection that
is in this store, whoever owns it, deletions included, with its code and its digest. Values stay
out; equal digests mean equal values.
"""

import logging

import pyarrow as pa
from aiohttp import web

from node.api.formats import ARROW_TYPE
from node.api.items import checked_name
from node.api.parameters import read_parameters
from node.api.state import STATE, State
from node.api.streams import Sink, cut
from node.codec.times import TIME_TYPE
from node.errors import NodeError
from node.records import Key, Rows, record_digests
from node.storage.engine import Scan
from zring.domain import E7_PER_DEGREE

LOG = logging.getLogger(__name__)
SCHEMA = pa.schema(
    [
        ("sensor", pa.string()),
        ("time", TIME_TYPE),
        ("lon", pa.float64()),
        ("lat", pa.float64()),
        ("version", pa.int64()),
        ("deleted", pa.bool_()),
        ("code", pa.int64()),
        ("digest", pa.uint64()),
    ]
)


async def get_store(request: web.Request) -> web.StreamResponse:
    """The records of a collection in this node's own store, as one Arrow stream in key order.

    A collection that this store does not know has no records: that is an answer, not an error.
    """
    state = request.app[STATE]
    read_parameters(request.rel_url.raw_query_string, frozenset())
    collection = checked_name(request.match_info["collection"])
    response = web.StreamResponse()
    response.content_type = ARROW_TYPE
    await response.prepare(request)
    try:
        await _send_store(response, state, collection)
    except (NodeError, pa.ArrowException) as error:
        LOG.warning("listing of %s cut: %s", collection, error)
        cut(request)
    return response


async def _send_store(response: web.StreamResponse, state: State, collection: str) -> None:
    """Step by step: others are served in between, and a slow reader holds nothing open."""
    sink = Sink()
    writer = pa.ipc.new_stream(pa.PythonFile(sink, "w"), SCHEMA)
    engine = state.service.engine
    scan = Scan(collection, deletions=True)
    after: Key | None = None
    while True:
        step = engine.scan(scan, after=after)
        if len(step.rows):
            writer.write_batch(_batch(collection, step.rows))
        await _send(response, state, sink.taken())
        if step.resume is None:
            break
        after = step.resume
    writer.close()
    await _send(response, state, sink.taken())
    await response.write_eof()


async def _send(response: web.StreamResponse, state: State, body: bytes) -> None:
    if body:
        state.metrics.bytes_sent += len(body)
        await response.write(body)


def _batch(collection: str, rows: Rows) -> pa.RecordBatch:
    columns = [
        rows.sensor,
        pa.array(rows.time).view(TIME_TYPE),
        pa.array(rows.lon / E7_PER_DEGREE),
        pa.array(rows.lat / E7_PER_DEGREE),
        pa.array(rows.version),
        pa.array(rows.deleted),
        pa.array(rows.code),
        pa.array(record_digests(collection, rows)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
