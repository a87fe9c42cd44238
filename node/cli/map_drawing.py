"""A map of the ring in characters: which node owns which part of the domain."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.text import Text

from node.client.routing import RingView

COLOURS = ("dark_cyan", "dark_orange3", "medium_purple3", "dark_olive_green3",
           "indian_red", "steel_blue", "gold3", "grey54")  # fmt: skip
"""Told apart by brightness as well; the same order as the node names."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHARACTER_RATIO = 2.0
"""A character is about twice as high as it is wide."""


def draw_ring(document: Mapping[str, Any], *, columns: int = 48, coloured: bool = True) -> Text:
    """The domain with its owners, north up, and a legend.

    Args:
        document: the answer of `/cluster/ring`.
        columns: width in characters; the height follows from the domain's shape.
        coloured: coloured half blocks; otherwise one letter per node.
    """
    view = RingView.from_json(document)
    west, south, east, north = view.domain.degrees()
    # A degree of longitude is shorter than one of latitude, by the cosine of the latitude.
    shape = (north - south) / ((east - west) * np.cos(np.radians((north + south) / 2)))
    rows = int(np.clip(round(columns * shape / CHARACTER_RATIO), 4, 60))
    drawing = Text()
    if coloured:
        _draw_blocks(drawing, _sample(view, columns=columns, rows=2 * rows))
    else:
        for line in _sample(view, columns=columns, rows=rows):
            drawing.append("".join(LETTERS[owner % len(LETTERS)] for owner in line) + "\n")
    for index, name in enumerate(view.names):
        mark = "██" if coloured else LETTERS[index % len(LETTERS)]
        drawing.append(mark, style=colour_of(index) if coloured else "")
        drawing.append(f" {name}  ")
    drawing.append(f"\n{view.domain.describe()}")
    return drawing


def area_shares(document: Mapping[str, Any]) -> dict[str, float]:
    """Name → share of the domain that the node owns, 0 to 1; equal codes are equal areas."""
    total = sum(int(span["stop"]) - int(span["start"]) for span in document["spans"])
    shares: dict[str, float] = {}
    for span in document["spans"]:
        size = int(span["stop"]) - int(span["start"])
        shares[span["owner"]] = shares.get(span["owner"], 0.0) + size / total
    return shares


def colour_of(index: int) -> str:
    """The colour of the node at this place in the order of names."""
    return COLOURS[index % len(COLOURS)]


def _sample(view: RingView, *, columns: int, rows: int) -> npt.NDArray[np.intp]:
    """Owner at the middle of each character cell, int[rows, columns], north first."""
    domain = view.domain
    width, height = domain.east - domain.west, domain.north - domain.south
    lon = domain.west + (2 * np.arange(columns, dtype=np.int64) + 1) * width // (2 * columns)
    lat = domain.north - (2 * np.arange(rows, dtype=np.int64) + 1) * height // (2 * rows)
    owners = view.position_owners(lon=np.tile(lon, rows), lat=np.repeat(lat, columns))
    return owners.reshape(rows, columns)


def _draw_blocks(drawing: Text, owners: npt.NDArray[np.intp]) -> None:
    for upper, lower in zip(owners[0::2], owners[1::2], strict=True):
        for top, bottom in zip(upper, lower, strict=True):
            drawing.append("▀", style=f"{colour_of(top)} on {colour_of(bottom)}")
        drawing.append("\n")
