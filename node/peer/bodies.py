"""Bodies of HTTP messages between nodes, read piece by piece.

Whoever reads tells of every piece as it comes: a long message fills a slow line for seconds, and
that it arrives is all that is heard of its sender meanwhile. No seal covers a piece alone, so it
says no more than that something is there.
"""

import asyncio
from collections.abc import Callable

import aiohttp
from aiohttp import web

from node.errors import BadRequest


def _nobody_listens() -> None:
    """Where nobody wants to know."""


async def read_request(
    request: web.BaseRequest, size: int, arriving: Callable[[], None] = _nobody_listens
) -> bytes:
    """A request's body of known size.

    Args:
        arriving: called at every piece but the first. That further ones come shows that the first
            was acknowledged, so the line carries both ways; one alone may come over half a line.
    Raises:
        BadRequest: the connection ended before it was all there.
    """
    pieces: list[bytes] = []
    left = size
    try:
        while left > 0:
            piece = await request.content.read(left)
            if not piece:
                raise asyncio.IncompleteReadError(b"".join(pieces), size)
            if pieces:
                arriving()
            pieces.append(piece)
            left -= len(piece)
    except (asyncio.IncompleteReadError, aiohttp.ClientError) as error:
        raise BadRequest(f"message between nodes was cut short: {error}", field="body") from None
    return b"".join(pieces)


async def read_reply(response: aiohttp.ClientResponse, arriving: Callable[[], None]) -> bytes:
    """A reply's whole body; `arriving` is called at every piece of it."""
    pieces: list[bytes] = []
    try:
        while piece := await response.content.readany():
            arriving()
            pieces.append(piece)
    finally:
        if not response.content.at_eof():
            response.close()  # its rest would be taken for the next answer
    return b"".join(pieces)
