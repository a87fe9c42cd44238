"""A whole cluster in one process: the real node code on simulated network, disks and clocks."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

from node.config import Limits, MoverSettings
from node.protocol.rules import ALL_RULES, Rules
from node.query import WriteReply
from node.records import Rows
from node.service.service import Service
from node.service.write import Batch
from node.storage.memory_engine import MemoryDisk, MemoryEngine
from tests.sim.loop import VirtualClock, VirtualLoop
from tests.sim.network import Network
from zring.domain import DEMO_DOMAIN, Domain
from zring.ring import Ring, Settings, founding_ring

SYNC_MS_MAX = 4.0
SKEW_US_MAX = 2_000_000


class SimulatedNode:
    """One node: what survives a crash (disk, clock) and what does not (service, callers)."""

    def __init__(self, cluster: "SimulatedCluster", name: str) -> None:
        self.name = name
        self._cluster = cluster
        rng = cluster.rng
        self.clock = VirtualClock(cluster.loop, skew_us=rng.randint(-SKEW_US_MAX, SKEW_US_MAX))
        self.disk = self._new_disk(f"store-{name}-0")
        self._wiped = 0
        self.service: Service | None = None
        self._callers: list[asyncio.Task[Any]] = []

    @property
    def up(self) -> bool:
        """Whether the process runs."""
        return self.service is not None

    async def start(self) -> None:
        """Open what the disk has and join the others."""
        assert self.service is None
        cluster = self._cluster
        engine = MemoryEngine(
            domain=cluster.domain, disk=self.disk, step_rows_max=cluster.step_rows_max
        )
        service = Service(
            node_id=self.name,
            ring=cluster.ring,
            engine=engine,
            transport=cluster.network.transport(self.name),
            clock=self.clock,
            limits=cluster.limits,
            mover=cluster.mover,
            seeds=cluster.names,
            client_url=f"http://{self.name}",
            peer_address=self.name,
            rules=cluster.rules,
        )
        self.service = service
        self._note_spreads(service)
        await service.start()

    async def crash(self) -> None:
        """Stop at once; what was not synced is lost, callers never hear an answer."""
        assert self.service is not None
        service, self.service = self.service, None
        self.disk.crash()
        callers, self._callers = self._callers, []
        for caller in callers:
            caller.cancel()
        if callers:
            await asyncio.wait(callers)
        await service.stop()

    def wipe(self) -> None:
        """Lose the disk while the node is down."""
        assert self.service is None
        self._wiped += 1
        self.disk = self._new_disk(f"store-{self.name}-{self._wiped}")

    def call(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a client's call at this node; it is cancelled when the node crashes."""
        task = self._cluster.loop.create_task(work)
        self._callers = [caller for caller in self._callers if not caller.done()] + [task]
        return task

    async def stop(self) -> None:
        """End in order."""
        if self.service is not None:
            await self.service.stop()
            self.service = None

    def _note_spreads(self, service: Service) -> None:
        """Tell the truth which node took a record: it alone knows whom it still owes a copy."""
        writer = service._writer
        spread = writer.spread

        async def noted(batch: Batch) -> WriteReply:
            reply = await spread(batch)
            self._cluster.spreads.append((self.name, batch.rows))
            return reply

        writer.spread = noted  # type: ignore[method-assign]

    def _new_disk(self, store_id: str) -> MemoryDisk:
        rng = self._cluster.rng

        async def sync() -> None:
            await asyncio.sleep(rng.uniform(0.1, 1.0) * SYNC_MS_MAX / 1_000)

        return MemoryDisk(store_id=store_id, wait=sync)


class SimulatedCluster:
    """Nodes that found a cluster together."""

    def __init__(
        self,
        loop: VirtualLoop,
        rng: Random,
        *,
        nodes: int,
        replicas: int,
        domain: Domain = DEMO_DOMAIN,
        step_rows_max: int = 7,
        rules: Rules = ALL_RULES,
        mover: MoverSettings | None = None,
    ) -> None:
        self.loop = loop
        self.rng = rng
        self.domain = domain
        self.step_rows_max = step_rows_max
        self.rules = rules
        self.mover = mover or MoverSettings()
        self.limits = Limits(peer_timeout_ms=2_000, query_timeout_ms=8_000)
        self.network = Network(rng)
        self.names = tuple(f"n{index + 1}" for index in range(nodes))
        self.ring: Ring = founding_ring("sim", domain, 4, self.names, Settings(replicas=replicas))
        self.spreads: list[tuple[str, Rows]] = []
        """(node, rows) of every batch that a node took as spreader and answered for."""
        self.nodes = {name: SimulatedNode(self, name) for name in self.names}

    async def start(self) -> None:
        """Start every node at once."""
        await asyncio.gather(*(node.start() for node in self.nodes.values()))

    async def stop(self) -> None:
        """End every node."""
        for node in self.nodes.values():
            await node.stop()

    def running(self) -> list[SimulatedNode]:
        """Nodes that are up, by name."""
        return [node for node in self.nodes.values() if node.up]
