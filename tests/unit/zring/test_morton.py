"""Codes on the Z-order curve: golden values, the order of quarters, scalars equal arrays."""

import numpy as np
import pytest

from zring.morton import AXIS_STOP, CODE_BITS, CODE_STOP, code_to_xy, xy_to_code


def interleave_slowly(x: int, y: int) -> int:
    return sum((x >> bit & 1) << (2 * bit + 1) | (y >> bit & 1) << (2 * bit) for bit in range(31))


@pytest.mark.parametrize(
    ("x", "y", "code"),
    [
        (0, 0, 0),
        (0, 1, 1),
        (1, 0, 2),
        (1, 1, 3),
        (AXIS_STOP - 1, AXIS_STOP - 1, CODE_STOP - 1),
        (AXIS_STOP - 1, 0, 0x2AAAAAAAAAAAAAAA),
        (0, AXIS_STOP - 1, 0x1555555555555555),
    ],
)
def test_golden_codes(x: int, y: int, code: int) -> None:
    assert xy_to_code(x, y) == code
    assert code_to_xy(code) == (x, y)


def test_quarters_come_as_southwest_northwest_southeast_northeast() -> None:
    half = AXIS_STOP // 2
    corners = [(0, 0), (0, half), (half, 0), (half, half)]
    quarters = [xy_to_code(x, y) >> (CODE_BITS - 2) for x, y in corners]
    assert quarters == [0, 1, 2, 3]


def test_arrays_equal_a_slow_twin_and_come_back() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, AXIS_STOP, (2, 500))
    codes = xy_to_code(x, y)
    slow = [interleave_slowly(int(a), int(b)) for a, b in zip(x, y, strict=True)]
    assert codes.tolist() == slow
    x_again, y_again = code_to_xy(codes)
    assert (x_again == x).all() and (y_again == y).all()
    assert [xy_to_code(int(a), int(b)) for a, b in zip(x[:50], y[:50], strict=True)] == slow[:50]


def test_scalars_are_plain_integers() -> None:
    assert type(xy_to_code(3, 5)) is int
    assert all(type(value) is int for value in code_to_xy(39))
