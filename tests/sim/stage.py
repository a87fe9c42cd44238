"""A cluster on which a story is told: scripted faults, with or without traffic, and checks."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np

from node.protocol.rules import ALL_RULES, Rules
from node.query import Query, WriteLevel
from node.service.service import Service
from tests.sim.cluster import SimulatedNode
from tests.sim.loop import VirtualLoop
from tests.sim.network import Weather
from tests.sim.plan import Plan
from tests.sim.scenario import Between, Life
from tests.sim.truth import COLLECTION, Attempt, PromiseBroken
from zring.morton import CODE_STOP
from zring.ring import Ring
from zring.settings import Settings
from zring.span import Spans, contains, subtract

QUARTER = CODE_STOP // 4
GRAIN = CODE_STOP // 256
SETTLED_S = 60.0
"""Virtual time after which everything must be in its place."""


class Stage:
    """A cluster under steady traffic, and what a story does to it."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.cluster = life.cluster
        self._traffic: asyncio.Task[None] | None = None
        self.states: list[str] = []
        self.silent: set[str] = set()
        """Nodes that nobody asks anything."""

    def service(self, name: str) -> Service:
        service = self.cluster.nodes[name].service
        assert service is not None
        return service

    def services(self) -> list[Service]:
        return [node.service for node in self.cluster.running() if node.service]

    async def traffic(self) -> None:
        """Write and read at random nodes, one after the other, until cancelled."""
        life = self.life
        while True:
            running = [node for node in life.cluster.running() if node.name not in self.silent]
            if running:
                node = life.rng.choice(running)
                task = node.call(life._write(node, life.rng.getrandbits(64)))
                await asyncio.wait((task,))
                _raise(task)
                node = life.rng.choice(running)
                if node.up:
                    task = node.call(self._read(node.name))
                    await asyncio.wait((task,))
                    _raise(task)
            await asyncio.sleep(0.1)

    async def _read(self, name: str) -> None:
        node = self.cluster.nodes[name]
        query = self.life._query(self.life.rng)
        self.states.append(await self.life._ask(node, query))

    async def change(self, name: str, change: Callable[[Ring], Ring]) -> None:
        """Somebody commits a change of the ring at a node."""
        holding = self.service(name)._parts.members.holding
        await holding.change(change(holding.ring))

    async def wait(
        self, condition: Callable[[], bool], *, seconds: float = 60, every_s: float = 0.1
    ) -> None:
        end = self.life.loop.time() + seconds
        while not condition():
            assert self.life.loop.time() < end, f"never came true: {self.report()}"
            await self.pass_time(every_s)

    async def pass_time(self, seconds: float) -> None:
        """Let the traffic flow; what a checker finds is raised here.

        Raises:
            PromiseBroken
        """
        await asyncio.sleep(seconds)
        if self._traffic is not None and self._traffic.done():
            self._traffic.result()
        self.life.truth.check_disks(self.cluster.disks())

    def node(self, name: str) -> SimulatedNode:
        return self.cluster.nodes[name]

    def cut(self, *pairs: str) -> None:
        """Cut the links of pairs like `n1-n2`; all others work, and no message is slow."""
        self.cluster.network.heal()
        self.cluster.network.weather = Weather(slow_share=0.0)
        for pair in pairs:
            one, other = pair.split("-")
            self.cluster.network.split([one], [other])

    def attempts(self, spans: Spans, *, count: int = 5) -> list[Attempt]:
        """New records in some codes."""
        found: list[Attempt] = []
        while len(found) < count:
            attempt = self.life._attempt(self.life.rng)
            known = self.life.truth.attempts.get(attempt.identity, {})
            if not known and contains(spans, np.array([attempt.identity[2]]))[0]:
                found.append(attempt)
        return found

    def again(self, attempts: list[Attempt]) -> list[Attempt]:
        """The same records with later versions."""
        found = []
        for attempt in attempts:
            self.life._version += 1
            found.append(replace(attempt, version=self.life._version))
        return found

    async def write(self, name: str, attempts: list[Attempt], *, w: WriteLevel = "one") -> None:
        """Write at a node; the checkers know of it."""
        await self.life._store(self.node(name), attempts, w)

    async def lose_disk(self, name: str) -> None:
        """A node is killed and starts with an empty disk."""
        node = self.node(name)
        await node.crash()
        disk = node.disk
        node.wipe()
        self.life.truth.lose(name, disk, self.cluster.disks())
        await node.start()

    def is_filled(self, name: str, spans: Spans) -> bool:
        """Whether a node claims to be filled for some codes."""
        return not subtract(spans, self.service(name)._parts.members.holding.filled.spans)

    async def ask(
        self,
        name: str,
        query: Query | None = None,
        *,
        streamed: bool = False,
        between: Between | None = None,
    ) -> str:
        """Ask a node, for everything where nothing else is said; returns the answer's state.

        Args:
            between: happens between the first and the second part of a stream.
        Raises:
            PromiseBroken: the answer is not what it says.
        """
        whole = query or Query(COLLECTION)
        return await self.life._ask(self.node(name), whole, streamed=streamed, between=between)

    def has(self, name: str, attempts: list[Attempt]) -> bool:
        """Whether a disk durably has any of these."""
        versions = self.life.truth.on_disk(self.node(name).disk)
        return any(versions.get(one.identity, -1) >= one.version for one in attempts)

    def report(self) -> list[object]:
        return [
            (
                node.name,
                f"{node.service.ring.digest():x}",
                subtract(
                    node.service._parts.members.holding.held,
                    node.service._parts.members.holding.filled.spans,
                ),
                node.service._parts.members.outstanding.counts(),
                node.service.hand_overs(),
                node.service.status().coverage.state,
            )
            for node in self.cluster.running()
            if node.service
        ] + self.life.unsettled()[:4]

    async def wait_settled(self) -> None:
        """Mend everything; in the end all is in its place.

        Raises:
            PromiseBroken: it does not come about.
        """
        self.cluster.network.heal()
        end = self.life.loop.time() + SETTLED_S
        while reasons := self.life.unsettled():
            if self.life.loop.time() > end:
                raise PromiseBroken(f"promise 3: not settled: {reasons[:4]}")
            await self.pass_time(0.1)
        for node in self.cluster.running():
            state = await self.life._ask(node, Query(COLLECTION))
            if state != "complete" and self.life.truth.acknowledged:
                raise PromiseBroken(f"{node.name} says {state} after everything has settled")

    def owner_everywhere(self, spans: Spans, owner: str) -> bool:
        return all(
            not subtract(spans, node.service.ring.owned(owner))
            for node in self.cluster.running()
            if node.service
        )


def _raise(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        raise task.exception()  # type: ignore[misc]


Story = Callable[[Stage], Coroutine[Any, Any, None]]


def play(
    story: Story,
    *,
    seed: int = 1,
    late: str = "",
    rules: Rules = ALL_RULES,
    replicas: int = 2,
    traffic: bool = True,
) -> Stage:
    """Tell a story on a cluster; afterwards everything settles and is complete.

    Args:
        late: a node that the story starts.
        traffic: clients write and read at random all the time.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        life = Life(loop, seed, Plan(settings=Settings(replicas=replicas)))
        life.cluster.rules = rules
        stage = Stage(life)

        async def main() -> None:
            for name, node in life.cluster.nodes.items():
                if name != late:
                    await node.start()
            if not late:
                await stage.wait(lambda: not life.unsettled())
            if traffic:
                stage._traffic = asyncio.create_task(stage.traffic())
            else:
                stage.cut()
            await asyncio.sleep(2)
            await story(stage)
            if stage._traffic is not None:
                stage._traffic.cancel()
                await asyncio.wait((stage._traffic,))
                _raise(stage._traffic)
                stage._traffic = None
            await stage.wait_settled()
            await life.cluster.stop()

        try:
            runner.run(main())
        except BaseException:
            print("\n".join(life.transcript[-80:]))
            raise
    return stage
