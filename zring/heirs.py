"""Who takes over the area of a node that goes: for every piece of it the owner lying nearest."""

import numpy as np

from zring.morton import CODE_BITS, Int64s, code_to_xy
from zring.nearness import areas_to_rectangles
from zring.ring import Ring
from zring.span import Span, Spans, normalise, spans_to_cells

PIECES = 1024
"""Pieces that an area is cut into, about: the borders between heirs are drawn this finely. With
grains they would be finer, and each step of a slanting border a span in the ring for good."""


def nearest_heirs(ring: Ring, spans: Spans, heirs: list[str]) -> dict[str, Spans]:
    """For each of the heirs the codes of `spans` to which its area lies nearest.

    Distances are squared, in grains, from the middle of a piece to the nearest grain of an area;
    ties go to the heir listed first. Heirs that get nothing are left out.

    Cost: pieces × rectangles of the heirs' areas, one heir after another.
    """
    pieces = _pieces(ring, spans)
    start, stop = pieces.T
    side = np.sqrt((stop - start) >> ring.grain_bits).astype(np.int64)
    middle = np.stack(code_to_xy(start)) >> (CODE_BITS // 2 - ring.grain_level)
    middle += side // 2
    rectangles = areas_to_rectangles(
        [ring.owned(heir) for heir in heirs], grain_level=ring.grain_level
    )
    nearest = np.full(len(pieces), np.iinfo(np.int64).max)
    chosen = np.zeros(len(pieces), np.int64)
    for number in range(len(heirs)):
        theirs = rectangles.take(np.flatnonzero(rectangles.node == number))
        apart = np.maximum(
            theirs.first[:, :, None] - middle[:, None, :],
            middle[:, None, :] - theirs.last[:, :, None],
        )
        distance = (np.maximum(apart, 0) ** 2).sum(axis=0).min(axis=0)
        chosen[distance < nearest] = number
        nearest = np.minimum(nearest, distance)
    shares: dict[str, Spans] = {}
    for number in np.unique(chosen).tolist():
        found: list[Span] = [(low, high) for low, high in pieces[chosen == number].tolist()]
        shares[heirs[number]] = normalise(found)
    return shares


def _pieces(ring: Ring, spans: Spans) -> Int64s:
    """The spans cut into cells [start, stop), int64[n, 2]; large cells into equal smaller ones."""
    grains = sum(stop - start for start, stop in spans) >> ring.grain_bits
    size_bits = ring.grain_bits + 2 * max(0, (max(1, grains // PIECES).bit_length() - 1) // 2)
    parts: list[Int64s] = []
    for level, index in spans_to_cells(spans):
        bits = CODE_BITS - 2 * level
        step = 1 << min(bits, size_bits)
        starts = np.arange(index << bits, (index + 1) << bits, step, dtype=np.int64)
        parts.append(np.stack((starts, starts + step), axis=1))
    return np.concatenate(parts)
