"""Spans against Python sets of small integers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zring.span import (
    Spans,
    cells_to_spans,
    contains,
    intersect,
    length,
    normalise,
    spans_to_cells,
    subtract,
    union,
)

SIZE = 70
some_spans = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)), max_size=8).map(
    normalise
)


def members(spans: Spans) -> set[int]:
    return {code for start, stop in spans for code in range(start, stop)}


def is_normal(spans: Spans) -> bool:
    return normalise(spans) == spans and all(start < stop for start, stop in spans)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(some_spans, some_spans)
def test_operations_equal_sets(left: Spans, right: Spans) -> None:
    for operation, expected in (
        (union, members(left) | members(right)),
        (intersect, members(left) & members(right)),
        (subtract, members(left) - members(right)),
    ):
        result = operation(left, right)
        assert members(result) == expected
        assert is_normal(result)
        assert length(result) == len(expected)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(some_spans)
def test_contains_equals_sets(spans: Spans) -> None:
    codes = np.arange(SIZE + 2)
    assert set(codes[contains(spans, codes)].tolist()) == members(spans)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 1 << 62), st.integers(0, 1 << 62)), max_size=5).map(normalise)
)
def test_cells_make_up_the_spans_again_and_are_few(spans: Spans) -> None:
    cells = spans_to_cells(spans)
    assert cells_to_spans(cells) == spans
    assert len(cells) <= len(spans) * 31 * 6
    starts = [index << (62 - 2 * level) for level, index in cells]
    assert starts == sorted(starts)
