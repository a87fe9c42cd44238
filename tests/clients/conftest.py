"""A real node in a thread of its own, for clients that are programs or block."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from aiohttp import web

from node.api.app import make_app
from node.api.server import start_site
from node.api.state import STATE
from node.clock import SystemClock
from node.codec.columns import columns_to_rows
from node.config import Limits
from node.peer.transport import Arriving, Handler, Message
from node.service.service import Service
from node.storage.memory_engine import MemoryEngine
from zring.domain import DEMO_DOMAIN
from zring.ring import Settings, founding_ring

STATIONS = 20
HOURS = 60
WAIT_S = 90


class NoPeers:
    """The transport of a node without others."""

    async def start(self, handler: Handler, arriving: Arriving) -> None:
        return None

    async def call(self, address: str, message: Message, **_given: object) -> Message:
        raise AssertionError(f"nobody is at {address}")

    async def close(self) -> None:
        return None


@dataclass(frozen=True)
class Served:
    """A node with STATIONS x HOURS records of `amedas`; `table` holds them."""

    url: str
    table: pa.Table
    app: web.Application


def records() -> pa.Table:
    random = np.random.default_rng(5)
    station = np.repeat(np.arange(STATIONS), HOURS)
    hour = np.tile(np.arange(HOURS), STATIONS)
    lon = np.round(135.05 + 1.5 * random.random(STATIONS), 4)
    lat = np.round(33.05 + 1.5 * random.random(STATIONS), 4)
    start_us = 1_689_206_400_000_000  # 2023-07-13T00:00:00Z
    return pa.table(
        {
            "sensor": [f"{65_000 + number}" for number in station],
            "time": pa.array(start_us + hour * 3_600_000_000, pa.timestamp("us", "UTC")),
            "lon": lon[station],
            "lat": lat[station],
            "temp": np.round(20 + 8 * random.random(len(hour)), 1),
            "note": ["dry" if number % 3 else None for number in hour],
        }
    )


@pytest.fixture(scope="module")
def node() -> Iterator[Served]:
    table = records()
    ready: threading.Event = threading.Event()
    found: list[Served] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        ring = founding_ring("clients", DEMO_DOMAIN, 8, ("a",), Settings(epoch=0, replicas=0))
        service = Service(
            node_id="a",
            ring=ring,
            engine=MemoryEngine(domain=DEMO_DOMAIN),
            transport=NoPeers(),
            clock=SystemClock(),
        )
        await service.start()
        columns = {name: table.column(name).combine_chunks() for name in table.column_names}
        await service.write("amedas", columns_to_rows(columns, domain=DEMO_DOMAIN).rows)
        app = make_app(service, limits=Limits(request_bytes_max=1 << 20))
        runner, port = await start_site(app, host="127.0.0.1", port=0)
        found.append(Served(f"http://127.0.0.1:{port}", table, app))
        ready.set()
        await stop.wait()
        await runner.cleanup()
        await service.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(WAIT_S), "the node did not start"
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(WAIT_S)
    loop.close()
    assert found[0].app[STATE].metrics.failures == 0, "a request hit an unexpected error"
