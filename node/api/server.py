"""Listening: sites whose protocol answers broken HTTP with a problem document as well."""

import ssl

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from node.api.problems import problem

HEADER_BYTES_MAX = 32 << 10
"""One header or request line: a polygon of some 500 corners as a parameter; larger ones are
sent as a body."""
KEEPALIVE_S = 75.0
SHUTDOWN_S = 5.0
"""Requests that are under way when the node stops get this long."""


class _Protocol(RequestHandler):
    """aiohttp's, except that what it cannot parse gets the same kind of answer as the rest,
    and that a client that left is no fault."""

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            # Nobody reads an answer; raised again, it ends the connection and leaves no traceback.
            raise exc
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        detail = (message or "the request is no valid HTTP").strip().splitlines()[0]
        response = problem(status, f"no valid HTTP request: {detail}", reason="bad-request")
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's runner with the protocol above.

    `handler_cancellation` ends a handler when its client disconnects: the query it waits for is
    cancelled with it, here and on all nodes that it asked.
    """

    def __init__(self, app: web.Application) -> None:
        super().__init__(
            app,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            shutdown_timeout=SHUTDOWN_S,
        )

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return _Server(
            plain.request_handler,
            request_factory=plain.request_factory,
            handler_cancellation=plain.handler_cancellation,
            loop=plain._loop,
            **plain._kwargs,
        )


async def start_site(
    app: web.Application, *, host: str, port: int, tls: ssl.SSLContext | None = None
) -> tuple[Runner, int]:
    """Listen; returns the runner (`await runner.cleanup()` stops it) and the port.

    Args:
        port: 0 takes a free one.
    Raises:
        OSError: the address is in use or not this machine's.
    """
    runner = Runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls, backlog=1024).start()
    except OSError:
        await runner.cleanup()
        raise
    bound: int = runner.addresses[0][1]
    return runner, bound
