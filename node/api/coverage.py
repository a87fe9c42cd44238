"""How complete an answer is, as a header of every answer and a member of those in JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from node.codec.times import YEAR_1_US, YEAR_10000_US
from node.query import Coverage
from zring.domain import E7_PER_DEGREE, Domain
from zring.span import normalise, spans_to_cells

CELLS_SHOWN_MAX = 256
"""Cells of one shape: an area is told exactly as long as it is simple."""
BOXES_IN_HEADER_MAX = 32
"""Boxes of one area in a header: 2 KB."""
STATE_HEADER = "Zring-Coverage"
DETAILS_HEADER = "Zring-Coverage-Details"
_EPOCH = datetime(1970, 1, 1)  # UTC; written with Z below
NODES_IN_HEADER_MAX = 50
"""Nodes named in a header; proxies cut headers at some 8 KB."""


def time_text(time_us: int) -> str:
    """RFC 3339 in UTC of microseconds, clipped to the years that it can write."""
    clipped = min(max(time_us, YEAR_1_US), YEAR_10000_US - 1)
    return (_EPOCH + timedelta(microseconds=clipped)).isoformat() + "Z"


def spans_to_shape(spans: Sequence[tuple[int, int]], domain: Domain) -> dict[str, Any]:
    """A GeoJSON MultiPolygon of the cells that make up some spans.

    Beyond CELLS_SHOWN_MAX cells the smallest are merged into their parents, so that the shape
    covers all of the spans and a little more.
    """
    cells = _cells(spans, most=CELLS_SHOWN_MAX)
    return {
        "type": "MultiPolygon",
        "coordinates": [[cell_ring(level, index, domain)] for level, index in cells],
    }


def spans_to_boxes(spans: Sequence[tuple[int, int]], domain: Domain) -> list[list[float]]:
    """A few boxes (west, south, east, north; degrees) that cover all of the spans."""
    return [
        [edge / E7_PER_DEGREE for edge in domain.cell_bounds(level=level, index=index)]
        for level, index in _cells(spans, most=BOXES_IN_HEADER_MAX)
    ]


def _cells(spans: Sequence[tuple[int, int]], *, most: int) -> list[tuple[int, int]]:
    """The cells that make up some spans; where they are too many, the finest ones' parents."""
    cells = spans_to_cells(normalise(spans))
    while len(cells) > most:
        finest = max(level for level, _ in cells)
        coarser = {(lv - 1, at >> 2) if lv == finest else (lv, at) for lv, at in cells}
        cells = sorted(coarser)
    return cells


def cell_ring(level: int, index: int, domain: Domain) -> list[list[float]]:
    """The closed ring of a cell, counterclockwise, degrees."""
    west, south, east, north = (
        edge / E7_PER_DEGREE for edge in domain.cell_bounds(level=level, index=index)
    )
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def coverage_to_json(coverage: Coverage, domain: Domain) -> dict[str, Any]:
    """The member `coverage`; empty parts are left out."""
    document: dict[str, Any] = {"state": coverage.state, "as_of": time_text(coverage.as_of)}
    if coverage.away:
        document["away"] = _away(coverage.away)
    if coverage.replicas:
        document["replicas"] = {
            node: spans_to_shape(spans, domain) for node, spans in sorted(coverage.replicas.items())
        }
        document["replicas_as_of"] = {
            node: None if as_of is None else time_text(as_of)
            for node, as_of in sorted(coverage.replicas_as_of.items())
        }
    if coverage.alone_since is not None:
        document["alone_since"] = time_text(coverage.alone_since)
    if coverage.settling:
        document["settling"] = spans_to_shape(coverage.settling, domain)
    if coverage.missing:
        document["missing"] = spans_to_shape(coverage.missing, domain)
    return document


def coverage_headers(coverage: Coverage, domain: Domain) -> dict[str, str]:
    """The state, as of when, who is away, and boxes that cover what is settling or missing;
    shapes are in JSON answers only."""
    as_of = time_text(coverage.as_of)
    if coverage.state == "complete" and not coverage.replicas:
        # Nothing but the time: what nearly every answer says, without building JSON for it.
        return {STATE_HEADER: "complete", DETAILS_HEADER: f'{{"as_of":"{as_of}"}}'}
    details: dict[str, Any] = {"as_of": as_of}
    if coverage.away:
        some = dict(sorted(coverage.away.items())[:NODES_IN_HEADER_MAX])
        details["away"] = _away(some)
    if coverage.replicas:
        details["replicas"] = sorted(coverage.replicas)[:NODES_IN_HEADER_MAX]
    if coverage.alone_since is not None:
        details["alone_since"] = time_text(coverage.alone_since)
    for name, spans in (("settling", coverage.settling), ("missing", coverage.missing)):
        if spans:
            details[name] = spans_to_boxes(spans, domain)
    return {STATE_HEADER: coverage.state, DETAILS_HEADER: orjson.dumps(details).decode()}


def _away(away: Mapping[str, int]) -> dict[str, str]:
    return {node: time_text(since) for node, since in sorted(away.items())}
