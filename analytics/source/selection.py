"""What is asked of the nodes: a box, a time, sensors, conditions; narrowed step by step."""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from node.codec.times import YEAR_1_US, YEAR_10000_US
from node.query import TIME_MAX, TIME_MIN
from zring.area import Box
from zring.domain import E7_PER_DEGREE

WHOLE_EARTH = Box(
    -180 * E7_PER_DEGREE, -90 * E7_PER_DEGREE, 180 * E7_PER_DEGREE, 90 * E7_PER_DEGREE
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records are wanted.

    Attributes:
        west, south, east, north: closed box in e7.
        time_start, time_stop: half-open, microseconds.
        sensors: None is all.
        filters: CQL2 texts that must all be true.
    """

    west: int = WHOLE_EARTH.west
    south: int = WHOLE_EARTH.south
    east: int = WHOLE_EARTH.east
    north: int = WHOLE_EARTH.north
    time_start: int = TIME_MIN
    time_stop: int = TIME_MAX
    sensors: frozenset[str] | None = None
    filters: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nothing can match."""
        return (
            self.west > self.east
            or self.south > self.north
            or self.time_start >= self.time_stop
            or self.sensors == frozenset()
        )

    @property
    def box(self) -> Box | None:
        """The box; None when it is the whole Earth."""
        box = Box(self.west, self.south, self.east, self.north)
        return None if box == WHOLE_EARTH else box

    def within_lon(self, *, least: int | None = None, most: int | None = None) -> Self:
        """Cut to longitudes in e7, both ends included."""
        return replace(self, west=_later(self.west, least), east=_earlier(self.east, most))

    def within_lat(self, *, least: int | None = None, most: int | None = None) -> Self:
        """Cut to latitudes in e7, both ends included."""
        return replace(self, south=_later(self.south, least), north=_earlier(self.north, most))

    def within_time(self, *, start: int | None = None, stop: int | None = None) -> Self:
        """Cut to a half-open time."""
        return replace(
            self,
            time_start=_later(self.time_start, start),
            time_stop=_earlier(self.time_stop, stop),
        )

    def of_sensors(self, names: frozenset[str]) -> Self:
        """Cut to some sensors."""
        return replace(self, sensors=names if self.sensors is None else self.sensors & names)

    def where(self, text: str) -> Self:
        """Cut to records for which a CQL2 text is true."""
        return replace(self, filters=(*self.filters, text))

    @property
    def filter(self) -> str | None:
        """All conditions as one CQL2 text."""
        if len(self.filters) < 2:
            return self.filters[0] if self.filters else None
        return " AND ".join(f"({text})" for text in self.filters)


def _later(bound: int, other: int | None) -> int:
    return bound if other is None else max(bound, other)


def _earlier(bound: int, other: int | None) -> int:
    return bound if other is None else min(bound, other)


def least_e7(degrees: float, *, above: bool = False) -> int:
    """The least e7 position whose degrees, as answers give them, are >= (or >) a number."""
    edge = max(-400.0, min(400.0, degrees))
    position = math.floor(edge * E7_PER_DEGREE) - 2
    while position / E7_PER_DEGREE < edge or (above and position / E7_PER_DEGREE == edge):
        position += 1
    return position


def most_e7(degrees: float, *, below: bool = False) -> int:
    """The greatest e7 position whose degrees are <= (or <) a number."""
    return least_e7(degrees, above=not below) - 1


def time_to_text(time_us: int) -> str | None:
    """RFC 3339; None beyond the years that it can write, where a bound bounds nothing."""
    if not YEAR_1_US <= time_us < YEAR_10000_US:
        return None
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def degrees_text(position: int) -> str:
    """Degrees of an e7 position as the shortest exact decimal."""
    sign, whole = ("-" if position < 0 else ""), abs(position)
    return f"{sign}{whole // E7_PER_DEGREE}.{whole % E7_PER_DEGREE:07d}"
