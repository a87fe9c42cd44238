"""The assets of the map page as HTTP answers: type, entity tag, security headers."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from aiohttp import web

PAGE_PATH = "/console/"
"""Where the page is; its own links are relative to it."""

MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".bin": "application/octet-stream",
}

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page as it is sent."""

    body: bytes
    compressed: bytes
    media_type: str
    tag: str


@cache
def read_assets() -> Mapping[str, Asset]:
    """All files by name; read once per process (some 550 kB, most of it the coastline)."""
    assets = {}
    for file in sorted((files(__package__) / "static").iterdir(), key=lambda entry: entry.name):
        stem, dot, ending = file.name.rpartition(".")
        if stem and dot + ending in MEDIA_TYPES:
            body = file.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:16]
            assets[file.name] = Asset(
                body=body,
                compressed=gzip.compress(body, mtime=0),
                media_type=MEDIA_TYPES[dot + ending],
                tag=f'"{digest}"',
            )
    return assets


def add_console(app: web.Application) -> str:
    """Serve the page and its assets below PAGE_PATH.

    The page itself holds no data, so it asks for no token; what it then reads from the API does.

    Returns: the path of the page.
    """
    app.router.add_get("/console", _redirect)
    app.router.add_get("/console/{name:[a-z_.]*}", _get_asset)
    return PAGE_PATH


async def _redirect(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPMovedPermanently(PAGE_PATH)


async def _get_asset(request: web.Request) -> web.StreamResponse:
    asset = read_assets().get(request.match_info["name"] or "index.html")
    if asset is None:
        raise web.HTTPNotFound
    headers = {
        **SECURITY_HEADERS,
        "ETag": asset.tag,
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
    }
    if asset.tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = asset.media_type
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=asset.compressed, headers=headers)
    return web.Response(body=asset.body, headers=headers)
