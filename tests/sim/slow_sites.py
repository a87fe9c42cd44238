"""Twenty sites and a hub over slow lines: the real node code, hours of virtual time.

The hub is an archive: it owns nothing and holds everything. `python -m tests.sim.slow_sites`
prints the figures; the tests keep to the bars.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from node.config import WAN, MoverSettings
from node.records import Rows, concat_rows
from node.service.service import Service
from node.storage.engine import Scan
from tests.sim.cluster import GRAIN_LEVEL, SimulatedCluster
from tests.sim.lines import Star
from tests.sim.loop import VirtualClock, VirtualLoop
from zring.morton import CODE_BITS
from zring.settings import Settings

COLLECTION = "weather"
MINUTE_US = 60_000_000
DAY_S = 86_400
MOVING = ("copy", "digests", "offer")
"""Kinds of messages that the link's rate is promised for."""
WINDOW_S = 60.0
WAIT_S_MAX = 1_800.0


@dataclass(slots=True)
class SlowSites:
    """A running star.

    Attributes:
        stations: of each site; one reading a minute each.
    """

    loop: VirtualLoop
    sites: int = 20
    stations: int = 10
    seed: int = 1
    bytes_per_s_max: int = 8_000
    cluster: SimulatedCluster = field(init=False)
    star: Star = field(init=False)
    names: list[str] = field(init=False)
    hub: str = field(init=False)
    written: int = 0
    newest_us: int = 0

    def __post_init__(self) -> None:
        self.cluster = SimulatedCluster(
            self.loop,
            Random(self.seed),
            nodes=self.sites + 1,
            settings=Settings(replicas=2, archives=(f"n{self.sites + 1}",)),
            link=WAN,
            mover=MoverSettings(link_bytes_per_s_max=self.bytes_per_s_max),
            step_rows_max=5_000,
        )
        *self.names, self.hub = self.cluster.names
        self.cluster.seeds = (self.hub,)
        self.star = Star(frozenset(self.names), Random(self.seed + 1))
        self.cluster.network.star = self.star

    def service(self, name: str) -> Service:
        """A running node's service."""
        service = self.cluster.nodes[name].service
        assert service is not None
        return service

    async def start(self) -> None:
        """Everybody knows everybody, and answers are complete."""
        await self.cluster.start()
        await self.wait(
            lambda: all(
                self.service(name).status().coverage.state == "complete"
                for name in self.cluster.names
            )
        )

    async def wait(self, condition: Callable[[], bool]) -> float:
        """Virtual seconds until it holds."""
        began_s = self.loop.time()
        while not condition():
            assert self.loop.time() < began_s + WAIT_S_MAX, "it never came true"
            await asyncio.sleep(1)
        return self.loop.time() - began_s

    async def observe(self, minutes: int, *, every: int) -> None:
        """Minutes pass; every so many of them the sites store what was observed since."""
        for _ in range(minutes // every):
            await asyncio.sleep(60 * every)
            now_min = VirtualClock(self.loop).now_us() // MINUTE_US
            self.newest_us = (now_min - 1) * MINUTE_US
            for name in self.names:
                rows = self._readings(name, range(now_min - every, now_min))
                self.written += len(rows)
                node = self.cluster.nodes[name]
                node.call(self.service(name).write(COLLECTION, rows, "one", 60_000))

    def cut(self) -> None:
        """Nobody reaches the hub any more."""
        self.cluster.network.split([self.hub], self.names)

    def newest_at_hub(self) -> Mapping[str, int]:
        """Site → time of its newest reading that the hub has."""
        newest: dict[str, int] = {}
        rows = self._rows(self.hub)
        for sensor, time_us in zip(rows.sensor.to_pylist(), rows.time.tolist(), strict=True):
            site = sensor.partition("-")[0]
            newest[site] = max(time_us, newest.get(site, 0))
        return newest

    def records_at(self, name: str) -> int:
        """How many a node has."""
        return self.service(name).engine.statistics().records

    def bytes_a_day(self, *, since_s: float) -> Mapping[str, float]:
        """Node → what it sent and received, as bytes a day."""
        share = DAY_S / (self.loop.time() - since_s)
        names = self.cluster.names
        return {name: self.star.bytes_of(name, since_s=since_s) * share for name in names}

    def fastest(self) -> float:
        """Bytes a second of the mover and live copies, in the worst window of any link."""
        names = self.cluster.names
        return max(
            self.star.most_in(WINDOW_S, source, target, kinds=MOVING) / WINDOW_S
            for source in names
            for target in names
            if source != target
        )

    def _rows(self, name: str) -> Rows:
        found = []
        after = None
        while True:
            step = self.service(name).engine.scan(Scan(COLLECTION), after=after)
            found.append(step.rows)
            after = step.resume
            if after is None:
                return concat_rows(found)

    def _readings(self, name: str, minutes: range) -> Rows:
        """What a site observed in these minutes, in its own area."""
        domain, count = self.cluster.domain, self.stations * len(minutes)
        start, stop = self.service(name).ring.owned(name)[0]
        shift = CODE_BITS - 2 * GRAIN_LEVEL
        cells = range(start >> shift, stop >> shift)
        lon, lat = np.empty(self.stations, np.int32), np.empty(self.stations, np.int32)
        for index in range(self.stations):
            cell = cells[index % len(cells)]
            west, south, east, north = domain.cell_bounds(level=GRAIN_LEVEL, index=cell)
            share = (index + 1) / (self.stations + 1)
            lon[index] = west + int((east - west) * share)
            lat[index] = south + int((north - south) * share)
        station = np.tile(np.arange(self.stations), len(minutes))
        rng = np.random.default_rng(minutes.start)
        return Rows.build(
            time=np.repeat(np.array(minutes, np.int64) * MINUTE_US, self.stations),
            lon=lon[station],
            lat=lat[station],
            code=domain.positions_to_codes(lon=lon[station], lat=lat[station]),
            sensor=pa.array([f"{name}-{index}" for index in station.tolist()]),
            version=np.zeros(count, np.int64),
            values={
                "temp": pa.array(np.round(rng.normal(20, 5, count), 1)),
                "wind": pa.array(np.round(rng.gamma(2, 2, count), 1)),
                "rain_1h": pa.array(np.round(rng.exponential(0.2, count), 1)),
            },
        )


@dataclass(frozen=True, slots=True)
class Recovery:
    """What followed the end of a cut.

    Attributes:
        newest_s: seconds until the hub had each site's newest reading of before the end.
        drained_s: seconds until it had everything.
        left: records that it still lacked when it had the newest ones.
    """

    newest_s: Mapping[str, float]
    drained_s: float
    left: int


async def recover(sites: SlowSites, *, minutes: int, every: int) -> Recovery:
    """Cut the hub off while the sites observe; the newest readings come first afterwards."""
    sites.cut()
    await sites.observe(minutes, every=every)
    await asyncio.sleep(30)
    wanted = sites.newest_us
    began_s = sites.loop.time()
    sites.cluster.network.heal()
    newest_s: dict[str, float] = {}
    left = 0
    while sites.records_at(sites.hub) < sites.written:
        assert sites.loop.time() < began_s + WAIT_S_MAX, "it never arrives"
        for name, time_us in sites.newest_at_hub().items():
            if time_us >= wanted and name not in newest_s:
                newest_s[name] = sites.loop.time() - began_s
                left = sites.written - sites.records_at(sites.hub)
        await asyncio.sleep(1)
    for name in sites.names:
        newest_s.setdefault(name, sites.loop.time() - began_s)
    return Recovery(newest_s, sites.loop.time() - began_s, left)


def played(story: Callable[[VirtualLoop], Coroutine[Any, Any, Any]]) -> Any:
    """Tell a story on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(story(loop))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.slow_sites", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sites", type=int, default=20)
    parser.add_argument("--idle-min", type=int, default=60)
    parser.add_argument("--cut-min", type=int, default=120)
    parser.add_argument("--rate", type=int, default=8_000, help="mover.link_bytes_per_s_max")
    parser.add_argument("--stations", type=int, default=10)
    given = parser.parse_args()
    cpu_s = time.process_time()

    async def story(loop: VirtualLoop) -> None:
        sites = SlowSites(
            loop, sites=given.sites, stations=given.stations, seed=given.seed,
            bytes_per_s_max=given.rate,
        )  # fmt: skip
        await sites.start()
        print(f"all answers complete after {loop.time():.0f} s")
        began_s, opened = loop.time(), sites.star.connections_opened
        if given.idle_min:
            await asyncio.sleep(60 * given.idle_min)
            a_day = sites.bytes_a_day(since_s=began_s)
            print(
                f"idle, MB a day: mean {np.mean(list(a_day.values())) / 1e6:.1f}, "
                f"most {max(a_day.values()) / 1e6:.1f}, hub {a_day[sites.hub] / 1e6:.1f}; "
                f"connections opened {sites.star.connections_opened - opened}"
            )
            kinds: Counter[str] = Counter()
            for sent in sites.star.log:
                kinds[sent.kind] += sent.count * (sent.end_s >= began_s)
            print(f"idle, bytes by kind: {dict(kinds)}")
        if given.cut_min:
            found = await recover(sites, minutes=given.cut_min, every=10)
            times = sorted(found.newest_s.values())
            print(
                f"after a cut of {given.cut_min} min, {sites.written} records: newest at the hub "
                f"after {times[len(times) // 2]:.0f} s (median), {times[-1]:.0f} s (last); then "
                f"{found.left} records were left; all there after {found.drained_s:.0f} s"
            )
            print(
                f"link rate: {sites.fastest():.0f} of {given.rate} bytes/s in any {WINDOW_S:.0f} s"
            )
        await sites.cluster.stop()

    played(story)
    print(f"CPU {time.process_time() - cpu_s:.1f} s")


if __name__ == "__main__":
    main()
