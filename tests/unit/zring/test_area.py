"""Areas: exact edges, bounds, documents, and what is no area."""

import math

import numpy as np
import pytest

from zring.area import (
    POLYGON_POINTS_MAX,
    Area,
    Box,
    Circle,
    Polygon,
    area_from_dict,
    area_to_dict,
    distances_m,
    polygon_from_geojson,
    polygon_from_wkt,
)
from zring.domain import E7_PER_DEGREE
from zring.errors import InvalidArea

SQUARE_WITH_HOLE = "POLYGON((0 0, 10 0, 10 10, 0 10, 0 0), (4 4, 6 4, 6 6, 4 6, 4 4))"


def e7(*degrees: float) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
    return np.array([round(value * E7_PER_DEGREE) for value in degrees], np.int32)


def test_a_box_includes_all_of_its_edges() -> None:
    box = Box.from_degrees(west=1, south=2, east=3, north=4)
    lon, lat = e7(1, 3, 1, 3, 2, 0.9999999, 3.0000001, 2), e7(2, 4, 4, 2, 3, 3, 3, 4.0000001)
    assert box.contains(lon=lon, lat=lat).tolist() == [True] * 5 + [False] * 3


def test_a_point_is_a_box() -> None:
    box = Box.from_degrees(west=1, south=2, east=1, north=2)
    assert box.contains(lon=e7(1), lat=e7(2)).tolist() == [True]


def test_bounds_are_clipped_to_the_world() -> None:
    box = Box.from_degrees(west=-200, south=-95, east=200, north=95)
    assert box.bounds == tuple(e7(-180, -90, 180, 90).tolist())


@pytest.mark.parametrize(
    "edges",
    [(3, 0, 1, 1), (0, 3, 1, 1), (181, 0, 190, 1), (math.nan, 0, 1, 1), (0, 0, math.inf, 1)],
)
def test_no_boxes(edges: tuple[float, float, float, float]) -> None:
    west, south, east, north = edges
    with pytest.raises(InvalidArea, match="longitude"):
        Box.from_degrees(west=west, south=south, east=east, north=north)


def test_a_circle_measures_along_the_sphere() -> None:
    # One degree of a great circle is 111,195.08 m with the mean radius.
    circle = Circle.from_degrees(lon=0, lat=0, radius_m=111_195.1)
    assert circle.contains(lon=e7(1, 0, 1.00001, 0.8), lat=e7(0, -1, 0, 0.8)).tolist() == [
        True,
        True,
        False,
        False,
    ]
    metres = distances_m(lon=e7(0, 1), lat=e7(90, 0), to_lon=0, to_lat=0)
    assert metres == pytest.approx([10_007_557.2, 111_195.08], abs=0.1)


def test_circles_cross_the_date_line_and_hold_poles() -> None:
    fiji = Circle.from_degrees(lon=179.9, lat=-17, radius_m=50_000)
    assert fiji.contains(lon=e7(-179.9), lat=e7(-17)).tolist() == [True]
    assert fiji.bounds[0] == -180 * E7_PER_DEGREE and fiji.bounds[2] == 180 * E7_PER_DEGREE
    pole = Circle.from_degrees(lon=10, lat=89.9, radius_m=20_000)
    assert pole.contains(lon=e7(-170), lat=e7(89.95)).tolist() == [True]
    assert pole.bounds[3] == 90 * E7_PER_DEGREE
    everything = Circle.from_degrees(lon=0, lat=0, radius_m=1e9)
    assert everything.contains(lon=e7(180), lat=e7(0)).tolist() == [True]


@pytest.mark.parametrize("radius_m", [0, -1, math.nan, math.inf])
def test_no_radius(radius_m: float) -> None:
    with pytest.raises(InvalidArea, match="radius_m"):
        Circle(lon=0, lat=0, radius_m=radius_m)


def test_no_centre() -> None:
    with pytest.raises(InvalidArea, match="longitude"):
        Circle.from_degrees(lon=33, lat=135, radius_m=5)


def test_a_polygon_has_edges_holes_and_parts() -> None:
    polygon = polygon_from_wkt(SQUARE_WITH_HOLE)
    assert polygon.contains(lon=e7(1, 5, 4, 0, 10, 11), lat=e7(1, 5, 5, 0, 10, 5)).tolist() == [
        True,
        False,
        True,
        True,
        True,
        False,
    ]
    both = polygon_from_wkt("MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))")
    assert both.contains(lon=e7(0.9, 5.9, 3), lat=e7(0.1, 5.1, 3)).tolist() == [True, True, False]
    assert both.bounds == tuple(e7(0, 0, 6, 6).tolist())


def test_wkt_and_geojson_agree() -> None:
    square = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
    hole = [[4, 4], [6, 4], [6, 6], [4, 6], [4, 4]]
    geometry = {"type": "Polygon", "coordinates": [square, hole]}
    assert polygon_from_geojson(geometry) == polygon_from_wkt(SQUARE_WITH_HOLE)
    several = {"type": "MultiPolygon", "coordinates": [[square, hole]]}
    assert polygon_from_geojson(several) == polygon_from_wkt(SQUARE_WITH_HOLE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "POINT(1 2)",
        "POLYGON EMPTY",
        "POLYGON((0 0, 1 1, 0 1, 1 0, 0 0))",
        "POLYGON((0 0, 1 1, 0 0))",
        "POLYGON((200 0, 210 0, 210 10, 200 0))",
        "nonsense",
    ],
)
def test_no_polygons(text: str) -> None:
    with pytest.raises(InvalidArea):
        polygon_from_wkt(text)


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "Polygon", "coordinates": None},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], ["x", 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [float("nan"), 1]]]},
        {"type": "Polygon", "coordinates": [[[0], [1], [2]]]},
        {"type": "Polygon", "coordinates": [5]},
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0]]]},
        {"type": "MultiPolygon", "coordinates": []},
        {"type": "Polygon", "coordinates": []},
    ],
)
def test_no_geojson_areas(geometry: dict[str, object]) -> None:
    with pytest.raises(InvalidArea):
        polygon_from_geojson(geometry)


def test_a_polygon_has_a_limit_of_points() -> None:
    angles = np.linspace(0, 2 * math.pi, POLYGON_POINTS_MAX + 1)
    ring = tuple((int(1e8 * math.cos(a)), int(1e8 * math.sin(a))) for a in angles)
    with pytest.raises(InvalidArea, match="10001 points"):
        Polygon(((ring,),))


AREAS: list[Area] = [
    Box(1, 2, 3, 4),
    Circle(lon=5, lat=-6, radius_m=7.5),
    polygon_from_wkt(SQUARE_WITH_HOLE),
]


@pytest.mark.parametrize("area", AREAS)
def test_documents_come_back(area: Area) -> None:
    assert area_from_dict(area_to_dict(area)) == area
    assert hash(area_from_dict(area_to_dict(area))) == hash(area)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"kind": "star"},
        {"kind": "box"},
        {"kind": "box", "bounds": [1, 2, 3]},
        {"kind": "box", "bounds": [1, 2, 3, 4.5]},
        {"kind": "box", "bounds": [5, 2, 3, 4]},
        {"kind": "circle", "lon": 1, "lat": 2, "radius_m": "far"},
        {"kind": "circle", "lon": True, "lat": 2, "radius_m": 1},
        {"kind": "polygon", "parts": [[[1, 2]]]},
        {"kind": "polygon", "parts": [[[[1, 2], [3, 4]]]]},
    ],
)
def test_documents_that_are_no_areas(document: dict[str, object]) -> None:
    with pytest.raises(InvalidArea):
        area_from_dict(document)
