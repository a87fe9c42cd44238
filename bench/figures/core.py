"""Encode, decode and cover on one core."""

import time
from collections.abc import Callable

import numpy as np

from bench.finding import Finding
from bench.session import Session
from zring.area import Box
from zring.cover import cover
from zring.domain import Domain
from zring.morton import code_to_xy, xy_to_code

POINTS = 1_000_000
ROUNDS = 7
COVERS = 300
DOMAIN = Domain.from_degrees(west=135.0, south=33.0, east=136.6, north=34.6)


def run(session: Session) -> list[Finding]:
    """`python -m bench.zring_core` measures more of the same."""
    rng = np.random.default_rng(7)
    lon = rng.integers(DOMAIN.west, DOMAIN.east, POINTS)
    lat = rng.integers(DOMAIN.south, DOMAIN.north, POINTS)
    code = DOMAIN.positions_to_codes(lon=lon, lat=lat)
    x, y = code_to_xy(code)
    assert (xy_to_code(x, y) == code).all()
    encode = POINTS / _median_s(lambda: DOMAIN.positions_to_codes(lon=lon, lat=lat))
    decode = POINTS / _median_s(lambda: code_to_xy(code))
    boxes = [_box(rng) for _ in range(COVERS)]
    taken = np.array([_median_s(lambda box=box: cover(DOMAIN, box, spans_max=64)) for box in boxes])  # type: ignore[misc]
    median_us = float(np.median(taken)) * 1e6
    return [
        _points("encode positions", encode),
        _points("decode codes", decode),
        Finding(
            "core", "cover of a random box with at most 64 spans", median_us, "µs", "≤ 200 µs",
            median_us <= 200, details={"slowest of 300, µs": float(taken.max()) * 1e6},
        ),
    ]  # fmt: skip


def _points(work: str, rate: float) -> Finding:
    return Finding("core", work, rate, "points/s", "≥ 10 M/s a core", rate >= 10e6, better="higher")


def _median_s(call: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def _box(rng: np.random.Generator) -> Box:
    west, east = sorted(rng.integers(DOMAIN.west, DOMAIN.east, 2).tolist())
    south, north = sorted(rng.integers(DOMAIN.south, DOMAIN.north, 2).tolist())
    return Box(west, south, east + 1, north + 1)
