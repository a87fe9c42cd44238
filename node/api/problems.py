"""Errors as people and programs see them: one problem document (RFC 9457) for all of them.

    {"type": "about:blank", "title", "status", "detail", "reason", "field"?, …}

`reason` is a short stable word, `detail` says in a sentence what is wrong and what to do.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from node.errors import BadRequest, Forbidden, NodeError, Refused, Unauthorised, Unavailable
from zring.errors import ZringError

PROBLEM_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="zring"'
"""RFC 6750: what a client is to send."""
_REASONS = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    408: "deadline",
    411: "bad-request",
    413: "too-large",
    414: "too-large",
    415: "unsupported-media-type",
    417: "bad-request",
    431: "too-large",
}


def problem(
    status: int,
    detail: str,
    *,
    reason: str,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> web.Response:
    """A response with a problem document; members of None are left out."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "reason": reason,
        **{name: value for name, value in members.items() if value is not None},
    }
    body = orjson.dumps(document)
    return web.Response(body=body, status=status, content_type=PROBLEM_TYPE, headers=headers)


def error_to_problem(error: NodeError | ZringError) -> web.Response:
    """The response for expected trouble."""
    headers = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthorised):
        headers["WWW-Authenticate"] = CHALLENGE
    if isinstance(error, Forbidden):
        headers["WWW-Authenticate"] = f'{CHALLENGE}, error="insufficient_scope"'
    return problem(
        error.status,
        str(error),
        reason=_reason_of(error),
        headers=headers,
        field=error.field if isinstance(error, BadRequest) else None,
        retryable=True if error.retryable else None,
    )


def _reason_of(error: NodeError | ZringError) -> str:
    if isinstance(error, NodeError):
        return error.reason
    return Refused.reason if error.status == Refused.status else "bad-request"


def http_error_to_problem(error: web.HTTPException, *, path: str) -> web.Response:
    """The response for what aiohttp itself refuses: no such path, wrong method, body too large."""
    headers = {}
    detail = error.text or error.reason
    if isinstance(error, web.HTTPNotFound):
        detail = f"path={path[:200]} does not exist; /api lists those that do"
    elif isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        headers["Allow"] = allowed
        detail = f"method {error.method} is not possible for {path[:200]}; use {allowed}"
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        detail = f"{detail}; send the records in smaller batches"
    reason = _REASONS.get(error.status, "error")
    return problem(error.status, detail or reason, reason=reason, headers=headers)
