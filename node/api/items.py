"""`/collections/{c}/items`: pages, whole answers as streams, one record, and storing."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from node.api.answers import answer_page
from node.api.coverage import coverage_headers
from node.api.links import base_url, collection_path, link
from node.api.parameters import read_parameters
from node.api.problems import problem
from node.api.questions import PAGING, SELECTING, read_question
from node.api.respond import json_response
from node.api.state import STATE, State
from node.api.streams import stream_answer
from node.codec.decode import decode_records
from node.codec.decoded import Decoded, without_expired
from node.codec.geojson import row_to_feature
from node.codec.identity import id_to_identity
from node.errors import BadRequest, NotFound, Overloaded, TooLarge
from node.query import Query, WriteReply
from node.records import COLLECTION_NAME_BYTES_MAX

ITEMS_PARAMETERS = frozenset((*SELECTING, *PAGING, "f", "crs"))
STORE_PARAMETERS = frozenset(("w", "replace", "timeout_ms"))
ITEM_PARAMETERS = frozenset(("f", "crs", "timeout_ms", "require", "metadata"))
INLINE_BYTES_MAX = 64 << 10
"""Bodies up to this are decoded on the event loop; a thread costs more than they do."""


async def get_items(request: web.Request) -> web.StreamResponse:
    """One page of records, or with `limit=all` all of them."""
    state = request.app[STATE]
    question = read_question(
        request.rel_url.raw_query_string,
        path=request.rel_url.raw_path,
        collection=request.match_info["collection"],
        allowed=ITEMS_PARAMETERS,
        limits=state.limits,
        accept=request.headers.get("Accept"),
    )
    if question.query.limit is None:
        return await stream_answer(request, state, question)
    answer = await state.service.read(question.query)
    return await answer_page(request, state, question, answer)


async def get_item(request: web.Request) -> web.StreamResponse:
    """The record with an id that a page gave out."""
    state = request.app[STATE]
    values, _ = read_parameters(request.rel_url.raw_query_string, ITEM_PARAMETERS)
    collection = request.match_info["collection"]
    sensor, time, code = id_to_identity(request.match_info["id"])
    query = Query(
        collection=collection,
        time_start=time,
        time_stop=time + 1,
        sensors=frozenset((sensor,)),
        spans=((code, code + 1),),
        limit=1,
        timeout_ms=values.get("timeout_ms", state.limits.query_timeout_ms),
        require=values.get("require"),
        metadata=values.get("metadata", False),
    )
    answer = await state.service.read(query)
    if not len(answer.rows):
        raise NotFound(f"no record has the id {request.match_info['id'][:80]!r} here")
    path = base_url(request) + collection_path(collection)
    links = [
        link(base_url(request) + request.rel_url.raw_path, "self", "application/geo+json"),
        link(path, "collection", "application/json"),
    ]
    return web.Response(
        body=row_to_feature(answer.rows, links),
        content_type="application/geo+json",
        headers=coverage_headers(answer.coverage, state.domain),
    )


async def post_items(request: web.Request) -> web.StreamResponse:
    """Store the records of the body."""
    state = request.app[STATE]
    values, _ = read_parameters(request.rel_url.raw_query_string, STORE_PARAMETERS)
    collection = checked_name(request.match_info["collection"])
    with _body_room(request, state):
        body = await request.read()
        if not body:
            raise BadRequest("the body is empty; send at least one record", field="body")
        state.metrics.bytes_received += len(body)
        decoded = await _decode(request.content_type, body, state)
        kept_us = state.service.kept_from_us(collection)
        decoded = without_expired(decoded, collection, kept_from_us=kept_us)
        del body  # the rows may wait for the disk much longer than their text is needed
    if not len(decoded.rows):
        return _reply(decoded, WriteReply(0, 0, 0, True))
    reply = await state.service.write(
        collection,
        decoded.rows,
        w=values.get("w", "one"),
        timeout_ms=values.get("timeout_ms", state.limits.query_timeout_ms),
        replace=values.get("replace", False),
    )
    return _reply(decoded, reply)


@contextmanager
def _body_room(request: web.Request, state: State) -> Iterator[None]:
    """Hold room for a body while it is received and decoded, so that many at once stay bounded.

    A body of unknown length counts as the largest that is allowed.
    """
    limits = state.limits
    size = limits.request_bytes_max if request.content_length is None else request.content_length
    if size > limits.request_bytes_max:
        raise TooLarge(
            f"body of {size} bytes is more than {limits.request_bytes_max}; "
            "send the records in smaller batches"
        )
    if state.body_bytes and state.body_bytes + size > limits.write_queue_bytes_max:
        raise Overloaded(
            f"bodies of {state.body_bytes} bytes are being read, at most "
            f"{limits.write_queue_bytes_max} at once; repeat in a moment"
        )
    state.body_bytes += size
    try:
        yield
    finally:
        state.body_bytes -= size


async def _decode(media_type: str, body: bytes, state: State) -> Decoded:
    if len(body) <= INLINE_BYTES_MAX:
        return decode_records(media_type, body, state.domain, state.limits)
    return await asyncio.to_thread(decode_records, media_type, body, state.domain, state.limits)


def _reply(decoded: Decoded, reply: WriteReply) -> web.Response:
    document: dict[str, Any] = {
        "received": decoded.received,
        "stored": reply.stored,
        "rejected": [
            {"index": rejection.index, "reason": rejection.reason, "field": rejection.field}
            for rejection in decoded.rejections
        ],
        "copies": {"wanted": reply.copies_wanted, "durable": reply.copies_durable},
    }
    if reply.lacking:
        document["copies"]["lacking"] = dict(reply.lacking)
    if decoded.rejected:
        document["rejected_count"] = decoded.rejected
        document["rejected_by_reason"] = decoded.rejected_by_reason
    if decoded.received and not len(decoded.rows):
        first = decoded.rejections[0]
        detail = f"all {decoded.received} records were rejected; the first: {first.reason}"
        return problem(422, detail, reason="bad-record", field=first.field, **document)
    return json_response(document, status=200 if reply.acknowledged else 202)


def checked_name(collection: str) -> str:
    """The name of a collection that may be written to.

    Raises:
        BadRequest: too long, or with characters that names cannot have.
    """
    size = len(collection.encode(errors="replace"))
    if not 1 <= size <= COLLECTION_NAME_BYTES_MAX or not collection.isprintable():
        raise BadRequest(
            f"collection={collection[:80]!r} has {size} bytes; names are printable and have 1 to "
            f"{COLLECTION_NAME_BYTES_MAX} bytes",
            field="collection",
        )
    return collection
