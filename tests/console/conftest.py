"""A server with the real page and small recorded answers, and a browser to look at it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from node.console import add_console
from node.console.pages import read_assets

Document = dict[str, Any]
DRIVER = Path(__file__).with_name("drive.js")
BROWSER_NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER_DEADLINE_S = 120.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def quarter(west: float, south: float) -> Document:
    """The MultiPolygon of one quarter of the default domain."""
    east, north = west + 0.8, south + 0.8
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "MultiPolygon", "coordinates": [[ring]]}


CORNERS = {"ne": (135.8, 33.8), "nw": (135.0, 33.8), "se": (135.8, 33.0), "sw": (135.0, 33.0)}


def status_document(*, away: str | None = None) -> Document:
    """What `GET /cluster/status` says of the four quarters."""
    nodes = [
        {
            "id": name,
            "url": f"http://127.0.0.1:{7070 + index}",
            "peer": f"127.0.0.1:{7170 + index}",
            "state": "away" if name == away else "alive",
            "since": "2025-03-01T05:00:00Z",
            "records": 500_000 + index,
            "store_id": f"store-{name}",
            "sequence": 7,
            "area": quarter(*corner),
            "holds": quarter(*corner),
        }
        for index, (name, corner) in enumerate(CORNERS.items())
    ]
    coverage: Document = {"state": "complete", "as_of": "2025-03-01T06:00:00Z"}
    if away is not None:
        coverage |= {
            "state": "local",
            "away": {away: "2025-03-01T05:00:00Z"},
            "replicas": {"ne": quarter(*CORNERS[away])},
        }
    return {
        "node": "sw",
        "version": "0",
        "state": coverage["state"],
        "settled": away is None,
        "coverage": coverage,
        "tasks": [],
        "silent": {},
        "nodes": nodes,
    }


def task_document(kind: str, node: str, target: str | None, **changes: Any) -> Document:
    """One of the `tasks` of `GET /cluster/status`."""
    return {
        "kind": kind,
        "node": node,
        "target": target,
        "phase": "sending",
        "reason": "",
        "area": {"type": "MultiPolygon", "coordinates": []},
        "buckets_left": 0,
        "records_left": 0,
        "bytes_left": 0,
        "bytes_per_s": 0,
        "eta_s": None,
        "since": None,
        "waits_for": [],
        **changes,
    }


RING_DOCUMENT: Document = {
    "cluster": "wakayama",
    "domain": [135.0, 33.0, 136.6, 34.6],
    "grain_level": 8,
    "digest": "00",
}
STATIONS = (("65042", 135.163, 34.228, 27.1), ("65356", 135.757, 33.45, 24.5))
COLLECTIONS_DOCUMENT: Document = {
    "links": [],
    "collections": [
        {"id": "amedas", "records": 2_000_000, "values": {"note": "text", "temp": "number"}}
    ],
}


def latest_document() -> Document:
    """What `GET /collections/amedas/latest` says of two stations."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [lon, lat]},
            "properties": {
                "sensor": sensor,
                "time": "2025-03-01T05:50:00Z",
                "temp": temp,
                "note": "<b>fine</b>",
            },
        }
        for sensor, lon, lat, temp in STATIONS
    ]
    return {"type": "FeatureCollection", "links": [], "features": features}


class RecordedNode:
    """A server of the page whose API answers what it is told to.

    `answers` maps a path to a document, or to a status above 399; `made` to what makes the document
    of each answer. After `answers_left` answers
    every connection is cut; None is never.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Document | int] = {
            "/cluster/status": status_document(),
            "/cluster/ring": RING_DOCUMENT,
            "/collections": COLLECTIONS_DOCUMENT,
            "/collections/amedas/latest": latest_document(),
        }
        self.made: dict[str, Callable[[], Document]] = {}
        self.asked: list[str] = []
        self.answers_left: int | None = None
        self.url = ""

    def lose(self, node: str) -> None:
        """From now on the cluster says that `node` is away."""
        self.answers["/cluster/status"] = status_document(away=node)

    def make_app(self) -> web.Application:
        """The application to run."""
        app = web.Application()
        add_console(app)
        app.router.add_get("/driven", _send_driven)
        app.router.add_get("/drive.js", _send_script)
        app.router.add_get("/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(str(request.rel_url))
        if self.answers_left is not None:
            self.answers_left -= 1
            if self.answers_left < 0 and request.transport is not None:
                request.transport.abort()
        if request.path in self.made:
            return web.json_response(self.made[request.path]())
        answer = self.answers.get(request.path, 404)
        if isinstance(answer, int):
            return web.json_response({"title": "refused", "detail": "no"}, status=answer)
        return web.json_response(answer)


async def _send_driven(_request: web.Request) -> web.Response:
    """The real page with the driving script beside its own; only here without a policy."""
    text = read_assets()["index.html"].body.decode()
    text = text.replace("<head>", '<head><base href="/console/">')
    text = text.replace("</head>", '<script type="module" src="/drive.js"></script></head>')
    return web.Response(text=text, content_type="text/html")


async def _send_script(_request: web.Request) -> web.Response:
    return web.Response(text=DRIVER.read_text(), content_type="text/javascript")


@pytest.fixture
async def recorded_node() -> AsyncIterator[RecordedNode]:
    """A running server with recorded answers."""
    recorded = RecordedNode()
    runner = web.AppRunner(recorded.make_app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _host, port = runner.addresses[0][:2]
        recorded.url = f"http://127.0.0.1:{port}"
        yield recorded
    finally:
        await runner.cleanup()


Browse = Callable[..., Coroutine[Any, Any, str]]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Open a URL in the headless browser and give back the page as it then is (HTML)."""

    async def run(url: str, *extra: str) -> str:
        names = (shutil.which(name) for name in BROWSER_NAMES)
        browser = next((name for name in names if name is not None), None)
        assert browser is not None, "no Chromium; deploy/local/system_packages.sh browser"
        process = await asyncio.create_subprocess_exec(
            browser,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'browser'}",
            "--window-size=1200,800",
            "--virtual-time-budget=6000",
            *extra,
            "--dump-dom",
            url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), BROWSER_DEADLINE_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return output.decode()

    return run
