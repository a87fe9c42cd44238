"""The application: routes, state and the one middleware put together."""

from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web

from node.api.edge import ROLES_OF_HANDLERS, add_headers, edge
from node.api.openapi import openapi_document
from node.api.pages import API_DOCUMENT
from node.api.routes import METRICS_PATH, ROUTES
from node.api.security import Access
from node.api.state import STATE, State
from node.config import Limits, Role
from node.peer.http import HttpTransport
from node.service.service import Service


def make_app(
    service: Service,
    *,
    limits: Limits | None = None,
    cors: Sequence[str] = ("*",),
    access: Access | None = None,
    open_metrics: bool = False,
    peer_door: HttpTransport | None = None,
    data: Path | None = None,
    console: Callable[[web.Application], None] | None = None,
) -> web.Application:
    """Build the HTTP door of a node.

    Args:
        service: started and stopped by the caller.
        cors: origins whose pages may call from a browser; "*" is any.
        access: whose tokens let in whom; None lets everybody in, which is only right on
            loopback (the command checks that).
        open_metrics: whether everybody may read the metrics.
        peer_door: the peer port, to show its counts and refusals.
        data: the store's folder, to list damaged stores that were set aside beside it.
        console: adds the map page and its files to the application.
    """
    limits = limits or Limits()
    app = web.Application(middlewares=[edge], client_max_size=limits.request_bytes_max)
    app.on_response_prepare.append(add_headers)
    app[STATE] = State(
        service=service,
        limits=limits,
        cors=tuple(cors),
        access=access or Access(),
        peer_door=peer_door,
        data=data,
    )
    app[API_DOCUMENT] = openapi_document(ROUTES)
    roles: dict[object, Role | None] = {
        route.handler: None if open_metrics and route.path == METRICS_PATH else route.role
        for route in ROUTES
    }
    app[ROLES_OF_HANDLERS] = roles
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler)  # HEAD comes with it
        else:
            app.router.add_post(route.path, route.handler)
    if console is not None:
        console(app)
        # A page and its files hold no records; what the page then asks for does need a token.
        for added in app.router.routes():
            roles.setdefault(added.handler, None)
        # The page's files hold no data; what the page then asks for needs the token.
        roles.update({route.handler: None for route in app.router.routes()} | roles)
    return app
