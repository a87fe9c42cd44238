"""A real server on a free port over a real service of one node and the in-memory engine.

When a test ends, no request may have hit an unexpected error.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest

from node.api.app import make_app
from node.api.pages import CONSOLE
from node.api.security import Access
from node.api.server import start_site
from node.api.state import STATE
from node.clock import SystemClock
from node.config import Limits, Role
from node.console import add_console
from node.peer.transport import Arriving, Handler, Message
from node.service.service import Service
from node.storage.memory_engine import MemoryEngine
from zring.domain import DEMO_DOMAIN
from zring.ring import Settings, founding_ring

LIMITS = Limits(request_bytes_max=1 << 20, request_records_max=5_000)


class NoPeers:
    """The transport of a node without others."""

    async def start(self, handler: Handler, arriving: Arriving) -> None:
        return None

    async def call(self, address: str, message: Message, **_given: object) -> Message:
        raise AssertionError(f"nobody is at {address}")

    async def close(self) -> None:
        return None


@dataclass(frozen=True)
class Reply:
    """A finished response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Door:
    """A served node and a client's session."""

    service: Service
    app: aiohttp.web.Application
    port: int
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, target: str, method: str = "GET", **options: Any) -> Reply:
        url = target if target.startswith("http") else self.url + target
        async with self.session.request(method, url, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def store(self, records: Any, collection: str = "amedas", **options: Any) -> Reply:
        return await self.ask(f"/collections/{collection}/items", "POST", json=records, **options)


def record(**changes: Any) -> dict[str, Any]:
    """A good record with some fields changed; None takes a field out."""
    whole = {
        "sensor": "65042",
        "time": "2023-07-13T05:00:00Z",
        "lon": 135.163,
        "lat": 34.228,
        "values": {"temp": 27.1, "rain_1h": 0.0},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def make_service() -> Service:
    ring = founding_ring("test", DEMO_DOMAIN, 8, ("a",), Settings(epoch=0, replicas=0))
    return Service(
        node_id="a",
        ring=ring,
        engine=MemoryEngine(domain=DEMO_DOMAIN),
        transport=NoPeers(),
        clock=SystemClock(),
        limits=LIMITS,
    )


def add_map(app: aiohttp.web.Application) -> None:
    app[CONSOLE] = add_console(app)


@pytest.fixture
def tokens() -> dict[str, Role]:
    return {}


@pytest.fixture
async def door(tokens: dict[str, Role]) -> AsyncIterator[Door]:
    service = make_service()
    await service.start()
    app = make_app(
        service,
        limits=LIMITS,
        cors=("https://map.example",),
        access=Access(tokens),
        console=add_map,
    )
    runner, port = await start_site(app, host="127.0.0.1", port=0)
    async with aiohttp.ClientSession() as session:
        yield Door(service, app, port, session)
    await runner.cleanup()
    await service.stop()
    assert app[STATE].metrics.failures == 0, "a request hit an unexpected error"
