"""Answers with rows as responses: one page."""

import asyncio
from functools import partial
from typing import Any

import pyarrow as pa
from aiohttp import web

from node.api.coverage import coverage_headers, coverage_to_json, time_text
from node.api.formats import ARROW, GEOJSON
from node.api.links import base_url, collection_path, link, next_target
from node.api.questions import Question, digest_of
from node.api.state import State
from node.codec.arrow import rows_to_pieces
from node.codec.geojson import rows_to_collection
from node.codec.json_columns import number_texts
from node.pieces import Pieces
from node.query import Answer

JOINED_ROWS_MAX = 1_000
"""Arrow of more is sent in pieces: copying some hundred kilobytes costs more than their calls."""
INLINE_ROWS_MAX = 20_000
"""Pages up to this are encoded on the event loop (some 10 ms); others would stop it too long."""


async def answer_page(
    request: web.Request,
    state: State,
    question: Question,
    answer: Answer,
) -> web.Response:
    """One page in the format asked for, with the link to the next one where there is more."""
    form = question.form
    headers = coverage_headers(answer.coverage, state.domain)
    following = None
    if answer.resume is not None and question.query.limit is not None:
        digest = digest_of(request.rel_url.raw_path, question)
        following = next_target(request, question.pairs, answer.resume, digest)
        headers["Link"] = f'<{following}>; rel="next"'
    headers["Content-Type"] = form.media_type
    state.metrics.rows_sent += len(answer.rows)
    if form is ARROW and len(answer.rows) > JOINED_ROWS_MAX:
        pieces = Pieces(*rows_to_pieces(answer.rows), content_type=form.media_type)
        state.metrics.bytes_sent += pieces.length
        return web.Response(body=pieces, headers=headers)
    if form.encode is not None:
        encode = partial(form.encode, answer.rows)
    else:
        head = _head(request, state, question, answer, following)
        encode = partial(rows_to_collection, answer.rows, head, extra=_distances(answer))
    inline = form is ARROW or len(answer.rows) <= INLINE_ROWS_MAX
    body = encode() if inline else await asyncio.to_thread(encode)
    state.metrics.bytes_sent += len(body)
    return web.Response(body=body, headers=headers)


def _head(
    request: web.Request,
    state: State,
    question: Question,
    answer: Answer,
    following: str | None,
) -> dict[str, Any]:
    base = base_url(request)
    collection = base + collection_path(question.query.collection)
    links = [
        link(base + str(request.rel_url), "self", GEOJSON.media_type),
        link(collection, "collection", "application/json"),
    ]
    if following is not None:
        links.append(link(base + following, "next", GEOJSON.media_type))
    return {
        "links": links,
        "timeStamp": time_text(answer.coverage.as_of),
        "numberReturned": len(answer.rows),
        "coverage": coverage_to_json(answer.coverage, state.domain),
    }


def _distances(answer: Answer) -> dict[str, pa.StringArray]:
    if answer.distances_m is None:
        return {}
    return {"distance_m": number_texts(pa.array(answer.distances_m.round(3)))}
