"""What is known of one route: the entry type of the table in `routes`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from node.config import Role

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route.

    Attributes:
        answer: `rows` (all formats), `reply` (of a write) or the media type.
        role: the least role that a token must have; None lets everybody in.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    name: str
    summary: str
    parameters: frozenset[str] = frozenset()
    answer: str = "application/json"
    role: Role | None = "read"
    body: Literal["records", "polygon", "object"] | None = None
