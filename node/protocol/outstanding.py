"""What holders may lack of what this node has; kept in memory only.

For each holder three things are remembered:

- **uncompared** codes, of all collections and times: nobody has looked whether the holder has
  what this node has there. After a start that is everything, as it is for a store that was lost
  and for codes that a holder newly holds;
- **places** (collection, cell, slot of time) of copies that failed;
- **late** copies, still on their way although their batch was acknowledged, by cell.

Rules:

1. **Owed before acknowledged.** When a batch is acknowledged, every copy still out counts as
   owed; a node's word tells it, so that no reader takes a lagging holder for complete.
2. **What comes during a job stays.** A job takes a numbered snapshot; what was marked or failed
   after it carries a greater number and outlives the job's success.
3. **Nothing is forgotten by a crash**, because after a start everything counts as uncompared.
4. **An orphan is owed to everybody.** A copy whose sender went away while it was being stored, or
   is a former process by then, may be the only one: whoever stored it owes it to every holder.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from node.records import Rows
from zring.morton import CODE_BITS, Int64s
from zring.span import Spans, cells_to_spans, subtract, union

CELL_LEVEL = 4
"""256 cells: fine enough to tell neighbourhoods apart, few enough to list."""
SLOT_DAYS = 16
SLOT_US = SLOT_DAYS * 86_400 * 1_000_000
PLACES_MAX = 4_096
"""Places of one holder: some 500 KB; beyond it their cells count as uncompared altogether."""
MARKS_MAX = 16
"""Marks of one holder; beyond it the older ones are joined under the number of the newest."""
SUMMARY_SPANS_MAX = 64
"""Spans told of one holder, because a word travels to every member; beyond it gaps are closed."""
SUMMARY_SPANS_ALL_MAX = 1_024
"""Spans told of all holders together: some 8 kB. With many holders each gets fewer, never none."""

_SHIFT = CODE_BITS - 2 * CELL_LEVEL


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One collection in one cell and slot of time."""

    collection: str
    slot: int
    cell: int


def places_of(collection: str, rows: Rows) -> tuple[Place, ...]:
    """Every place that the rows touch, sorted. Cost: one pass and a sort of the rows."""
    if not len(rows):
        return ()
    cell, slot = rows.code >> _SHIFT, rows.time // SLOT_US
    combined: Int64s = np.unique((slot << (2 * CELL_LEVEL)) | cell)
    mask = (1 << (2 * CELL_LEVEL)) - 1
    return tuple(
        Place(collection, key >> (2 * CELL_LEVEL), key & mask) for key in combined.tolist()
    )


@dataclass(frozen=True, slots=True)
class Work:
    """A job's snapshot: what it must compare with a holder.

    Attributes:
        number: what has a greater one came later and is not the job's.
        uncompared: codes of all collections and times.
        stretches: (spans, first day, day after the last) that are uncompared for these days only.
        places: collection → slot → spans of the cells in which copies failed.
    """

    holder: str
    number: int
    uncompared: Spans
    places: Mapping[str, Mapping[int, Spans]]
    stretches: tuple[tuple[Spans, int, int], ...] = ()


@dataclass(slots=True)
class _Holder:
    """What is kept of one holder; numbers as in `Outstanding`."""

    marks: list[tuple[int, Spans]] = field(default_factory=list)
    checks: list[tuple[int, Spans]] = field(default_factory=list)
    stretches: list[tuple[int, Spans, int, int]] = field(default_factory=list)
    places: dict[Place, int] = field(default_factory=dict)
    late: dict[int, int] = field(default_factory=dict)

    def due(self) -> bool:
        return bool(self.marks or self.checks or self.stretches or self.places)


class Outstanding:
    """What this node has and others may lack; `epoch` rises with every change of `summary`."""

    __slots__ = ("_by_holder", "_number", "_summary", "_summary_epoch", "epoch")

    def __init__(self) -> None:
        self._by_holder: dict[str, _Holder] = {}
        self._number = 0
        self._summary: dict[str, Spans] = {}
        self._summary_epoch = 0
        self.epoch = 0

    def mark(self, holder: str, spans: Spans) -> None:
        """Nobody knows whether the holder has what this node has in these codes."""
        if spans:
            _add(self._holder(holder).marks, self._next(), spans)
            self.epoch += 1

    def mark_days(self, holder: str, spans: Spans, *, day_start: int, day_stop: int) -> None:
        """The same for some days only: somebody asks for a comparison."""
        if not spans:
            return
        stretches = self._holder(holder).stretches
        if len(stretches) >= MARKS_MAX:
            self.mark(holder, spans)
            return
        stretches.append((self._next(), spans, day_start, day_stop))
        self.epoch += 1

    def check(self, holder: str, spans: Spans) -> None:
        """Compare these codes again without a reason for doubt: a job, but no word of it."""
        if spans:
            _add(self._holder(holder).checks, self._next(), spans)

    def acknowledge(self, holder: str, places: Iterable[Place]) -> None:
        """A batch was acknowledged while this copy is still out: it is owed from now on."""
        late = self._holder(holder).late
        for place in places:
            late[place.cell] = late.get(place.cell, 0) + 1
        self.epoch += 1

    def confirm(self, holder: str, places: Iterable[Place]) -> None:
        """A late copy has arrived, or is known to have failed."""
        known = self._by_holder.get(holder)
        if known is None:
            return
        for place in places:
            left = known.late.get(place.cell, 1) - 1
            if left > 0:
                known.late[place.cell] = left
            else:
                known.late.pop(place.cell, None)
        self._tidy(holder)
        self.epoch += 1

    def fail(self, holder: str, places: Iterable[Place]) -> None:
        """A copy did not arrive, or nobody knows: it is owed until a job has compared it.

        Call it once the store shows the rows: a job before that could pass over them.
        """
        known, number = self._holder(holder), self._next()
        for place in places:
            known.places[place] = number
        if len(known.places) > PLACES_MAX:
            _add(known.marks, number, _cells(known.places))
            known.places.clear()
        self._tidy(holder)
        self.epoch += 1

    def forget(self, holder: str) -> None:
        """A node that holds nothing any more is owed nothing."""
        if self._by_holder.pop(holder, None) is not None:
            self.epoch += 1

    def holders(self) -> list[str]:
        """Holders with whom something must be compared, sorted."""
        return sorted(holder for holder, known in self._by_holder.items() if known.due())

    def work(self, holder: str) -> Work:
        """What a job must do now."""
        known = self._by_holder.get(holder, _Holder())
        uncompared: Spans = ()
        for _, spans in (*known.marks, *known.checks):
            uncompared = union(uncompared, spans)
        cells: dict[str, dict[int, list[tuple[int, int]]]] = {}
        for place in sorted(known.places):
            slots = cells.setdefault(place.collection, {})
            slots.setdefault(place.slot, []).append((CELL_LEVEL, place.cell))
        places = {
            collection: {slot: cells_to_spans(found) for slot, found in slots.items()}
            for collection, slots in cells.items()
        }
        return Work(
            holder,
            self._number,
            uncompared,
            places,
            tuple((spans, start, stop) for _, spans, start, stop in known.stretches),
        )

    def done(self, work: Work) -> None:
        """All of it was compared, and the holder has what it lacked; later trouble stays."""
        known = self._by_holder.get(work.holder)
        if known is None:
            return
        known.marks = _after(known.marks, work)
        known.checks = _after(known.checks, work)
        known.stretches = [stretch for stretch in known.stretches if stretch[0] > work.number]
        known.places = {
            place: number for place, number in known.places.items() if number > work.number
        }
        self._tidy(work.holder)
        self.epoch += 1

    def owed(self, holder: str) -> Spans:
        """Codes in which a holder may lack acknowledged records."""
        known = self._by_holder.get(holder)
        if known is None:
            return ()
        spans = cells_to_spans(
            (CELL_LEVEL, cell)
            for cell in sorted({*known.late, *(place.cell for place in known.places)})
        )
        for _, marked in known.marks:
            spans = union(spans, marked)
        for _, marked, _, _ in known.stretches:
            spans = union(spans, marked)
        return spans

    def summary(self) -> Mapping[str, Spans]:
        """Holder → spans in which it may lack acknowledged records; bounded, for a node's word.

        The same object until something changes.
        """
        if self._summary_epoch != self.epoch:
            share = SUMMARY_SPANS_ALL_MAX // max(1, len(self._by_holder))
            most = max(1, min(SUMMARY_SPANS_MAX, share))
            told = {holder: bounded(self.owed(holder), most) for holder in sorted(self._by_holder)}
            self._summary = {holder: spans for holder, spans in told.items() if spans}
            self._summary_epoch = self.epoch
        return self._summary

    def counts(self) -> Mapping[str, int]:
        """Holder → places and marks with something outstanding, for status and tests."""
        return {
            holder: count
            for holder, known in sorted(self._by_holder.items())
            if (
                count := len(known.places)
                + len(known.late)
                + len(known.marks)
                + len(known.stretches)
            )
        }

    def _holder(self, holder: str) -> _Holder:
        return self._by_holder.setdefault(holder, _Holder())

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _tidy(self, holder: str) -> None:
        known = self._by_holder[holder]
        if not (known.late or known.due()):
            del self._by_holder[holder]


def bounded(spans: Spans, most: int = SUMMARY_SPANS_MAX) -> Spans:
    """The spans, or a superset of at most so many in which the smallest gaps are closed."""
    if len(spans) <= most:
        return spans
    gaps = sorted(range(1, len(spans)), key=lambda at: (spans[at - 1][1] - spans[at][0], at))[
        : most - 1
    ]
    cuts = [0, *sorted(gaps), len(spans)]
    return tuple((spans[first][0], spans[last - 1][1]) for first, last in pairwise(cuts))


def _add(marks: list[tuple[int, Spans]], number: int, spans: Spans) -> None:
    marks.append((number, spans))
    if len(marks) > MARKS_MAX:
        joined: Spans = ()
        for _, marked in marks:
            joined = union(joined, marked)
        marks[:] = [(number, joined)]


def _after(marks: list[tuple[int, Spans]], work: Work) -> list[tuple[int, Spans]]:
    kept: list[tuple[int, Spans]] = []
    for number, spans in marks:
        rest = spans if number > work.number else subtract(spans, work.uncompared)
        if rest:
            kept.append((number, rest))
    return kept


def _cells(places: Iterable[Place]) -> Spans:
    return cells_to_spans((CELL_LEVEL, cell) for cell in sorted({place.cell for place in places}))
