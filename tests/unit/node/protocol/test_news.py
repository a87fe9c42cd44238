"""Cursors, doubles and fences of streams."""

import numpy as np
import pytest

from node.errors import BadRequest
from node.protocol.news import (
    FENCE_IN_CURSOR_MAX,
    Crossing,
    Cursor,
    Fence,
    Position,
    Seen,
    plain_to_positions,
    runs_of,
)

A, B = 11, (1 << 64) - 5


def cross(fence: Fence, *steps: tuple[int, int, bool]) -> list[tuple[int, bool]]:
    hashes, times, inside = zip(*steps, strict=True)
    found = fence.cross(np.array(hashes, np.uint64), np.array(times), np.array(inside))
    return [tuple(crossing) for crossing in found]  # type: ignore[misc]


def test_a_cursor_is_read_as_it_was_written() -> None:
    cursor = Cursor(
        5, 9, {"n2": Position(7, 3), "n1": Position(1, 0)}, {"n3": {"n2", "n1"}}, {A: 4, B: -2}
    )
    assert Cursor.parse(cursor.text()) == cursor
    assert Cursor.parse(Cursor(5, 9).text()) == Cursor(5, 9)
    assert not set(cursor.text()) - set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    )


@pytest.mark.parametrize("text", ["x", "%%%", "7", "kQE", "A" * 20_000, "löß"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="last event id"):
        Cursor.parse(text)
    with pytest.raises(BadRequest):
        plain_to_positions([1])


def test_seen_tells_doubles_within_a_batch_and_between_generations() -> None:
    seen = Seen(most=4)
    assert seen.add(np.array([1, 2, 1], np.uint64)).tolist() == [True, True, False]
    assert seen.add(np.array([3, 4, 5], np.uint64)).all()
    assert not seen.add(np.array([1, 2, 3, 4, 5], np.uint64)).any(), "one generation back"
    assert seen.add(np.arange(6, 10, dtype=np.uint64)).all()
    assert seen.add(np.array([1], np.uint64)).all(), "two generations back"


def test_a_sensor_enters_and_leaves_once() -> None:
    fence = Fence(10)
    steps = [(A, 1, False), (A, 2, True), (A, 3, True), (A, 4, False), (A, 5, False), (A, 6, True)]
    assert cross(fence, *steps) == [(1, True), (3, False), (5, True)]
    assert fence.inside() == {A: 6}


def test_late_records_tell_a_fence_nothing() -> None:
    fence = Fence(10)
    assert cross(fence, (A, 5, True)) == [(0, True)]
    assert cross(fence, (A, 4, False)) == []
    assert cross(fence, (A, 6, False)) == [(0, False)]
    assert cross(fence, (A, 5, True)) == []


def test_a_fence_goes_on_from_a_cursor_and_forgets_beyond_its_limit() -> None:
    fence = Fence(10, {A: 5})
    assert cross(fence, (A, 6, True), (A, 7, False)) == [(1, False)]
    small = Fence(2)
    crossings = cross(small, (A, 1, True), (B, 2, True), (A, 3, False), (3, 4, True), (4, 5, True))
    assert len(crossings) == 5
    assert small.inside() == {3: 4, 4: 5}
    many = Fence(10_000)
    cross(many, *[(number, 1, True) for number in range(FENCE_IN_CURSOR_MAX + 1)])
    assert many.inside() is None


def test_runs_of_one_kind() -> None:
    steps = [Crossing(0, True), Crossing(1, True), Crossing(2, False), Crossing(3, True)]
    assert [len(run) for run in runs_of(steps)] == [2, 1, 1]
