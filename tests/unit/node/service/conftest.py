"""Whole services on the virtual loop: no sleeps, no sockets, the same run every time."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from node.config import MoverSettings
from node.records import Rows
from node.service.service import Service
from node.storage.bucket_digests import DAY_US
from tests.sim.cluster import SimulatedCluster
from tests.sim.loop import VirtualLoop
from tests.sim.network import Weather
from zring.domain import DEMO_DOMAIN
from zring.settings import Settings

START_US = 1_690_000_000_000_000


class Bench:
    """A quiet simulated cluster and what tests need to talk to it."""

    def __init__(
        self,
        loop: VirtualLoop,
        *,
        nodes: int,
        replicas: int,
        steps: int,
        mover: MoverSettings,
    ) -> None:
        self.loop = loop
        self.cluster = SimulatedCluster(
            loop,
            Random(7),
            nodes=nodes,
            settings=Settings(replicas=replicas),
            step_rows_max=steps,
            mover=mover,
        )
        self.cluster.network.weather = Weather(slow_share=0.0)

    def service(self, name: str) -> Service:
        service = self.cluster.nodes[name].service
        assert service is not None
        return service

    @property
    def services(self) -> list[Service]:
        return [node.service for node in self.cluster.running() if node.service]

    async def wait_until(self, condition: Callable[[], bool], *, seconds: float = 60) -> None:
        """Let virtual time pass until something is so."""
        end = self.loop.time() + seconds
        while not condition():
            assert self.loop.time() < end, "never came true"
            await asyncio.sleep(0.1)

    async def wait_settled(self) -> None:
        """Everything is everywhere, and everybody knows."""
        await self.wait_until(
            lambda: all(
                service.is_settled() and service.status().coverage.state == "complete"
                for service in self.services
            )
        )


Test = Callable[[Bench], Coroutine[Any, Any, None]]
Play = Callable[..., None]


@pytest.fixture
def play() -> Iterator[Play]:
    """Run a test on a started cluster: `play(test, nodes=4, replicas=2)`."""

    def run(
        test: Test,
        *,
        nodes: int = 4,
        replicas: int = 2,
        steps: int = 100,
        mover: MoverSettings | None = None,
    ) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            loop = runner.get_loop()
            assert isinstance(loop, VirtualLoop)
            bench = Bench(
                loop,
                nodes=nodes,
                replicas=replicas,
                steps=steps,
                mover=mover or MoverSettings(),
            )

            async def main() -> None:
                await bench.cluster.start()
                await bench.wait_settled()
                try:
                    await test(bench)
                finally:
                    await bench.cluster.stop()

            runner.run(main())

    yield run


def make_rows(
    count: int, seed: int = 0, *, sensors: int = 20, days: int = 30, versions: int = 0
) -> Rows:
    """Random records of the square, with nulls among the values."""
    rng = np.random.default_rng(seed)
    domain = DEMO_DOMAIN
    lon = rng.integers(domain.west, domain.east, count, endpoint=True).astype(np.int32)
    lat = rng.integers(domain.south, domain.north, count, endpoint=True).astype(np.int32)
    temp = rng.normal(15, 8, count)
    return Rows.build(
        time=START_US + rng.integers(0, days * DAY_US, count),
        lon=lon,
        lat=lat,
        code=domain.positions_to_codes(lon=lon, lat=lat),
        sensor=pa.array([f"s{index}" for index in rng.integers(0, sensors, count)]),
        version=np.full(count, versions, np.int64),
        values={
            "temp": pa.array(temp, mask=rng.random(count) < 0.2),
            "count": pa.array(rng.integers(0, 9, count)),
            "name": pa.array(rng.choice(["a", "b", "c"], count)),
        },
    )


def identities(rows: Rows) -> list[tuple[str, int, int]]:
    """(sensor, time, code) of each row."""
    return list(zip(rows.sensor.to_pylist(), rows.time.tolist(), rows.code.tolist(), strict=True))
