"""Links of pages: absolute in JSON, because clients such as GDAL follow them as they are."""

from typing import Any
from urllib.parse import quote

from aiohttp import web

from node.api.cursors import key_to_cursor
from node.api.parameters import Pairs
from node.records import Key


def base_url(request: web.Request) -> str:
    """Scheme and authority as the client wrote them."""
    return f"{request.scheme}://{request.host}"


def link(href: str, rel: str, media_type: str, title: str | None = None) -> dict[str, Any]:
    """One entry of `links`."""
    entry = {"href": href, "rel": rel, "type": media_type}
    return entry if title is None else {**entry, "title": title}


def collection_path(collection: str) -> str:
    """`/collections/{collection}` with the name quoted."""
    return f"/collections/{quote(collection, safe='')}"


def next_target(request: web.Request, pairs: Pairs, resume: Key, digest: int) -> str:
    """Path and query of the page behind this one."""
    kept = [f"{name}={text}" for name, text in pairs if name != "cursor"]
    query = "&".join((*kept, f"cursor={key_to_cursor(resume, digest)}"))
    return f"{request.rel_url.raw_path}?{query}"
