"""Speed of the pure layer: codes, covers, placement, merging. One core, no files, no network.

python bench/zring_core.py [--points 1000000] [--repeat 7] [--json]
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from zring.area import Area, Box, Circle, polygon_from_wkt
from zring.cover import cover
from zring.domain import DEMO_DOMAIN, WORLD
from zring.morton import code_to_xy
from zring.placement import holder_map
from zring.ring import founding_ring, from_document, merge, to_document

BAR_POINTS_PER_S = 10e6
BAR_COVER_US = 200.0
BAR_SMALL_COVER_US = 50.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; `ratio` is above 1 when it is better than the bar."""

    work: str
    ours: float
    unit: str
    bar: float | None
    ratio: float | None


def best_seconds(work: Callable[[], object], *, repeat: int, calls: int = 1) -> float:
    """The shortest time of one call: what the code costs when nothing else runs."""
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        times.append((time.perf_counter() - started) / calls)
    return min(times)


def point_figures(points: int, repeat: int) -> list[Figure]:
    """Positions to codes and codes to grid coordinates, in points per second."""
    rng = np.random.default_rng(1)
    lon = rng.integers(DEMO_DOMAIN.west, DEMO_DOMAIN.east, points).astype(np.int32)
    lat = rng.integers(DEMO_DOMAIN.south, DEMO_DOMAIN.north, points).astype(np.int32)
    codes = DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat)
    works: list[tuple[str, Callable[[], object]]] = [
        ("encode", lambda: DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat)),
        ("decode", lambda: code_to_xy(codes)),
    ]
    figures = []
    for name, work in works:
        rate = points / best_seconds(work, repeat=repeat)
        figures.append(Figure(name, rate, "points/s", BAR_POINTS_PER_S, rate / BAR_POINTS_PER_S))
    return figures


def cover_figures(repeat: int) -> list[Figure]:
    """Covers of boxes, circles and polygons, in microseconds."""
    areas: dict[str, Area] = {
        "box": Box.from_degrees(west=135.213, south=33.371, east=135.529, north=33.777),
        "circle": Circle.from_degrees(lon=135.5, lat=33.7, radius_m=20_000),
        "polygon": polygon_from_wkt(
            "POLYGON((135.1 33.2, 135.9 33.3, 135.8 34.1, 135.3 33.9, 135.1 33.2))"
        ),
    }
    figures = []
    for spans_max, bar in ((64, BAR_COVER_US), (8, BAR_SMALL_COVER_US)):
        for name, area in areas.items():

            def work(area: Area = area, spans_max: int = spans_max) -> object:
                return cover(DEMO_DOMAIN, area, spans_max=spans_max)

            us = best_seconds(work, repeat=repeat, calls=200) * 1e6
            figures.append(Figure(f"cover of {spans_max}, {name}", us, "us", bar, bar / us))
    return figures


def ring_figures(repeat: int) -> list[Figure]:
    """Placement, merging and documents, in milliseconds; only placement of four has a bar."""
    four = founding_ring("bench", DEMO_DOMAIN, 8, [f"n{index}" for index in range(4)])
    hundred = founding_ring("bench", DEMO_DOMAIN, 8, [f"n{index:03}" for index in range(100)])
    world = founding_ring("bench", WORLD, 16, [f"n{index:02}" for index in range(20)])
    document = to_document(hundred)
    other = hundred.assign(((0, 1 << 60),), owner="n000")
    works: list[tuple[str, Callable[[], object], int, float | None]] = [
        ("holder map, 4 quarters, level 8", lambda: holder_map(four), repeat, 5.0),
        ("holder map, 100 nodes, level 8", lambda: holder_map(hundred), repeat, None),
        ("holder map, 20 nodes, world, level 16", lambda: holder_map(world), 1, None),
        ("merge, 100 nodes", lambda: merge(hundred, other), repeat, None),
        ("read a ring document, 100 nodes", lambda: from_document(document), repeat, None),
    ]
    figures = []
    for name, work, times, bar in works:
        ms = best_seconds(work, repeat=times) * 1e3
        figures.append(Figure(name, ms, "ms", bar, None if bar is None else bar / ms))
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    figures = [
        *point_figures(options.points, options.repeat),
        *cover_figures(options.repeat),
        *ring_figures(options.repeat),
    ]
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures]))
        return
    print(f"{'work':40} {'ours':>14}  {'bar':>12}  ratio")
    for figure in figures:
        bar = "" if figure.bar is None else f"{figure.bar:,.0f}"
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        print(f"{figure.work:40} {figure.ours:14,.1f}  {bar:>12}  {ratio:5} {figure.unit}")


if __name__ == "__main__":
    main()
