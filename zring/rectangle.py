"""Rectangles of grains as spans of codes."""

from dataclasses import dataclass

import numpy as np

from zring.area import Box
from zring.domain import Domain
from zring.errors import InvalidArea, OutsideDomain
from zring.morton import AXIS_BITS, AXIS_STOP, CODE_BITS, Int64s, code_to_xy
from zring.span import Spans


@dataclass(frozen=True, slots=True)
class GrainRectangle:
    """Grains with x in [x_start, x_stop) and y in [y_start, y_stop), counted at the grain level."""

    x_start: int
    x_stop: int
    y_start: int
    y_stop: int

    def spans(self, *, grain_level: int) -> Spans:
        """The codes of the rectangle.

        Cost: array operations over the cells that its rim crosses, level by level.
        """
        found_starts: list[Int64s] = []
        found_stops: list[Int64s] = []
        cells = np.zeros(1, np.int64)
        for level in range(grain_level + 1):
            side = 1 << (grain_level - level)
            x, y = code_to_xy(cells)
            x, y = x * side, y * side
            inside = (x >= self.x_start) & (x + side <= self.x_stop)
            inside &= (y >= self.y_start) & (y + side <= self.y_stop)
            touched = (x < self.x_stop) & (x + side > self.x_start)
            touched &= (y < self.y_stop) & (y + side > self.y_start)
            bits = CODE_BITS - 2 * level
            found_starts.append(cells[inside] << bits)
            found_stops.append((cells[inside] + 1) << bits)
            cells = (cells[touched & ~inside][:, None] * 4 + np.arange(4)).reshape(-1)
        starts, stops = np.sort(np.concatenate(found_starts)), np.sort(np.concatenate(found_stops))
        if not len(starts):
            return ()
        gap = np.flatnonzero(starts[1:] != stops[:-1])
        return tuple(
            zip(
                starts[np.append(0, gap + 1)].tolist(),
                stops[np.append(gap, len(stops) - 1)].tolist(),
                strict=True,
            )
        )


def box_to_rectangle(domain: Domain, box: Box, *, grain_level: int) -> GrainRectangle:
    """The grains that hold positions of a box, its upper and right edges not counted.

    An area that somebody owns is half-open, unlike a query's box: neighbours must not both own
    their common edge.

    Raises:
        OutsideDomain: the box does not overlap the domain.
        InvalidArea: the box is a line or a point.
    """
    if box.west == box.east or box.south == box.north:
        raise InvalidArea("bbox is a line or a point; an area to own needs width and height")
    west, south = max(box.west, domain.west), max(box.south, domain.south)
    east, north = min(box.east, domain.east), min(box.north, domain.north)
    if west >= east or south >= north:
        raise OutsideDomain(f"bbox does not overlap the domain {domain.describe()}")
    shift = AXIS_BITS - grain_level

    def grain(position: int, low: int, high: int) -> int:
        return min((position - low) * AXIS_STOP // (high - low), AXIS_STOP - 1) >> shift

    return GrainRectangle(
        grain(west, domain.west, domain.east),
        grain(east - 1, domain.west, domain.east) + 1,
        grain(south, domain.south, domain.north),
        grain(north - 1, domain.south, domain.north) + 1,
    )
