"""After a heal, how soon all members have the same ring, when both sides have changed it."""

import asyncio
from random import Random

import pytest

from node.config import LAN
from tests.sim.cluster import SimulatedCluster
from tests.sim.loop import VirtualLoop
from tests.sim.network import Weather
from zring.morton import CODE_STOP
from zring.settings import Settings

NODES = 9
EXCHANGE_S = 0.5
"""One more request and its answer, a slow one."""
BAR_S = 3 * LAN.period_ms / 1_000 + EXCHANGE_S


async def seconds_to_agree(loop: VirtualLoop, seed: int) -> float:
    """Split, change the ring on both sides, heal; how long the rings differ afterwards."""
    rng = Random(seed)
    cluster = SimulatedCluster(loop, rng, nodes=NODES, settings=Settings(replicas=2))
    await cluster.start()
    await asyncio.sleep(5)
    names = list(cluster.names)
    rng.shuffle(names)
    left, right = names[: rng.randint(1, NODES // 2)], []
    right = [name for name in names if name not in left]
    cluster.network.split(left, right)
    await asyncio.sleep(rng.uniform(30, 40))
    for side, (start, stop) in ((left, (0, 1)), (right, (1, 2))):
        node = cluster.nodes[rng.choice(side)].service
        assert node is not None
        holding = node._parts.members.holding
        spans = ((start * CODE_STOP // 16, stop * CODE_STOP // 16),)
        await holding.change(holding.ring.assign(spans, owner=side[-1]))
    await asyncio.sleep(10)
    assert len(rings(cluster)) == 2, "each side agrees on a ring of its own"
    cluster.network.heal()
    cluster.network.weather = Weather()
    healed_s = loop.time()
    while len(rings(cluster)) > 1:
        assert loop.time() < healed_s + 60
        await asyncio.sleep(0.05)
    took_s = loop.time() - healed_s
    await cluster.stop()
    return took_s


def rings(cluster: SimulatedCluster) -> set[int]:
    """Digests of the rings in force."""
    return {node.service.ring.digest() for node in cluster.running() if node.service is not None}


def agree(seed: int) -> float:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(seconds_to_agree(loop, seed))


@pytest.mark.parametrize("seed", range(1, 5))
def test_rings_are_equal_three_periods_and_an_exchange_after_a_heal(seed: int) -> None:
    took_s = agree(seed)
    assert took_s <= BAR_S, took_s
