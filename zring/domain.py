"""The lon/lat rectangle that a cluster covers, and how its positions become codes.

Positions are integers of 10**-7 degrees ("e7") everywhere behind the edge: PROTOCOL rounds
coordinates to that before anything else, and integers make every bound exact.
"""

import math
from dataclasses import dataclass
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from zring.errors import InvalidArea, OutsideDomain
from zring.morton import AXIS_BITS, AXIS_STOP, CODE_BITS, Int64s, code_to_xy, xy_to_code

Integers = npt.NDArray[np.integer[Any]]

E7_PER_DEGREE = 10_000_000


@overload
def degrees_to_e7(degrees: float) -> int: ...
@overload
def degrees_to_e7(degrees: npt.NDArray[np.float64]) -> Int64s: ...
def degrees_to_e7(degrees: float | npt.NDArray[np.float64]) -> int | Int64s:
    """Round degrees to integers of 10**-7 degrees, half to even; the input must be finite."""
    if isinstance(degrees, np.ndarray):
        return np.rint(degrees * float(E7_PER_DEGREE)).astype(np.int64)
    return round(degrees * E7_PER_DEGREE)


@dataclass(frozen=True, slots=True)
class Domain:
    """A rectangle in e7 units; lower and left edges inside, upper and right edges in the last cell.

    Raises:
        InvalidArea: when it is empty or leaves the world.
    """

    west: int
    south: int
    east: int
    north: int

    def __post_init__(self) -> None:
        if not (
            -180 * E7_PER_DEGREE <= self.west < self.east <= 180 * E7_PER_DEGREE
            and -90 * E7_PER_DEGREE <= self.south < self.north <= 90 * E7_PER_DEGREE
        ):
            raise InvalidArea(
                f"domain={self.describe()} is no rectangle inside (-180, -90)-(180, 90); "
                "give west,south,east,north in degrees with west < east and south < north"
            )

    @classmethod
    def from_degrees(cls, *, west: float, south: float, east: float, north: float) -> Self:
        """Build from degrees, rounded to 10**-7."""
        edges = (west, south, east, north)
        if not all(math.isfinite(edge) for edge in edges):
            raise InvalidArea(f"domain={edges} has an edge that is no number; give four degrees")
        return cls(*(degrees_to_e7(edge) for edge in edges))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `world` or `west,south,east,north` in degrees."""
        if text.strip() == "world":
            return cls.from_degrees(west=-180, south=-90, east=180, north=90)
        try:
            west, south, east, north = (float(part) for part in text.split(","))
        except ValueError:
            raise InvalidArea(
                f"domain={text!r} is not understood; write world or west,south,east,north"
            ) from None
        return cls.from_degrees(west=west, south=south, east=east, north=north)

    def degrees(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees."""
        return (
            self.west / E7_PER_DEGREE,
            self.south / E7_PER_DEGREE,
            self.east / E7_PER_DEGREE,
            self.north / E7_PER_DEGREE,
        )

    def describe(self) -> str:
        """The rectangle as people write it: `(135, 33)-(136.6, 34.6)`."""
        west, south, east, north = self.degrees()
        return f"({west:g}, {south:g})-({east:g}, {north:g})"

    def contains(self, *, lon: Integers, lat: Integers) -> npt.NDArray[np.bool_]:
        """Which of the positions (e7, int[n]) lie inside, edges included."""
        return (lon >= self.west) & (lon <= self.east) & (lat >= self.south) & (lat <= self.north)

    def positions_to_codes(self, *, lon: Integers, lat: Integers) -> Int64s:
        """Codes int64[n] of positions inside the domain (e7, any integer type).

        Positions outside are the caller's error: filter with `contains` first.
        """
        x = self._axis_to_grid(lon, self.west, self.east)
        y = self._axis_to_grid(lat, self.south, self.north)
        return xy_to_code(x, y)

    def position_to_code(self, *, lon: int, lat: int) -> int:
        """Code of one position in e7.

        Raises:
            OutsideDomain: names the position and the domain.
        """
        if not (self.west <= lon <= self.east and self.south <= lat <= self.north):
            raise OutsideDomain(
                f"lon={lon / E7_PER_DEGREE:g}, lat={lat / E7_PER_DEGREE:g} is outside the domain "
                f"{self.describe()}; longitude comes first"
            )
        x = min((lon - self.west) * AXIS_STOP // (self.east - self.west), AXIS_STOP - 1)
        y = min((lat - self.south) * AXIS_STOP // (self.north - self.south), AXIS_STOP - 1)
        return xy_to_code(x, y)

    @staticmethod
    def _axis_to_grid(position: Integers, low: int, high: int) -> Int64s:
        # (position - low) < 2**32, so the shifted value stays below 2**63: exact in int64.
        offset = position.astype(np.int64) - low
        grid = (offset << AXIS_BITS) // (high - low)
        return np.minimum(grid, AXIS_STOP - 1, out=grid)

    def cell_bounds(self, *, level: int, index: int) -> tuple[int, int, int, int]:
        """West, south, east, north (e7) of cell `index` (its code prefix) of a level.

        Edges are rounded up to whole e7 units, so that a position lies in the cell exactly when
        it is >= west and < east (or on the domain's upper edge, in the last cell).
        """
        assert 0 <= level <= AXIS_BITS and 0 <= index < 1 << (2 * level), (level, index)
        x, y = code_to_xy(index << (CODE_BITS - 2 * level))
        side = AXIS_STOP >> level

        def edge(grid: int, low: int, high: int) -> int:
            return low + -(-grid * (high - low) // AXIS_STOP)

        return (
            edge(x, self.west, self.east),
            edge(y, self.south, self.north),
            edge(x + side, self.west, self.east),
            edge(y + side, self.south, self.north),
        )

    def grain_level_for(self, *, grain_m: float = 1_000.0) -> int:
        """The level whose cells are at most `grain_m` metres high: 8 for the square of 1.6 degrees.

        One degree of latitude is 111.32 km; the level is chosen by the larger side.
        """
        side_degrees = max(self.east - self.west, self.north - self.south) / E7_PER_DEGREE
        level = math.ceil(math.log2(side_degrees * 111_320.0 / grain_m))
        return min(max(level, 1), 16)


def z_value(code: int) -> float:
    """The code as the literature prints it: code / 2**62, in [0, 1), cut to what a float holds."""
    return (code >> (CODE_BITS - 53)) / (1 << 53)


DEMO_DOMAIN = Domain.from_degrees(west=135.0, south=33.0, east=136.6, north=34.6)
WORLD = Domain.parse("world")
