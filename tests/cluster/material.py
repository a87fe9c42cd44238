"""What the tests put into clusters, and where these stand."""

import os
import socket
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa

from ingest.demo.nodes import NodePlace
from node.client import Client

NAMES = ("sw", "nw", "se", "ne")
DAY_US = 86_400_000_000
START_US = 1_688_169_600_000_000
"""2023-07-01T00:00:00Z"""
PORTS = range(10_000, 32_000)
"""Below those that Linux gives to outgoing connections (from 32768 on): while a process under test
is down, no connection of another one may take its port."""
_turns = count(os.getpid() * 1_009)
"""Test processes that run side by side begin at places of their own."""


def free_ports(wanted: int) -> list[int]:
    """Ports that nobody listens on now, all different, and none that was given before."""
    found: list[int] = []
    while len(found) < wanted:
        port = PORTS[next(_turns) % len(PORTS)]
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        found.append(port)
    return found


def make_places(folder: Path) -> list[NodePlace]:
    """Four founders below a folder, on free ports."""
    ports = free_ports(2 * len(NAMES))
    return [
        NodePlace(name, ports[index], ports[index + len(NAMES)], folder / name)
        for index, name in enumerate(NAMES)
    ]


def make_records(
    count: int, *, seed: int, sensors: int = 200, west: float = 135.0, south: float = 33.0
) -> pa.Table:
    """Records of fixed sensors within one day, up to (136.6, 34.6); no identity comes twice."""
    rng = np.random.default_rng(seed)
    sensor = rng.integers(0, sensors, count)
    lon = west + (136.6 - west) * ((sensor * 0.618034) % 1.0)
    lat = south + (34.6 - south) * ((sensor * 0.414214) % 1.0)
    step_us = DAY_US // count
    return pa.table(
        {
            "sensor": pa.array([f"s{number}" for number in sensor.tolist()]),
            "time": pa.array(START_US + step_us * np.arange(count)).view(
                pa.timestamp("us", tz="UTC")
            ),
            "lon": pa.array(np.round(lon, 6)),
            "lat": pa.array(np.round(lat, 6)),
            "temp": pa.array(np.round(rng.normal(20, 8, count), 1)),
        }
    )


def counter(url: str, name: str) -> float:
    """The sum of all lines of a metric at one node; 0 where there is none."""
    with Client(url, direct=True) as one:
        return counter_in(one.metrics(), name)


def counter_in(metrics: str, name: str) -> float:
    """The same in what a node has answered."""
    lines = [line for line in metrics.splitlines() if not line.startswith("#")]
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name
    )
