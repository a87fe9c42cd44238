"""The one middleware: tokens in front, problems behind, times in between; and common headers."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError

from node.api.problems import error_to_problem, http_error_to_problem, problem
from node.api.state import STATE, State
from node.config import Role
from node.errors import Forbidden, NodeError, Unauthorised
from node.service.audit import REFUSED
from zring.errors import ZringError

LOG = logging.getLogger(__name__)
RING_HEADER = "Zring-Ring"
ROLES_OF_HANDLERS: web.AppKey[dict[object, Role | None]] = web.AppKey("roles", dict)
_EXPOSED = "Link, Retry-After, Zring-Coverage, Zring-Coverage-Details, Zring-Ring"
_ALLOWED = "Accept, Authorization, Content-Type, Last-Event-ID"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every request, whatever happens behind."""
    state = request.app[STATE]
    started = time.perf_counter()
    try:
        response = await _answer(request, handler, state)
    except (asyncio.CancelledError, ConnectionError):
        state.metrics.cancelled += 1
        raise
    resource = request.match_info.route.resource
    route = "unknown" if resource is None else resource.canonical
    state.metrics.observe(route, response.status, time.perf_counter() - started)
    return response


async def _answer(request: web.Request, handler: Handler, state: State) -> web.StreamResponse:
    try:
        if request.method == "OPTIONS":
            return await _options(request, handler)
        needed = request.app[ROLES_OF_HANDLERS].get(request.match_info.handler, "read")
        if state.access.required and needed is not None:
            _check_access(request, state, needed)
        if needed == "admin":
            return await _administrative(request, handler, state)
        return await handler(request)
    except (NodeError, ZringError) as error:
        return error_to_problem(error)
    except web.HTTPException as error:
        if error.status < 400:
            return web.Response(status=error.status, headers=error.headers)
        return http_error_to_problem(error, path=request.path)
    except (web.RequestPayloadError, ClientPayloadError) as error:
        return problem(400, f"the body cannot be read: {error}", reason="bad-request")
    except ConnectionError:
        raise  # the client is gone; nobody reads an answer
    except Exception:
        state.metrics.failures += 1
        fault = secrets.token_hex(4)
        LOG.exception("fault %s at %s %s", fault, request.method, request.path)
        return problem(
            500, f"unexpected fault {fault}; the node's log says more", reason="error", fault=fault
        )


def _check_access(request: web.Request, state: State, needed: Role) -> None:
    try:
        state.access.check(request, needed)
    except (Unauthorised, Forbidden) as error:
        _record(request, state, "refused.client", REFUSED, reason=error.reason, needed=needed)
        raise


async def _administrative(
    request: web.Request, handler: Handler, state: State
) -> web.StreamResponse:
    """A call that only operators may make leaves a line, however it ends."""
    try:
        response = await handler(request)
    except BaseException as error:
        status = getattr(error, "status", 500)
        _record(request, state, "call", "failed", status=status, message=str(error))
        raise
    _record(request, state, "call", "done", status=response.status)
    return response


def _record(
    request: web.Request, state: State, event: str, outcome: str, **details: object
) -> None:
    state.service.audit.record(
        event,
        subject=state.access.subject(request),
        remote=request.remote or "",
        outcome=outcome,
        details={"method": request.method, "path": request.path_qs, **details},
    )


async def _options(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What may be done with a path; also the answer to a browser's preflight."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))
        return web.Response(status=204, headers={"Allow": allowed})


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer says, also one that streams: called when its head is about to go out."""
    state = request.app[STATE]
    headers = response.headers
    headers[RING_HEADER] = state.ring_text()
    origin = request.headers.get("Origin")
    if origin is None or not state.cors:
        return
    if "*" in state.cors:
        headers["Access-Control-Allow-Origin"] = "*"
    elif origin in state.cors:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Vary"] = "Origin"
    else:
        return
    headers["Access-Control-Expose-Headers"] = _EXPOSED
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = headers.get("Allow", "GET, POST")
        headers["Access-Control-Allow-Headers"] = _ALLOWED
        headers["Access-Control-Max-Age"] = "86400"
