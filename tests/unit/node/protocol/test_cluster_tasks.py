"""What is under way, there and back; any values are tasks or refused."""

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import BadRequest
from node.protocol.cluster_tasks import (
    KINDS,
    ClusterTask,
    ClusterTasks,
    moves_of_silent,
    plain_to_tasks,
    tasks_to_plain,
)
from zring.domain import DEMO_DOMAIN
from zring.ring import Settings, founding_ring

COUNTS = st.integers(0, 2**62)
TASKS = st.builds(
    ClusterTask,
    kind=st.sampled_from(KINDS),
    node=st.text(max_size=5),
    target=st.text(max_size=5),
    spans=st.sampled_from([(), ((0, 16), (32, 1 << 40))]),
    phase=st.text(max_size=5),
    reason=st.text(max_size=20),
    buckets_left=COUNTS,
    records_left=COUNTS,
    bytes_left=COUNTS,
    bytes_per_s=COUNTS,
    eta_s=st.none() | COUNTS,
    since_us=st.none() | COUNTS,
    waits_for=st.lists(st.text(max_size=5), max_size=3).map(tuple),
)
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**64) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=14),
)


@given(st.lists(TASKS, max_size=4))
def test_there_and_back(tasks: list[ClusterTask]) -> None:
    plain = msgpack.unpackb(msgpack.packb(tasks_to_plain(tasks)))
    assert plain_to_tasks(plain) == tuple(tasks)
    assert plain_to_tasks([[*task, "of a later version"] for task in plain]) == tuple(tasks)


@given(TASKS, st.integers(0, 12), JUNK)
def test_a_wrong_place_is_refused_or_means_something(
    task: ClusterTask, place: int, junk: Any
) -> None:
    (plain,) = tasks_to_plain([task])
    plain[place] = junk
    try:
        (read,) = plain_to_tasks([plain])
    except BadRequest:
        return
    assert plain_to_tasks(tasks_to_plain([read])) == (read,)


@given(JUNK)
def test_any_values_are_tasks_or_refused(junk: Any) -> None:
    with suppress(BadRequest):
        plain_to_tasks(junk)


def test_too_many_are_refused() -> None:
    with pytest.raises(BadRequest, match="too many"):
        plain_to_tasks([[]] * 20_001)


def test_moves_of_an_old_owner_who_cannot_be_asked_are_read_from_the_ring() -> None:
    ring = founding_ring("c", DEMO_DOMAIN, 8, ("a", "b"), Settings())
    moving = ring.announce(ring.owned("b"), next="a")
    assert moves_of_silent(moving, {"a": "is away"}) == []
    (task,) = moves_of_silent(moving, {"b": "is away"})
    assert (task.kind, task.node, task.target) == ("move", "b", "a")
    assert task.spans == ring.owned("b")
    assert "b" in task.waits_for and "is away" in task.reason


def test_settled_means_nothing_left_nobody_silent_and_complete() -> None:
    assert ClusterTasks((), "complete").settled
    assert not ClusterTasks((), "local").settled
    assert not ClusterTasks((), "complete", {"n": "is away"}).settled
    assert not ClusterTasks((ClusterTask("fill", "n"),), "complete").settled
