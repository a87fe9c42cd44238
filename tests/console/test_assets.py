"""The page's files as answers: types, tags, headers, size, nothing from elsewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.console.pages import PAGE_PATH, read_assets

BYTES_MAX = 700_000
"""Every node carries the page; field sites may load it over a radio link."""
STATIC = Path(__file__).parents[2] / "node" / "console" / "static"


async def test_page_is_html_and_forbids_everything_from_elsewhere(recorded_node: Any) -> None:
    async with aiohttp.ClientSession(recorded_node.url) as session:
        async with session.get(PAGE_PATH) as response:
            assert response.status == 200
            assert response.content_type == "text/html"
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "<script>" not in await response.text()
        async with session.get("/console", allow_redirects=False) as response:
            assert response.status == 301
            assert response.headers["Location"] == PAGE_PATH


async def test_unchanged_asset_is_not_sent_again(recorded_node: Any) -> None:
    async with aiohttp.ClientSession(recorded_node.url) as session:
        async with session.get(PAGE_PATH + "land.bin") as response:
            tag = response.headers["ETag"]
            assert response.headers["Content-Encoding"] == "gzip"
            assert await response.read() == (STATIC / "land.bin").read_bytes()
        async with session.get(PAGE_PATH + "land.bin", headers={"If-None-Match": tag}) as response:
            assert response.status == 304


async def test_asset_without_compression_for_a_client_that_has_none(recorded_node: Any) -> None:
    plain = {"Accept-Encoding": "identity"}
    async with (
        aiohttp.ClientSession(recorded_node.url) as session,
        session.get(PAGE_PATH + "app.js", headers=plain) as response,
    ):
        assert "Content-Encoding" not in response.headers
        assert response.content_type == "text/javascript"
        assert await response.read() == (STATIC / "app.js").read_bytes()


@pytest.mark.parametrize("name", ["nothing.js", "..", "pages.py", "__init__.py"])
async def test_what_is_no_asset_is_not_found(recorded_node: Any, name: str) -> None:
    async with (
        aiohttp.ClientSession(recorded_node.url) as session,
        session.get(PAGE_PATH + name) as response,
    ):
        assert response.status == 404


def test_whole_page_stays_small() -> None:
    assert sum(len(asset.body) for asset in read_assets().values()) < BYTES_MAX


def test_every_import_and_link_of_the_page_is_an_asset() -> None:
    names = set(read_assets())
    for name, text in _texts():
        wanted = re.findall(r'from "\./([\w.]+)"', text)
        if name == "index.html":
            wanted += re.findall(r'(?:src|href)="([a-z][\w.]*)"', text)
        assert set(wanted) <= names, name


def test_nothing_names_another_host() -> None:
    for name, text in _texts():
        hosts = set(re.findall(r"https?://([\w.-]+)", text)) - {"www.w3.org"}
        assert not hosts, (name, hosts)


def test_nothing_becomes_markup() -> None:
    """Names and values come from strangers: text only."""
    for name, text in _texts():
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text
        ), name
        assert not re.search(r"""<[^>]+\s(?:style|on\w+)=""", text), name


def _texts() -> Iterator[tuple[str, str]]:
    for file in sorted(STATIC.iterdir()):
        if file.suffix in (".js", ".html", ".css", ".svg"):
            yield file.name, file.read_text()
