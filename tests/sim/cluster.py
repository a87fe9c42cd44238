"""A whole cluster in one process: the real node code on simulated network, disks and clocks."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from node.config import LAN, Limits, LinkPreset, MoverSettings
from node.protocol.rules import ALL_RULES, Rules
from node.query import WriteReply
from node.records import Rows
from node.service.newcomer import Birth, first_ring
from node.service.service import Service
from node.service.write import Batch
from node.storage.memory_engine import MemoryDisk, MemoryEngine
from tests.sim.loop import VirtualClock, VirtualLoop
from tests.sim.network import Network
from tests.sim.truth import GRAIN_LEVEL
from zring.domain import DEMO_DOMAIN, Domain
from zring.placement import HolderMap
from zring.ring import Ring, Settings, founding_ring
from zring.span import subtract

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
        self._stores = 1
        self._image = 0
        self._start: asyncio.Task[None] | None = None
        self.skews_us = [self.clock.skew_us]
        """Every value that the wall clock has been wrong by."""
        self.service: Service | None = None
        self.fresh = False
        """Whether its disk was lost or put back and it has met nobody since: it cannot know."""
        self._callers: list[asyncio.Task[Any]] = []

    @property
    def up(self) -> bool:
        """Whether the process runs."""
        return self.service is not None

    async def start(self) -> None:
        """Open what the disk has and join the others; a newcomer waits for a seed that answers."""
        assert self.service is None
        cluster = self._cluster
        engine = MemoryEngine(
            domain=cluster.domain, disk=self.disk, step_rows_max=cluster.step_rows_max
        )
        transport = cluster.network.transport(self.name)
        ring = await first_ring(
            cluster.birth if self.name in cluster.names else cluster.newcomers_birth,
            engine,
            transport,
            cluster.seeds,
            node_id=self.name,
            timeout_ms=cluster.limits.peer_timeout_ms,
        )
        service = Service(
            node_id=self.name,
            ring=ring,
            engine=engine,
            transport=transport,
            clock=self.clock,
            limits=cluster.limits,
            link=cluster.link,
            mover=cluster.mover,
            seeds=cluster.seeds,
            client_url=f"http://{self.name}",
            peer_address=self.name,
            rules=cluster.rules,
        )
        self.service = service
        holding = service._parts.members.holding
        holding.followers.append(lambda _change: cluster.ring_seen(holding.holders))
        cluster.ring_seen(holding.holders)
        self._note_spreads(service)
        await service.start()

    async def crash(self) -> None:
        """Stop at once; what was not synced is lost, callers never hear an answer."""
        await self._stop_starting()
        service, self.service = self.service, None
        self.disk.crash()
        callers, self._callers = self._callers, []
        for caller in callers:
            caller.cancel()
        if callers:
            await asyncio.wait(callers)
        if service is not None:
            await service.stop()

    def state(self) -> str:
        """What it thinks, for a transcript."""
        if self.service is None:
            return f"{self.name} is down"
        members = self.service._parts.members
        unfilled = subtract(members.holding.held, members.holding.filled.spans)
        return (
            f"{self.name} ring {self.service.ring.digest():016x} unfilled {unfilled} outstanding "
            f"{members.outstanding.counts()} turns {self.service._flipping.turns()} mover "
            f"{self.service._mover.statistics()} {self.service.status().coverage}"
        )

    @property
    def starting(self) -> bool:
        """Whether it has begun to start and may still wait for a seed."""
        return self._start is not None and not self._start.done()

    def start_soon(self) -> None:
        """Start in the background: a newcomer may have to wait until the network is healed."""
        self._start = self._cluster.loop.create_task(self.start())

    def jump_clock(self, jump_us: int) -> None:
        """Set the wall clock wrong by this much more."""
        self.clock.skew_us += jump_us
        self.skews_us.append(self.clock.skew_us)

    def wipe(self) -> None:
        """Lose the disk while the node is down."""
        assert self.service is None
        self._stores += 1
        self.disk = self._new_disk(f"store-{self.name}-{self._stores}")
        self.fresh = True

    def take_image(self) -> None:
        """Remember the disk as it is."""
        self._image = len(self.disk.durable)

    def restore_image(self, entries: int | None = None) -> None:
        """Put an old state of the same store back while the node is down.

        Args:
            entries: what the image holds, in entries; None is what `take_image` saw.
        """
        assert self.service is None
        disk = self._new_disk(self.disk.store_id)
        disk.renewals = self.disk.renewals
        disk.durable = self.disk.durable[: self._image if entries is None else entries]
        self.disk = disk
        self.fresh = True

    def call(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a client's call at this node; it is cancelled when the node crashes."""
        task = self._cluster.loop.create_task(work)
        self._callers = [caller for caller in self._callers if not caller.done()] + [task]
        return task

    async def stop(self) -> None:
        """End in order."""
        await self._stop_starting()
        if self.service is not None:
            await self.service.stop()
            self.service = None

    async def _stop_starting(self) -> None:
        if self._start is not None and not self._start.done():
            self._start.cancel()
            await asyncio.wait((self._start,))
        if self._start is not None and not self._start.cancelled():
            self._start.result()
        self._start = None

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
        settings: Settings,
        domain: Domain = DEMO_DOMAIN,
        step_rows_max: int = 7,
        rules: Rules = ALL_RULES,
        mover: MoverSettings | None = None,
        link: LinkPreset = LAN,
        limits: Limits | None = None,
    ) -> None:
        self.loop = loop
        self.rng = rng
        self.domain = domain
        self.step_rows_max = step_rows_max
        self.rules = rules
        self.mover = mover or MoverSettings()
        self.link = link
        self.limits = limits or Limits(peer_timeout_ms=2_000, query_timeout_ms=8_000)
        self.network = Network(rng)
        self.names = tuple(f"n{index + 1}" for index in range(nodes))
        founders = tuple(name for name in self.names if name not in settings.archives)
        self.birth = Birth("sim", domain, GRAIN_LEVEL, founders, settings)
        self.newcomers_birth = Birth("sim", domain, GRAIN_LEVEL)
        self.seeds = self.names
        self.rules = rules
        self.ring: Ring = founding_ring("sim", domain, GRAIN_LEVEL, founders, settings)
        self.spreads: list[tuple[str, Rows]] = []
        """(node, rows) of every batch that a node took as spreader and answered for."""
        self.ring_seen: Callable[[HolderMap], None] = lambda _holders: None
        """Called with the holders under every ring that a node has in force."""
        self.nodes = {name: SimulatedNode(self, name) for name in self.names}

    def add(self, name: str) -> SimulatedNode:
        """A machine that is not part of the cluster yet."""
        node = self.nodes[name] = SimulatedNode(self, name)
        return node

    async def start(self) -> None:
        """Start every node at once."""
        await asyncio.gather(*(node.start() for node in self.nodes.values()))

    async def stop(self) -> None:
        """End every node."""
        for node in self.nodes.values():
            await node.stop()

    def disks(self) -> dict[str, MemoryDisk]:
        """Name → disk, of all machines."""
        return {name: node.disk for name, node in self.nodes.items()}

    def running(self) -> list[SimulatedNode]:
        """Nodes that are up, by name."""
        return [node for node in self.nodes.values() if node.up]
