"""Sites on radio and satellite lines: 128 kbit/s, a second of delay, 5 % of packets lost."""

import asyncio
from random import Random

import pytest

from node.config import LAN, Limits
from node.protocol.membership import Membership
from node.query import Answer, Query
from node.service.service import Service
from tests.sim.cluster import SimulatedCluster
from tests.sim.lines import Line, Star
from tests.sim.loop import VirtualLoop
from tests.sim.slow_sites import WINDOW_S, Recovery, SlowSites, played, recover
from tests.unit.node.service.conftest import make_rows
from zring.settings import Settings

NEWEST_S_MAX = 30
RATE = 2_000


def test_a_message_takes_the_lines_time_and_a_lost_packet_costs_time_only() -> None:
    async def story(loop: VirtualLoop) -> tuple[float, float]:
        sites = SlowSites(loop, sites=2)
        star = sites.star
        star.line = Line(loss=0.0, stall_share=0.0)
        began_s = loop.time()
        await star.request("n1", sites.hub, 8_000, kind="copy")
        to_hub_s = loop.time() - began_s
        star.line = Line(loss=0.9, stall_share=0.0)
        began_s = loop.time()
        await star.request("n1", "n2", 100, kind="copy")
        return to_hub_s, loop.time() - began_s

    to_hub_s, lossy_s = played(story)
    assert to_hub_s == pytest.approx(1.0 + 8_600 / 16_000, abs=0.05)
    assert lossy_s > 2 * 1.0 + 6.0


def test_after_a_cut_the_newest_readings_come_first_and_the_rate_is_kept() -> None:
    async def story(loop: VirtualLoop) -> tuple[Recovery, float]:
        sites = SlowSites(loop, sites=8, bytes_per_s_max=RATE)
        await sites.start()
        found = await recover(sites, minutes=40, every=10)
        fastest = sites.fastest()
        await sites.cluster.stop()
        return found, fastest

    found, fastest = played(story)
    times = sorted(found.newest_s.values())
    assert times[-1] <= NEWEST_S_MAX, found
    assert found.left > 0, "nothing was left that could have come first"
    assert fastest <= RATE, f"{fastest} bytes/s within {WINDOW_S} s"


def test_long_answers_over_a_slow_line_send_nobody_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each node's line carries 100 kB/s; an answer takes longer than probes and calls wait."""

    async def story(loop: VirtualLoop) -> tuple[Answer, set[str]]:
        cluster = SimulatedCluster(
            loop, Random(3), nodes=2, settings=Settings(replicas=0), step_rows_max=5_000,
            link=LAN, limits=Limits(),
        )  # fmt: skip
        await cluster.start()
        for seed in range(12):
            await service(cluster, "n1").write("weather", make_rows(2_000, seed), "all", 30_000)
        cluster.network.star = Star(
            frozenset(cluster.names), Random(4),
            Line(bytes_per_s=100_000, delay_s=0.02, loss=0.0, stall_share=0.0),
        )  # fmt: skip
        await asyncio.sleep(30)
        answering = loop.create_task(service(cluster, "n1").read(Query("weather")))
        missed = set[str]()
        while not answering.done():
            await asyncio.sleep(0.1)
            for name in cluster.names:
                missed.update(service(cluster, name).status().coverage.away)
        await cluster.stop()
        return answering.result(), missed

    answer, missed = played(story)
    assert not missed
    assert (len(answer.rows), answer.coverage.state) == (24_000, "complete")
    monkeypatch.setattr(Membership, "felt", lambda *_, **__: [])
    assert played(story)[1], "without the rule somebody is missed"


def service(cluster: SimulatedCluster, name: str) -> Service:
    """A running node's service."""
    found = cluster.nodes[name].service
    assert found is not None
    return found
