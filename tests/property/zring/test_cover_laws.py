"""Covers against brute force: a superset, bounded, never empty, and not wasteful for boxes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zring.area import Area, Box, Circle, InvalidArea, polygon_from_geojson
from zring.cover import cover
from zring.domain import DEMO_DOMAIN, WORLD, Domain
from zring.errors import OutsideDomain
from zring.morton import CODE_STOP
from zring.span import contains, length, normalise

domains = st.sampled_from([DEMO_DOMAIN, WORLD, Domain(-90, -50, 33, 71)])
fractions = st.floats(0, 1)
spans_max = st.sampled_from([1, 2, 3, 8, 64, 200])


def within(domain: Domain, x: float, y: float) -> tuple[int, int]:
    return (
        domain.west + round(x * (domain.east - domain.west)),
        domain.south + round(y * (domain.north - domain.south)),
    )


@st.composite
def areas(draw: st.DrawFn) -> tuple[Domain, Area]:
    """A domain and an area that overlaps it, from a point to everything."""
    domain = draw(domains)
    scale = draw(st.sampled_from([0.0, 1e-6, 1e-3, 0.05, 0.4, 1.0]))
    x, y, u, v = (draw(fractions) for _ in range(4))
    lon, lat = within(domain, x, y)
    kind = draw(st.sampled_from(["box", "circle", "polygon"]))
    if kind == "circle":
        span_m = (domain.north - domain.south) / 1e7 * 111_195
        return domain, Circle(lon=lon, lat=lat, radius_m=max(scale * u * span_m, 0.01))
    lon2, lat2 = within(domain, min(x + scale * u, 1), min(y + scale * v, 1))
    if kind == "box":
        return domain, Box(lon, lat, lon2, lat2)
    corners = [(lon, lat), (lon2, lat), (lon2, lat2), (lon, (lat + lat2) // 2)]
    ring = [[a / 1e7, b / 1e7] for a, b in [*corners, corners[0]]]
    try:
        return domain, polygon_from_geojson({"type": "Polygon", "coordinates": [ring]})
    except InvalidArea:  # a flat one
        return domain, Box(lon, lat, lon2, lat2)


def positions_in(domain: Domain, area: Area) -> "tuple[np.ndarray, np.ndarray]":  # type: ignore[type-arg]
    """Positions of the domain inside the area: at random within its bounds, and on their rim."""
    west, south, east, north = area.bounds
    west, east = max(west, domain.west), min(east, domain.east)
    south, north = max(south, domain.south), min(north, domain.north)
    rng = np.random.default_rng(7)
    lon = np.append(rng.integers(west, east + 1, 400), [west, west, east, east, (west + east) // 2])
    lat = np.append(rng.integers(south, north + 1, 400), [south, north, south, north, north])
    inside = area.contains(lon=lon, lat=lat)
    return lon[inside], lat[inside]


@settings(derandomize=True, deadline=None, max_examples=400)
@given(areas(), spans_max)
def test_a_cover_is_a_bounded_superset(pair: tuple[Domain, Area], limit: int) -> None:
    domain, area = pair
    spans = cover(domain, area, spans_max=limit)
    assert 1 <= len(spans) <= limit
    assert normalise(spans) == spans
    lon, lat = positions_in(domain, area)
    codes = domain.positions_to_codes(lon=lon, lat=lat)
    assert contains(spans, codes).all()


@pytest.mark.parametrize("kind", ["box", "circle", "polygon"])
def test_a_cover_of_64_spans_is_not_much_larger_than_the_area(kind: str) -> None:
    rng = np.random.default_rng(11)
    ratios = []
    for _ in range(60):
        x, y = rng.uniform(0.2, 0.7, 2)
        lon, lat = within(DEMO_DOMAIN, x, y)
        size = float(rng.uniform(0.005, 0.2))
        lon2, lat2 = within(DEMO_DOMAIN, x + size, y + size)
        if kind == "circle":
            area: Area = Circle(lon=lon, lat=lat, radius_m=size * 60_000)
            share = math.pi * (size * 60 / 111.195 / 1.6) ** 2 / math.cos(math.radians(lat / 1e7))
        elif kind == "box":
            area, share = Box(lon, lat, lon2, lat2), size * size
        else:
            ring = [[lon, lat], [lon2, lat], [lon2, lat2], [lon, lat]]
            ring_degrees = [[a / 1e7, b / 1e7] for a, b in ring]
            area = polygon_from_geojson({"type": "Polygon", "coordinates": [ring_degrees]})
            share = size * size / 2
        ratios.append(length(cover(DEMO_DOMAIN, area)) / CODE_STOP / share)
    assert min(ratios) >= 0.999
    assert float(np.mean(ratios)) < 1.6


def test_everything_is_one_span() -> None:
    assert cover(WORLD, Box(*WORLD_EDGES)) == ((0, CODE_STOP),)


WORLD_EDGES = (WORLD.west, WORLD.south, WORLD.east, WORLD.north)


def test_a_point_is_one_code() -> None:
    code = DEMO_DOMAIN.position_to_code(lon=1_355_000_000, lat=335_000_000)
    box = Box(1_355_000_000, 335_000_000, 1_355_000_000, 335_000_000)
    assert cover(DEMO_DOMAIN, box) == ((code, code + 1),)


def test_an_area_that_touches_only_the_upper_corner_is_covered() -> None:
    box = Box(DEMO_DOMAIN.east, DEMO_DOMAIN.north, DEMO_DOMAIN.east + 5, DEMO_DOMAIN.north + 5)
    assert cover(DEMO_DOMAIN, box)[-1][1] == CODE_STOP


def test_an_area_outside_is_refused() -> None:
    with pytest.raises(OutsideDomain, match="longitude comes first"):
        cover(DEMO_DOMAIN, Box(0, 0, 5, 5))


def test_a_circle_that_passes_the_domain_by_still_has_a_cover() -> None:
    # Its bounds reach the domain's corner, the circle itself does not.
    circle = Circle.from_degrees(lon=134.9, lat=32.9, radius_m=12_000)
    assert cover(DEMO_DOMAIN, circle)


@pytest.mark.parametrize("radius_m", [3e6, 9.9e6, 1.01e7, 1.5e7, 1.99e7])
@pytest.mark.parametrize("centre", [(0, 1), (100, 60), (179, -80), (-30, -1), (10, 90)])
def test_circles_as_large_as_continents_are_covered(
    centre: tuple[int, int], radius_m: float
) -> None:
    circle = Circle.from_degrees(lon=centre[0], lat=centre[1], radius_m=radius_m)
    rng = np.random.default_rng(3)
    lon = rng.integers(WORLD.west, WORLD.east + 1, 5_000)
    lat = rng.integers(WORLD.south, WORLD.north + 1, 5_000)
    inside = circle.contains(lon=lon, lat=lat)
    codes = WORLD.positions_to_codes(lon=lon[inside], lat=lat[inside])
    for limit in (8, 64, 500):
        assert contains(cover(WORLD, circle, spans_max=limit), codes).all()
