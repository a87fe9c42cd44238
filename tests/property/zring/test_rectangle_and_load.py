"""Rectangles of grains and loads against brute force."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zring.domain import DEMO_DOMAIN
from zring.load import Load
from zring.morton import code_to_xy
from zring.rectangle import GrainRectangle
from zring.ring import founding_ring
from zring.span import contains, normalise

LEVEL = 4
SIDE = 1 << LEVEL
GRAIN_BITS = 62 - 2 * LEVEL
edges = st.integers(0, SIDE)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(edges, edges, edges, edges)
def test_a_rectangle_has_exactly_its_grains(x0: int, x1: int, y0: int, y1: int) -> None:
    spans = GrainRectangle(x0, x1, y0, y1).spans(grain_level=LEVEL)
    assert normalise(spans) == spans
    grains = np.arange(SIDE * SIDE, dtype=np.int64)
    x, y = code_to_xy(grains)
    expected = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    assert (contains(spans, grains << GRAIN_BITS) == expected).all()


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    st.dictionaries(st.integers(0, SIDE * SIDE - 1), st.integers(0, 50), max_size=30),
    st.lists(st.tuples(st.integers(0, 256), st.integers(0, 256)), max_size=4),
    st.integers(1, 9),
)
def test_a_load_sums_like_a_dict(
    counts: dict[int, int], ranges: list[tuple[int, int]], nodes: int
) -> None:
    load = Load.of(counts)
    spans = normalise((start << GRAIN_BITS, stop << GRAIN_BITS) for start, stop in ranges)
    inside = sum(
        count for grain, count in counts.items() if any(low <= grain < high for low, high in ranges)
    )
    assert load.within(spans, grain_bits=GRAIN_BITS) == inside
    assert load.total() == sum(counts.values())
    ring = founding_ring("load", DEMO_DOMAIN, LEVEL, [f"n{index}" for index in range(nodes)])
    owned = dict.fromkeys(ring.owners(), 0)
    for grain, count in counts.items():
        owned[ring.owner_of(grain << GRAIN_BITS)] += count
    assert load.by_owner(ring) == owned
    codes = np.repeat(
        np.array(list(counts), np.int64) << GRAIN_BITS, np.array(list(counts.values()), np.int64)
    )
    counted = Load.of_codes(codes, grain_bits=GRAIN_BITS)
    assert (counted.grains == load.grains).all() and (counted.records == load.records).all()
