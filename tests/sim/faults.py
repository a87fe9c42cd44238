"""What breaks and what changes during a life: one table, one function for each kind."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Protocol

from node.errors import NodeError
from node.protocol.planning import PlanRequest
from tests.sim.cluster import SimulatedCluster, SimulatedNode
from tests.sim.network import Weather
from tests.sim.truth import COLLECTION, Truth
from zring.area import Box
from zring.errors import ZringError

CLOCK_JUMPS_US = (-600_000_000, 600_000_000, 7_200_000_000)
"""A clock is ten minutes off, one way or the other, or is set to the next day (it is late in the
evening when lives begin)."""
KEEP_DAYS = (1_120, 1_150)
"""Between these many days are kept: some or most of the days that records are of."""
FULL_DISK_BYTES = 0
"""What a full disk still takes."""
CHANGES_MAX = 4
"""Changes of the ring in one life: more would only follow each other unseen."""
NEWCOMERS_MAX = 2
ARCHIVE_SHARE = 0.2
"""Nodes that join as archives."""


class Life(Protocol):
    """What faults need of the life that they happen in."""

    cluster: SimulatedCluster
    truth: Truth
    rng: Random

    def note(self, words: str, *, kind: str | None = None) -> None:
        """Write a line of the transcript."""

    def begin(self, node: SimulatedNode, dice: int, request: PlanRequest) -> None:
        """Plan and commit a change of the ring at a node, in the background."""


class Faults:
    """Breaks and mends; which kind comes next is the life's choice."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.changes = 0

    async def one(self) -> None:
        """Something happens, if it can."""
        rng = self._life.rng
        kinds = [kind for kind, weight in KINDS.items() for _ in range(weight)]
        await KIND_METHODS[rng.choice(kinds)](self)

    @property
    def _nodes(self) -> list[SimulatedNode]:
        return list(self._life.cluster.nodes.values())

    def _a_running(self) -> SimulatedNode | None:
        running = self._life.cluster.running()
        return self._life.rng.choice(running) if running else None

    async def crash(self) -> None:
        """A process is killed."""
        node = self._a_running()
        if node is not None:
            self._life.note(f"crash {node.name}", kind="crash")
            await node.crash()

    async def start(self) -> None:
        """A node that is down starts again."""
        down = [node for node in self._nodes if not node.up and not node.starting]
        if down:
            node = self._life.rng.choice(down)
            self._life.note(f"start {node.name}", kind="start")
            node.start_soon()

    async def split(self) -> None:
        """Two sides cannot reach each other."""
        rng, names = self._life.rng, sorted(self._life.cluster.nodes)
        rng.shuffle(names)
        cut = rng.randint(1, len(names) - 1)
        self._life.note(f"split {sorted(names[:cut])} from {sorted(names[cut:])}", kind="split")
        self._life.cluster.network.split(names[:cut], names[cut:])

    async def isolate(self) -> None:
        """One node is cut off."""
        names = sorted(self._life.cluster.nodes)
        alone = self._life.rng.choice(names)
        self._life.note(f"isolate {alone}", kind="isolate")
        self._life.cluster.network.split([alone], [name for name in names if name != alone])

    async def one_way(self) -> None:
        """Everything from one node to another is lost."""
        source, target = self._life.rng.sample(sorted(self._life.cluster.nodes), 2)
        self._life.note(f"lose {source} to {target}", kind="one-way")
        self._life.cluster.network.block([source], [target])

    async def storm(self) -> None:
        """Slow, lossy, with duplicates."""
        self._life.note("storm", kind="storm")
        self._life.cluster.network.weather = Weather(
            delay_ms=30.0, slow_share=0.1, slow_ms=1_500.0, loss=0.1, duplicates=0.1
        )

    async def crawl(self) -> None:
        """What two nodes say to each other takes more than a second."""
        pair = self._life.rng.sample(sorted(self._life.cluster.nodes), 2)
        self._life.note(f"slow between {pair[0]} and {pair[1]}", kind="crawl")
        self._life.cluster.network.slow_down(*pair)

    async def heal(self) -> None:
        """Every link works again."""
        self._life.note("heal", kind="heal")
        self._life.cluster.network.heal()

    async def wipe(self) -> None:
        """A node loses its disk and starts with an empty one."""
        node = self._a_running()
        if node is None:
            return
        await node.crash()
        disk = node.disk
        node.wipe()
        lost = self._life.truth.lose(node.name, disk, self._life.cluster.disks())
        self._life.note(f"wipe {node.name}, {lost} versions were nowhere else", kind="wipe")
        node.start_soon()

    async def restore(self) -> None:
        """An old image of a node's disk is put back."""
        node = self._a_running()
        if node is None:
            return
        await node.crash()
        disk = node.disk
        node.restore_image()
        lost = self._life.truth.lose(node.name, disk, self._life.cluster.disks())
        self._life.note(f"restore {node.name}, {lost} versions were nowhere else", kind="restore")
        node.start_soon()

    async def image(self) -> None:
        """Somebody takes an image of a node's disk."""
        node = self._a_running()
        if node is not None:
            self._life.note(f"image of {node.name}", kind="image")
            node.take_image()

    async def full_disk(self) -> None:
        """A disk takes nothing more; or takes records again."""
        node = self._life.rng.choice(self._nodes)
        node.disk.bytes_max = None if node.disk.bytes_max is not None else FULL_DISK_BYTES
        self._life.note(f"disk of {node.name} takes {node.disk.bytes_max}", kind="full disk")

    async def clock(self) -> None:
        """A wall clock jumps."""
        # One clock at most is on another day: the day follows the middle of all clocks.
        node, jump = self._life.rng.choice(self._nodes), self._life.rng.choice(CLOCK_JUMPS_US)
        if jump == CLOCK_JUMPS_US[-1]:
            node = self._nodes[0]
            jump -= node.clock.skew_us
        node.jump_clock(jump)
        self._life.note(f"clock of {node.name} jumps {jump} us", kind="clock")

    async def newcomer(self) -> None:
        """A machine is set up; it asks the others for the ring and owns nothing."""
        cluster = self._life.cluster
        if len(cluster.nodes) - len(cluster.names) < NEWCOMERS_MAX:
            node = cluster.add(f"n{len(cluster.nodes) + 1}")
            self._life.note(f"newcomer {node.name}", kind="newcomer")
            node.start_soon()

    async def change(self) -> None:
        """Somebody changes the ring at some node, whatever side of a split it is on."""
        rng, node = self._life.rng, self._a_running()
        if node is None or node.service is None or self.changes >= CHANGES_MAX:
            return
        self.changes += 1
        request = self._request(rng, node)
        words = f"{request.kind} {request.node}".strip()
        kind = "keep" if request.keep_days else request.kind
        self._life.note(f"{node.name} is asked to {words}", kind=kind)
        self._life.begin(node, rng.getrandbits(64), request)

    async def abort(self) -> None:
        """Somebody stops all moves."""
        node = self._a_running()
        if node is not None and node.service is not None:
            self._life.note(f"abort at {node.name}", kind="abort")
            node.call(_quietly(node.service.plans.abort))

    def _request(self, rng: Random, node: SimulatedNode) -> PlanRequest:
        assert node.service is not None
        ring = node.service.ring
        outside = [one.name for one in self._nodes if one.up and one.name not in ring.owners()]
        kind: Any = rng.choice(
            ("join", "join", "join", "leave", "remove", "assign", "rebalance", "keep")
        )
        if kind == "keep":
            return PlanRequest("settings", keep_days={COLLECTION: rng.randint(*KEEP_DAYS)})
        if kind == "join":
            if outside:
                archive = rng.random() < ARCHIVE_SHARE
                node_id = rng.choice(outside)
                return PlanRequest("join", node_id, policy="halve", archive=archive)
            return PlanRequest("settings", replicas=rng.randint(0, 3))
        owner = rng.choice(ring.owners())
        if kind == "assign":
            domain = ring.domain
            west, east = sorted(rng.randint(domain.west, domain.east) for _ in range(2))
            south, north = sorted(rng.randint(domain.south, domain.north) for _ in range(2))
            return PlanRequest("assign", owner, box=Box(west, south, east, north))
        if kind == "rebalance":
            return PlanRequest("rebalance")
        return PlanRequest(kind, owner, accept_loss=True)


async def _quietly(work: Callable[[], Awaitable[Any]]) -> None:
    try:
        await work()
    except (NodeError, ZringError):
        return


KINDS = {
    "crash": 2, "start": 4, "split": 1, "isolate": 1, "one way": 1, "storm": 1, "crawl": 1,
    "heal": 4,
    "wipe": 1, "restore": 1, "image": 1, "full disk": 1, "clock": 1,
    "newcomer": 1, "change": 2, "abort": 1,
}  # fmt: skip
"""Kind → how often it comes, relative to the others."""
KIND_METHODS: dict[str, Callable[[Faults], Awaitable[None]]] = {
    "crash": Faults.crash,
    "start": Faults.start,
    "split": Faults.split,
    "isolate": Faults.isolate,
    "one way": Faults.one_way,
    "storm": Faults.storm,
    "crawl": Faults.crawl,
    "heal": Faults.heal,
    "wipe": Faults.wipe,
    "restore": Faults.restore,
    "image": Faults.image,
    "full disk": Faults.full_disk,
    "clock": Faults.clock,
    "newcomer": Faults.newcomer,
    "change": Faults.change,
    "abort": Faults.abort,
}
