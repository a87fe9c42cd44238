"""A life of a cluster, decided by one seed: writes, reads, crashes, partitions; then peace.

Every answer is checked when it is given. At the end everything is healed and started, and the
promise of the last fault is checked: every record is on every holder, and answers are complete.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random

from node.errors import NodeError
from node.protocol.coverage import is_acceptable
from node.protocol.expiry import kept_from_us
from node.protocol.planning import PlanRequest
from node.query import Answer, Query, WriteLevel
from node.records import concat_rows
from node.service.service import Service
from node.storage.bucket_digests import DAY_US
from tests.sim.cluster import SimulatedCluster, SimulatedNode
from tests.sim.faults import Faults
from tests.sim.holder_maps import share, shared_holder_map
from tests.sim.loop import VirtualClock, VirtualLoop
from tests.sim.plan import Plan, drawn_plan
from tests.sim.truth import COLLECTION, Attempt, Identity, PromiseBroken, Truth, below_filter
from zring.area import Box
from zring.errors import ZringError

LEVELS: tuple[WriteLevel, ...] = ("one", "quorum", "all")
RECORDS_PER_WRITE_MAX = 6
REASONS_SHOWN = 4
STREAM_PAGE_ROWS = 5
STREAMED_SHARE = 0.4
"""Queries without a limit that are answered in parts."""
READ_AFTER_SHARE = 0.5
"""Faults right after which somebody asks for everything."""
ACCEPT_LOSS_S = 20.0
"""Nodes look for a filled holder this long before somebody gives up what only lost disks had."""
FORCED_SHARE = 0.5
"""Changes of the ring that somebody forces in spite of objections."""
TIME_START = 1_600_000_000_000_000
TIME_WIDTH = 40 * 86_400 * 1_000_000

Between = Callable[[], Awaitable[None]]
"""What happens in the middle of a stream."""


@dataclass(slots=True)
class Outcome:
    """What happened: the transcript's digest, and how often what was done."""

    digest: str
    counts: dict[str, int]
    virtual_s: float


@dataclass(slots=True)
class Life:
    """One run."""

    loop: VirtualLoop
    seed: int
    plan: Plan
    cluster: SimulatedCluster = field(init=False)
    truth: Truth = field(init=False)
    rng: Random = field(init=False)
    transcript: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    _faults: Faults = field(init=False)
    _version: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Choices and the network's dice are separate, so that a longer transcript of the one
        # does not change the other.
        self.rng = Random(f"{self.seed} choices")
        share()
        self.cluster = SimulatedCluster(
            self.loop,
            Random(f"{self.seed} network"),
            nodes=self.plan.nodes,
            settings=self.plan.settings,
            rules=self.plan.rules,
        )
        self.truth = Truth(self.cluster.domain)
        self.cluster.ring_seen = self.truth.see_ring
        self._faults = Faults(self)

    async def run(self) -> Outcome:
        """Live and be checked.

        Raises:
            PromiseBroken: a checker found something.
        """
        await self.cluster.start()
        for _ in range(self.plan.steps):
            await self._act()
            self.truth.check_disks(self.cluster.disks())
            await asyncio.sleep(self.rng.uniform(0, self.plan.pause_ms) / 1_000)
            self._raise_failures()
        await self._make_peace()
        await self.cluster.stop()
        digest = hashlib.sha256("\n".join(self.transcript).encode()).hexdigest()[:16]
        return Outcome(digest, dict(sorted(self.counts.items())), self.loop.time())

    async def _act(self) -> None:
        if self.rng.random() < self.plan.faults:
            await self._faults.one()
            if self.rng.random() < READ_AFTER_SHARE:
                self._look()
            return
        running = self.cluster.running()
        if not running:
            return
        node = self.rng.choice(running)
        act = self._write if self.rng.random() < 0.6 else self._read
        self._tasks.append(node.call(act(node, self.rng.getrandbits(64))))

    def _look(self) -> None:
        """Somebody asks for everything."""
        running = self.cluster.running()
        if running:
            node = self.rng.choice(running)
            self._tasks.append(node.call(self._whole(node)))

    async def _whole(self, node: SimulatedNode) -> None:
        await self._ask(node, Query(COLLECTION, timeout_ms=6_000))

    async def _write(self, node: SimulatedNode, dice: int) -> None:
        rng = Random(dice)
        attempts = [self._attempt(rng) for _ in range(rng.randint(1, RECORDS_PER_WRITE_MAX))]
        attempts = list({attempt.identity: attempt for attempt in attempts}.values())
        await self._store(node, attempts, rng.choice(LEVELS))

    async def _store(self, node: SimulatedNode, attempts: list[Attempt], w: WriteLevel) -> None:
        rows = self.truth.attempt(attempts)
        assert node.service is not None
        try:
            reply = await node.service.write(COLLECTION, rows, w, 5_000)
        except NodeError as error:
            self.note(f"{node.name} write w={w} {len(rows)} refused: {type(error).__name__}")
            return
        if reply.stored < len(rows):
            self.note(f"{node.name} write w={w} {len(rows)} partly: {reply}")
            return
        self.note(f"{node.name} write w={w} {len(rows)}: {reply}")
        self.truth.acknowledge(
            attempts,
            w,
            reply,
            self.cluster.disks(),
            at_us=self._now_us(),
            spreads=self.cluster.spreads,
        )

    async def _read(self, node: SimulatedNode, dice: int) -> None:
        rng = Random(dice)
        query = self._query(rng)
        streamed = query.limit is None and rng.random() < STREAMED_SHARE
        await self._ask(node, query, streamed=streamed)

    async def _ask(
        self,
        node: SimulatedNode,
        query: Query,
        *,
        streamed: bool = False,
        between: Between | None = None,
    ) -> str:
        assert node.service is not None
        before = self.truth.where(self.cluster.disks())
        expired_us = kept_from_us(node.service.ring.settings, COLLECTION)
        try:
            if streamed:
                answer = await _streamed(node.service, query, between)
            else:
                answer = await node.service.read(query)
        except NodeError as error:
            self.note(f"{node.name} read failed: {type(error).__name__}")
            return "failed"
        state = answer.coverage.state
        self.note(
            f"{node.name} read {len(answer.rows)} rows {state} away={sorted(answer.coverage.away)}"
            f" as of {answer.coverage.as_of}",
            kind=f"read {state}",
        )
        if node.fresh and set(answer.coverage.away) != set(node.service.ring.members()) - {
            node.name
        }:
            node.fresh = False
        self.truth.check_disks(self.cluster.disks())
        if not node.fresh:
            members = frozenset(node.service.ring.members()) | {node.name}
            contact = node.service._parts.members.view().standing.contact
            self.truth.check(
                query,
                answer,
                skew_us=max(node.skews_us),
                members=members,
                before=before,
                strangers=frozenset(self.cluster.nodes) - members - contact,
                expired_us=expired_us,
            )
        return state

    def begin(self, node: SimulatedNode, dice: int, request: PlanRequest) -> None:
        """Plan and commit a change of the ring at a node, in the background."""
        self._tasks.append(node.call(self._change(node, Random(dice), request)))

    async def _change(self, node: SimulatedNode, rng: Random, request: PlanRequest) -> None:
        assert node.service is not None
        plans = node.service.plans
        if request.keep_days:
            self.truth.may_expire(self._kept_from_us(request.keep_days[COLLECTION]))
        try:
            plan = (await plans.make(request)).plan
            await asyncio.sleep(rng.uniform(0, 0.2))
            ring = await plans.commit(plan, force=rng.random() < FORCED_SHARE)
        except (NodeError, ZringError) as error:
            self.note(f"{node.name} {request.kind} refused: {error}", kind="change refused")
            return
        self.note(f"{node.name} {request.kind} committed: ring {ring.digest():016x}", kind="commit")

    async def _make_peace(self) -> None:
        """Mend everything; then all records reach all holders, and answers are complete."""
        self.note("peace")
        cluster = self.cluster
        cluster.network.heal()
        for node in cluster.nodes.values():
            node.disk.bytes_max = None
            if not node.up and not node.starting:
                node.start_soon()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._raise_failures()
        end_s = self.loop.time() + self.plan.settle_s
        await self._settle(end_s)
        # Who was cut off a moment ago may find it out only now.
        while unsure := await self._unsure():
            if self.loop.time() > end_s:
                raise PromiseBroken(f"{unsure} after everything has settled")
            await asyncio.sleep(1.0)
            await self._settle(end_s)

    async def _settle(self, end_s: float) -> None:
        """Wait until everything is in its place, while somebody goes on asking."""
        cluster = self.cluster
        accept_s = self.loop.time() + ACCEPT_LOSS_S
        while reasons := self.unsettled():
            if self.truth.wiped and self.loop.time() > accept_s:
                await self._accept_loss()
                accept_s = end_s
            if self.loop.time() > end_s:
                for node in cluster.running():
                    self.note(node.state(), kind="state")
                raise PromiseBroken(
                    f"promise 3: not settled after {self.plan.settle_s} s: "
                    + "; ".join(reasons[:REASONS_SHOWN])
                )
            self._look()
            await asyncio.sleep(1.0)
            self._raise_failures()
            self.truth.check_disks(cluster.disks())
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._raise_failures()
        self.note(f"settled with {len(self.truth.acknowledged)} records")

    async def _unsure(self) -> str:
        """Which node does not call its answer complete; "" for none."""
        for node in self.cluster.running():
            state = await self._ask(node, Query(COLLECTION))
            if state != "complete" and self.truth.acknowledged:
                return f"{node.name} says {state}"
        return ""

    async def _accept_loss(self) -> None:
        """What a person does where the disks of all filled holders of an area were lost."""
        for node in self.cluster.running():
            assert node.service is not None
            spans = await node.service.accept_loss()
            if spans:
                self.note(f"loss accepted at {node.name}: {spans}", kind="loss accepted")

    def unsettled(self) -> list[str]:
        """What is not as it must be in the end: rings, moves, records, words."""
        nodes = self.cluster.nodes
        waiting = [f"{name} does not run" for name, node in nodes.items() if node.service is None]
        if waiting:
            return waiting
        services = {name: node.service for name, node in nodes.items() if node.service}
        digests = {service.ring.digest() for service in services.values()}
        if len(digests) > 1:
            return [f"{len(digests)} different rings"]
        ring = next(iter(services.values())).ring
        moving = [f"{span} is on its way" for span in ring.spans if span.next is not None]
        if moving:
            return moving
        self.truth.check_disks(self.cluster.disks())
        misplaced = self.truth.misplaced(self.cluster.disks(), shared_holder_map(ring))
        if misplaced:
            return misplaced
        return [
            f"{name} says {service.coverage()}"
            for name, service in services.items()
            if service.coverage().state != "complete" or not service.is_settled()
        ]

    def _attempt(self, rng: Random) -> Attempt:
        self._version += 1
        if self.truth.attempts and rng.random() < 0.2:
            identity: Identity = rng.choice(sorted(self.truth.attempts))
            known = next(iter(self.truth.attempts[identity].values()))
            return Attempt(identity, known.lon, known.lat, self._version)
        domain = self.cluster.domain
        lon = rng.randint(domain.west, domain.east)
        lat = rng.randint(domain.south, domain.north)
        time = TIME_START + rng.randrange(TIME_WIDTH)
        code = domain.position_to_code(lon=lon, lat=lat)
        sensor = f"s{rng.randrange(20)}"
        return Attempt((sensor, time, code), lon, lat, self._version)

    def _query(self, rng: Random) -> Query:
        domain = self.cluster.domain
        west, east = sorted(rng.randint(domain.west, domain.east) for _ in range(2))
        south, north = sorted(rng.randint(domain.south, domain.north) for _ in range(2))
        start = TIME_START + rng.randrange(TIME_WIDTH)
        return Query(
            COLLECTION,
            area=None if rng.random() < 0.3 else Box(west, south, east, north),
            time_start=TIME_START if rng.random() < 0.5 else start,
            filter=below_filter(rng.randint(1, self._version + 1)) if rng.random() < 0.3 else None,
            limit=None if rng.random() < 0.6 else rng.randint(1, 20),
            timeout_ms=6_000,
        )

    def note(self, words: str, *, kind: str | None = None) -> None:
        self.transcript.append(f"{self.loop.time():.6f} {words}")
        key = kind or " ".join(words.split()[1:2]) or words
        self.counts[key] = self.counts.get(key, 0) + 1

    def _kept_from_us(self, days: int) -> int:
        """The first moment whose records are kept, by the true clock."""
        return (self._now_us() // DAY_US - days) * DAY_US

    def _now_us(self) -> int:
        """True time, on the scale of the nodes' clocks."""
        return VirtualClock(self.loop).now_us()

    def _raise_failures(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise task.exception()  # type: ignore[misc]
        self._tasks = [task for task in self._tasks if not task.done()]


async def _streamed(service: Service, query: Query, between: Between | None) -> Answer:
    """A stream as whoever reads it to its end takes it: by the word that it began with."""
    parts: list[Answer] = []
    async for part in service.stream(replace(query, limit=STREAM_PAGE_ROWS)):
        parts.append(part)
        if between is not None and len(parts) == 1:
            await between()
    first, last = parts[0].coverage, parts[-1].coverage
    said = first
    if is_acceptable(last.state, first.state):
        said = replace(last, as_of=first.as_of, away={**first.away, **last.away})
    rows = concat_rows([part.rows for part in parts])
    return Answer(rows, said, None, parts[-1].readers)


def live(seed: int, plan: Plan | None = None) -> tuple[Life, Outcome | BaseException]:
    """Run one seed on a loop of its own; what broke is returned, with the transcript."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        life = Life(loop, seed, plan or drawn_plan(seed))
        try:
            return life, runner.run(life.run())
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            return life, error
