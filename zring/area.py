"""Areas that people ask about: boxes, circles and polygons, with an exact test on positions.

Positions are e7 integers. Edges belong to an area (boxes are closed, as OGC defines bbox);
circles are measured along the sphere with the mean radius of the earth. An area may reach over
the edge of the world: its bounds are clipped to it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import shapely

from zring.domain import E7_PER_DEGREE, degrees_to_e7
from zring.errors import InvalidArea

EARTH_RADIUS_M = 6_371_008.8
POLYGON_POINTS_MAX = 10_000
"""Points of one polygon: a detailed district; more slows every row's test for no visible gain."""

Integers = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]
Bounds = tuple[int, int, int, int]
Ring = tuple[tuple[int, int], ...]

_LON_MAX = 180 * E7_PER_DEGREE
_LAT_MAX = 90 * E7_PER_DEGREE
_RADIANS_PER_E7 = math.pi / 180 / E7_PER_DEGREE


@dataclass(frozen=True, slots=True)
class Box:
    """A closed rectangle in e7 units; a line or a point is a box as well.

    Raises:
        InvalidArea: when west > east, south > north, or all of it is outside the world.
    """

    west: int
    south: int
    east: int
    north: int

    def __post_init__(self) -> None:
        if self.west > self.east or self.south > self.north:
            raise InvalidArea(
                f"bbox={_degrees(self.west, self.south, self.east, self.north)} has west > east "
                "or south > north; give west,south,east,north with longitude first"
            )
        if not _touches_world(self.west, self.south, self.east, self.north):
            raise InvalidArea(
                f"bbox={_degrees(self.west, self.south, self.east, self.north)} is outside "
                "(-180, -90)-(180, 90); give degrees, longitude first"
            )

    @classmethod
    def from_degrees(cls, *, west: float, south: float, east: float, north: float) -> Self:
        """Build from degrees, rounded to 10**-7."""
        _check_finite(bbox=(west, south, east, north))
        return cls(*(degrees_to_e7(edge) for edge in (west, south, east, north)))

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north (e7), clipped to the world."""
        return _clipped(self.west, self.south, self.east, self.north)

    def contains(self, *, lon: Integers, lat: Integers) -> Bools:
        """bool[n]: which positions (e7) lie inside or on an edge."""
        return (lon >= self.west) & (lon <= self.east) & (lat >= self.south) & (lat <= self.north)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    """All positions at most `radius_m` metres from a centre (e7), along the sphere.

    Raises:
        InvalidArea: when the radius is no positive number or the centre is outside the world.
    """

    lon: int
    lat: int
    radius_m: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.radius_m) and self.radius_m > 0):
            raise InvalidArea(f"radius_m={self.radius_m} is not above 0; give metres")
        if not (abs(self.lon) <= _LON_MAX and abs(self.lat) <= _LAT_MAX):
            raise InvalidArea(
                f"centre lon={self.lon / E7_PER_DEGREE:g}, lat={self.lat / E7_PER_DEGREE:g} is "
                "outside (-180, -90)-(180, 90); longitude comes first"
            )

    @classmethod
    def from_degrees(cls, *, lon: float, lat: float, radius_m: float) -> Self:
        """Build from a centre in degrees, rounded to 10**-7."""
        _check_finite(centre=(lon, lat))
        return cls(lon=degrees_to_e7(lon), lat=degrees_to_e7(lat), radius_m=float(radius_m))

    @property
    def bounds(self) -> Bounds:
        """The smallest box around it (e7); all longitudes when it holds a pole or crosses 180°."""
        angle = self.radius_m / EARTH_RADIUS_M
        reach = math.ceil(angle / _RADIANS_PER_E7) + 1
        south, north = self.lat - reach, self.lat + reach
        if south <= -_LAT_MAX or north >= _LAT_MAX or angle >= math.pi / 2:
            return _clipped(-_LON_MAX, south, _LON_MAX, north)
        widest = math.asin(min(1.0, math.sin(angle) / math.cos(self.lat * _RADIANS_PER_E7)))
        reach = math.ceil(widest / _RADIANS_PER_E7) + 1
        west, east = self.lon - reach, self.lon + reach
        if west < -_LON_MAX or east > _LON_MAX:
            west, east = -_LON_MAX, _LON_MAX
        return _clipped(west, south, east, north)

    def contains(self, *, lon: Integers, lat: Integers) -> Bools:
        """bool[n]: which positions (e7) lie within the radius (haversine)."""
        half_chords = haversine(
            lon=lon * _RADIANS_PER_E7,
            lat=lat * _RADIANS_PER_E7,
            centre_lon=self.lon * _RADIANS_PER_E7,
            centre_lat=self.lat * _RADIANS_PER_E7,
        )
        return half_chords <= self.haversine_max()

    def haversine_max(self) -> float:
        """The haversine of the radius: what `haversine` gives on the rim; 1 for all the earth."""
        return math.sin(min(self.radius_m / EARTH_RADIUS_M, math.pi) / 2) ** 2


@dataclass(frozen=True, slots=True)
class Polygon:
    """One or more polygons with holes; edges belong to it.

    Attributes:
        parts: for each polygon its exterior ring, then its holes; a ring is (lon, lat) pairs in
            e7, closed or not.
        geometry: the same as a prepared shapely MultiPolygon in e7 units.

    Raises:
        InvalidArea: when rings cross themselves or each other, have fewer than three corners,
            too many points, or all of it is outside the world.
    """

    parts: tuple[tuple[Ring, ...], ...]
    geometry: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        points = sum(len(ring) for part in self.parts for ring in part)
        if not points:
            raise InvalidArea("polygon is empty; give at least one ring of three corners")
        if points > POLYGON_POINTS_MAX:
            raise InvalidArea(
                f"polygon has {points} points, more than {POLYGON_POINTS_MAX}; simplify it"
            )
        try:
            geometry = shapely.MultiPolygon([(part[0], part[1:]) for part in self.parts])
        except (ValueError, IndexError, TypeError, shapely.errors.ShapelyError) as error:
            raise InvalidArea(f"polygon cannot be built: {error}") from None
        if not geometry.is_valid:
            raise InvalidArea(
                f"polygon is not valid (in 1e-7 degrees): {shapely.is_valid_reason(geometry)}"
            )
        west, south, east, north = (int(edge) for edge in geometry.bounds)
        if not _touches_world(west, south, east, north):
            raise InvalidArea(
                f"polygon with bounds {_degrees(west, south, east, north)} is outside "
                "(-180, -90)-(180, 90); give degrees, longitude first"
            )
        shapely.prepare(geometry)
        object.__setattr__(self, "geometry", geometry)

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north (e7), clipped to the world."""
        west, south, east, north = (int(edge) for edge in self.geometry.bounds)
        return _clipped(west, south, east, north)

    def contains(self, *, lon: Integers, lat: Integers) -> Bools:
        """bool[n]: which positions (e7) lie inside or on an edge."""
        inside: Bools = shapely.intersects_xy(
            self.geometry, lon.astype(np.float64), lat.astype(np.float64)
        )
        return inside


Area = Box | Circle | Polygon


def haversine(
    *,
    lon: npt.NDArray[np.float64],
    lat: npt.NDArray[np.float64],
    centre_lon: float,
    centre_lat: float,
) -> npt.NDArray[np.float64]:
    """sin²(angle / 2) between positions and a centre, all in radians; rises with distance."""
    return np.sin((lat - centre_lat) / 2) ** 2 + math.cos(centre_lat) * np.cos(lat) * (
        np.sin((lon - centre_lon) / 2) ** 2
    )


def distances_m(*, lon: Integers, lat: Integers, to_lon: int, to_lat: int) -> Any:
    """Metres along the sphere, float64[n], from positions (e7) to one position (e7)."""
    half_chords = haversine(
        lon=lon * _RADIANS_PER_E7,
        lat=lat * _RADIANS_PER_E7,
        centre_lon=to_lon * _RADIANS_PER_E7,
        centre_lat=to_lat * _RADIANS_PER_E7,
    )
    return 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.clip(half_chords, 0.0, 1.0)))


def polygon_from_wkt(text: str) -> Polygon:
    """Read a POLYGON or MULTIPOLYGON in degrees.

    Raises:
        InvalidArea: for anything else.
    """
    try:
        geometry = shapely.from_wkt(text)
    except (shapely.errors.ShapelyError, TypeError) as error:
        raise InvalidArea(f"polygon is no WKT: {error}") from None
    return _polygon_from_shapely(geometry)


def polygon_from_geojson(geometry: Mapping[str, Any]) -> Polygon:
    """Read a GeoJSON geometry of type Polygon or MultiPolygon.

    Raises:
        InvalidArea: for anything else.
    """
    coordinates = geometry.get("coordinates")
    kind = geometry.get("type")
    if kind not in ("Polygon", "MultiPolygon") or not isinstance(coordinates, Sequence):
        raise InvalidArea(f"geometry of type {kind!r} is no area; give a Polygon or MultiPolygon")
    parts = coordinates if kind == "MultiPolygon" else [coordinates]
    try:
        return Polygon(
            tuple(
                tuple(tuple(_point(position) for position in ring) for ring in part)
                for part in parts
            )
        )
    except (TypeError, ValueError, OverflowError, IndexError, KeyError):
        raise InvalidArea("polygon coordinates are no rings of [lon, lat] in degrees") from None


def area_to_dict(area: Area) -> dict[str, Any]:
    """A mapping of plain values that msgpack and JSON can carry."""
    if isinstance(area, Box):
        return {"kind": "box", "bounds": [area.west, area.south, area.east, area.north]}
    if isinstance(area, Circle):
        return {"kind": "circle", "lon": area.lon, "lat": area.lat, "radius_m": area.radius_m}
    return {
        "kind": "polygon",
        "parts": [[[list(point) for point in ring] for ring in part] for part in area.parts],
    }


def area_from_dict(document: Mapping[str, Any]) -> Area:
    """Undo `area_to_dict`.

    Raises:
        InvalidArea: for anything that is no such mapping.
    """
    try:
        kind = document["kind"]
        if kind == "box":
            west, south, east, north = (_integer(edge) for edge in document["bounds"])
            return Box(west, south, east, north)
        if kind == "circle":
            return Circle(
                lon=_integer(document["lon"]),
                lat=_integer(document["lat"]),
                radius_m=float(document["radius_m"]),
            )
        if kind == "polygon":
            return Polygon(
                tuple(
                    tuple(
                        tuple((_integer(lon), _integer(lat)) for lon, lat in ring) for ring in part
                    )
                    for part in document["parts"]
                )
            )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise InvalidArea("area document lacks a field or holds one of the wrong type") from None
    raise InvalidArea(f"area kind={kind!r} is not box, circle or polygon")


def _polygon_from_shapely(geometry: Any) -> Polygon:
    kind = None if geometry is None else geometry.geom_type
    if kind not in ("Polygon", "MultiPolygon") or geometry.is_empty:
        raise InvalidArea(f"geometry of type {kind} is no area; give a POLYGON or MULTIPOLYGON")
    polygons = geometry.geoms if kind == "MultiPolygon" else [geometry]
    try:
        return Polygon(
            tuple(
                tuple(
                    tuple(_point(position) for position in ring.coords)
                    for ring in (polygon.exterior, *polygon.interiors)
                )
                for polygon in polygons
            )
        )
    except (ValueError, OverflowError):
        raise InvalidArea("polygon has a coordinate that is no number") from None


def _point(position: Sequence[float]) -> tuple[int, int]:
    return degrees_to_e7(float(position[0])), degrees_to_e7(float(position[1]))


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no integer")
    return value


def _check_finite(**named: tuple[float, ...]) -> None:
    for name, numbers in named.items():
        # 1000 degrees is already nonsense; the check keeps huge floats away from int().
        if not all(math.isfinite(number) and abs(number) <= 1_000 for number in numbers):
            raise InvalidArea(f"{name}={numbers} is not in degrees; longitude comes first")


def _touches_world(west: int, south: int, east: int, north: int) -> bool:
    return west <= _LON_MAX and east >= -_LON_MAX and south <= _LAT_MAX and north >= -_LAT_MAX


def _clipped(west: int, south: int, east: int, north: int) -> Bounds:
    return (
        max(west, -_LON_MAX),
        max(south, -_LAT_MAX),
        min(east, _LON_MAX),
        min(north, _LAT_MAX),
    )


def _degrees(*edges: int) -> str:
    return ",".join(f"{edge / E7_PER_DEGREE:g}" for edge in edges)
