"""Tasks of one read: the codes of one owner in one slice of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from analytics.errors import BadOption
from analytics.source.cluster import Holdings, Ring
from analytics.source.options import TASKS_MAX, ReadFrom
from analytics.source.selection import Selection
from zring.cover import cover
from zring.errors import OutsideDomain
from zring.morton import CODE_STOP
from zring.span import Spans, intersect, normalise

RECORDS_PER_TASK = 1_000_000
"""What a task is cut for when nobody says: a second of work, so starting it is no part of it."""
SPANS_PER_TASK_MAX = 64
"""Spans of one task, 2.5 KB of its question; an owner of scattered cells has several tasks."""
COVER_SPANS_MAX = 64


@dataclass(frozen=True, slots=True)
class Slice:
    """One task.

    Attributes:
        spans: codes to read.
        time_start, time_stop: half-open, microseconds.
        urls: nodes to ask, the best first; each can answer for all codes.
    """

    spans: Spans
    time_start: int
    time_stop: int
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """How a read is cut into tasks; see `ReadOptions`."""

    slice_us: int | None
    tasks: int | None
    read_from: ReadFrom


def plan_slices(ring: Ring, holdings: Holdings, selection: Selection, cut: Cut) -> list[Slice]:
    """All tasks, in order of the owners' names and of time; none when nothing can match.

    Raises:
        BadOption: more than TASKS_MAX.
    """
    areas = _areas(ring, selection)
    if not areas:
        return []
    times = _times(holdings, selection, cut, owners=len(areas))
    if len(areas) * len(times) > TASKS_MAX:
        raise BadOption(
            f"the read has {len(areas) * len(times)} tasks, at most {TASKS_MAX}; give a longer "
            "timeSlice or a shorter time"
        )
    return [
        Slice(spans, start, stop, _urls(ring, owner, cut.read_from))
        for owner, spans in areas
        for start, stop in times
    ]


def _areas(ring: Ring, selection: Selection) -> list[tuple[str, Spans]]:
    """(Owner, spans) for every owner of a part of the box."""
    if selection.is_empty:
        return []
    view = ring.view
    wanted: Spans = ((0, CODE_STOP),)
    if selection.box is not None:
        try:
            wanted = cover(view.domain, selection.box, spans_max=COVER_SPANS_MAX)
        except OutsideDomain:
            return []
    owned: dict[str, list[tuple[int, int]]] = {name: [] for name in view.names}
    for place, owner in enumerate(view.owners):
        owned[view.names[owner]].append((view.starts[place], view.stop_of(place)))
    areas = []
    for name in sorted(owned):
        spans = intersect(normalise(owned[name]), wanted)
        areas += [
            (name, spans[first : first + SPANS_PER_TASK_MAX])
            for first in range(0, len(spans), SPANS_PER_TASK_MAX)
        ]
    return areas


def _times(
    holdings: Holdings, selection: Selection, cut: Cut, *, owners: int
) -> Sequence[tuple[int, int]]:
    """Slices that join without a gap; the first and the last reach as far as the question."""
    start, stop = selection.time_start, selection.time_stop
    first, last = holdings.time_first, holdings.time_last
    if first is None or last is None:
        return ((start, stop),)
    low, high = max(start, first), min(stop, last + 1)
    if low >= high:
        return ((start, stop),)
    if cut.slice_us is not None:
        width = cut.slice_us
        bounds = list(range(low - low % width + width, high, width)[: TASKS_MAX + 1])
    else:
        count = _count(holdings, low, high, cut, owners=owners)
        bounds = [low + (high - low) * index // count for index in range(1, count)]
    edges = [start, *dict.fromkeys(bounds), stop]
    return list(pairwise(edges))


def _count(holdings: Holdings, low: int, high: int, cut: Cut, *, owners: int) -> int:
    """Slices of time for each owner."""
    if cut.tasks is not None:
        wanted = cut.tasks
    else:
        assert holdings.time_first is not None
        assert holdings.time_last is not None
        known = holdings.time_last + 1 - holdings.time_first
        wanted = -(-holdings.records * (high - low) // (known * RECORDS_PER_TASK))
        wanted = min(wanted, TASKS_MAX)
    return max(1, min(-(-wanted // owners), high - low))


def _urls(ring: Ring, owner: str, read_from: ReadFrom) -> tuple[str, ...]:
    """The owner, then all others; an archive first where one is wanted."""
    view = ring.view
    first = [owner]
    if read_from == "archive":
        first = [name for name in ring.archives if name in view.urls]
        if not first:
            known = ", ".join(ring.archives) or "this cluster has none"
            raise BadOption(
                f"option readFrom=archive, but no archive is in contact ({known}); take owner or "
                "nearest"
            )
    names = dict.fromkeys((*first, *sorted(view.urls)))
    return tuple(view.urls[name] for name in names if name in view.urls)
