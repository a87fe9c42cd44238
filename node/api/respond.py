"""JSON responses."""

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web


def json_response(
    document: Any,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> web.Response:
    """A document as compact UTF-8 JSON."""
    return web.Response(
        body=orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS),
        status=status,
        headers=headers,
        content_type=media_type,
    )
