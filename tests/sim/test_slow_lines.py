"""Sites on radio and satellite lines: 128 kbit/s, a second of delay, 5 % of packets lost."""

import pytest

from tests.sim.lines import Line
from tests.sim.loop import VirtualLoop
from tests.sim.slow_sites import WINDOW_S, Recovery, SlowSites, played, recover

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
