"""Where a new node's area comes from: a square around it, or half of the largest zone."""

import math

from zring.errors import InvalidPlan
from zring.load import Load
from zring.morton import code_to_xy
from zring.rectangle import GrainRectangle
from zring.ring import Ring
from zring.span import Span, Spans, subtract

CELLS_ACROSS = 8
"""Cells along a side of a placed area: fine enough to centre it on the node to a sixteenth of its
side, coarse enough for few spans."""


def placed_spans(ring: Ring, *, lon: int, lat: int, side_grains: int | None = None) -> Spans:
    """A square of cells around a position (e7), carved from the present owners.

    Its side is given in grains, or such that the new node gets an equal share of the domain. It
    is made smaller while it would take everything that some owner has.

    Raises:
        InvalidPlan: even one grain would.
        OutsideDomain: the position is not in the domain.
    """
    x, y = code_to_xy(ring.domain.position_to_code(lon=lon, lat=lat) >> ring.grain_bits)
    domain_side = 1 << ring.grain_level
    if side_grains is None:
        side_grains = max(1, round(domain_side / math.sqrt(len(ring.owners()) + 1)))
    side = min(max(1, side_grains), domain_side)
    while side >= 1:
        unit = 1 << max(0, (side // CELLS_ACROSS).bit_length() - 1)
        rounded = max(unit, side // unit * unit)
        x_start = _aligned(x, side=rounded, unit=unit, stop=domain_side)
        y_start = _aligned(y, side=rounded, unit=unit, stop=domain_side)
        spans = GrainRectangle(x_start, x_start + rounded, y_start, y_start + rounded).spans(
            grain_level=ring.grain_level
        )
        if all(subtract(ring.owned(owner), spans) for owner in ring.owners()):
            return spans
        side //= 2
    raise InvalidPlan(
        f"the grain at lon={lon / 1e7:g}, lat={lat / 1e7:g} is all that its owner has; choose "
        "another place or let that node leave"
    )


def _aligned(centre: int, *, side: int, unit: int, stop: int) -> int:
    """First grain of a stretch around `centre` that starts on a multiple of `unit`."""
    start = round((centre + 0.5 - side / 2) / unit) * unit
    return min(max(start, 0), stop - side)


def halved_spans(ring: Ring, load: Load) -> Spans:
    """The upper half of the largest zone.

    A zone is a stretch of 2**m codes of one owner that starts on a multiple of its length: a
    square (m even) or a rectangle of 2:1 (m odd), and so is each of its halves. Of zones of
    equal size the fullest is taken, then the first.

    Raises:
        InvalidPlan: no zone is larger than a grain.

    Source: S. Ratnasamy et al., A Scalable Content-Addressable Network (2001), section 2.
    """
    zones = [
        zone
        for owner in ring.owners()
        for start, stop in ring.owned(owner)
        for zone in _zones(start, stop)
    ]
    largest = max(stop - start for start, stop in zones)
    if largest <= ring.grain_codes:
        raise InvalidPlan("every zone is a single grain; none can be halved")
    start, stop = max(
        (zone for zone in zones if zone[1] - zone[0] == largest),
        key=lambda zone: (load.within((zone,), grain_bits=ring.grain_bits), -zone[0]),
    )
    return (((start + stop) // 2, stop),)


def _zones(start: int, stop: int) -> list[Span]:
    """The fewest aligned stretches of 2**m codes that make up [start, stop)."""
    zones: list[Span] = []
    while start < stop:
        fitting = (stop - start).bit_length() - 1
        bits = min((start & -start).bit_length() - 1, fitting) if start else fitting
        zones.append((start, start + (1 << bits)))
        start += 1 << bits
    return zones
