"""Maps for the notebooks: land, areas of nodes, cells. No internet is needed."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Any

import geopandas
import matplotlib.pyplot as plt
import numpy as np
import shapely

from zring.domain import E7_PER_DEGREE, Domain

HEAD_BYTES = 7
"""Letters, version, units per degree: data/coastline/convert.py has the whole layout."""
CONTINUES = 0x80
LABELS_MAX = 5
Box = tuple[float, float, float, float]


def draw_map(box: Box, *, title: str = "", ax: Any = None) -> Any:
    """Axes with the land inside a box (west, south, east, north in degrees)."""
    ax = ax or plt.subplots(figsize=(5, 5))[1]
    ax.set_facecolor("#e8f1f8")
    geopandas.GeoSeries([_land(box)]).plot(ax=ax, color="#f6f4ee", edgecolor="#9aa7ad", zorder=0)
    west, south, east, north = box
    # A degree of longitude is shorter than one of latitude.
    ax.set(xlim=(west, east), ylim=(south, north), title=title)
    ax.locator_params(nbins=LABELS_MAX)
    ax.set_aspect(1 / np.cos(np.radians((south + north) / 2)))
    return ax


def areas(members: Iterable[Mapping[str, Any]], shape: str = "area") -> geopandas.GeoDataFrame:
    """Of the members in `client.status()["nodes"]`: a frame with `node` and what it owns.

    Args:
        shape: `area` for what it owns, `holds` for all of which it has copies.
    """
    rows = [(member["id"], shapely.geometry.shape(member[shape])) for member in members]
    return geopandas.GeoDataFrame(rows, columns=["node", "geometry"], geometry="geometry")


def draw_areas(ax: Any, frame: geopandas.GeoDataFrame) -> None:
    """Borders and names of nodes."""
    frame.boundary.plot(ax=ax, color="#444444", linewidth=1)
    for node, place in zip(frame["node"], frame.representative_point(), strict=True):
        ax.annotate(node, (place.x, place.y), ha="center", color="#444444", fontsize=14, alpha=0.6)


def cell_boxes(cells: Iterable[int], *, level: int, domain: Box) -> geopandas.GeoSeries:
    """The rectangles of cells as `client.aggregate(…, level=level)` numbers them."""
    west, south, east, north = domain
    whole = Domain.from_degrees(west=west, south=south, east=east, north=north)
    bounds = np.array([whole.cell_bounds(level=level, index=cell) for cell in cells])
    return geopandas.GeoSeries(shapely.box(*(bounds.reshape(-1, 4) / E7_PER_DEGREE).T))


def _land(box: Box) -> Any:
    """What the map page of every node draws; rings inside rings are water."""
    parts = []
    for ring in _rings(files("node.console").joinpath("static/land.bin").read_bytes()):
        (west, south), (east, north) = ring.min(axis=0), ring.max(axis=0)
        if west < box[2] and east > box[0] and south < box[3] and north > box[1]:
            parts.append(shapely.clip_by_rect(shapely.Polygon(ring), *box))
    return shapely.symmetric_difference_all(parts)


def _rings(data: bytes) -> Iterator[Any]:
    units = int.from_bytes(data[HEAD_BYTES - 2 : HEAD_BYTES], "big")
    numbers = _varints(data[HEAD_BYTES:])
    at = 0
    while at < len(numbers):
        points = int(numbers[at])
        steps = numbers[at + 1 : at + 1 + 2 * points]
        yield np.cumsum(((steps >> 1) ^ -(steps & 1)).reshape(points, 2), axis=0) / units
        at += 1 + 2 * points


def _varints(data: bytes) -> Any:
    """int64[n]: seven bits a byte, the lowest first; all but the last byte have the top bit."""
    octets = np.frombuffer(data, np.uint8)
    last = np.flatnonzero(octets < CONTINUES)
    first = np.concatenate(([0], last[:-1] + 1))
    place = np.arange(len(octets)) - np.repeat(first, last - first + 1)
    return np.add.reduceat((octets.astype(np.int64) & ~CONTINUES) << (7 * place), first)
