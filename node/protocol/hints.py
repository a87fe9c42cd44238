"""What holders have not confirmed: the small persisted set that stands in for the mover.

A hint says: holder H may lack records of this collection in this cell and time slot that this
node has. Hints are coarse (256 cells of the domain, slots of 16 days), because sending a record
again is harmless and a small set is cheap to keep. Three rules make it safe:

1. **Intent before data.** A cell and slot is noted for a holder in the same transaction as the
   first record that goes there, so a crash between storing and sending forgets nothing.
2. **Owed before acknowledged.** When a batch is acknowledged, every copy still out counts as
   owed; gossip tells it, so that no reader takes a lagging holder for complete.
3. **Cleared only when idle.** An entry leaves at a tick, when nothing of it is on its way and
   everything in it was sent again after the last failure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np

from node.records import Rows
from zring.morton import CODE_BITS, Int64s
from zring.span import Spans, cells_to_spans

CELL_LEVEL = 4
"""256 cells: fine enough to tell neighbourhoods apart, few enough to list."""
SLOT_US = 16 * 86_400 * 1_000_000
ANY_SLOT = -(1 << 40)
"""Stands for all times, once a holder has missed more than `ENTRIES_MAX` slots."""
ENTRIES_MAX = 4_096
"""Entries of one holder: some 100 KB; beyond it time slots are given up, cells are kept."""
SUMMARY_SPANS_MAX = 64
"""Spans told of one holder; beyond it gaps are closed."""

_SHIFT = CODE_BITS - 2 * CELL_LEVEL
_VERSION = 1


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One collection in one cell and time slot."""

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
class Resend:
    """One piece of work: send again what this node has of a collection in these codes and times.

    Attributes:
        time_start, time_stop: half-open microseconds; None is unbounded.
        marks: (place, failures seen) to hand back to `resent`.
    """

    collection: str
    spans: Spans
    time_start: int | None
    time_stop: int | None
    marks: tuple[tuple[Place, int], ...]


class _Entry:
    """On its way (`late` copies, counted), and what failed and must be sent again."""

    __slots__ = ("failures", "intents", "late", "owed")

    def __init__(self) -> None:
        self.intents = 0
        self.late = 0
        self.owed = False
        self.failures = 0


class Hints:
    """What this node has and others may lack.

    `epoch` rises with every change of `summary`; `dirty` is true while `encode` differs from
    what was last persisted.
    """

    __slots__ = ("_by_holder", "dirty", "epoch")

    def __init__(self) -> None:
        self._by_holder: dict[str, dict[Place, _Entry]] = {}
        self.epoch = 0
        self.dirty = False

    def intend(self, holder: str, places: Iterable[Place]) -> None:
        """A copy is about to be sent; call before storing, persist when `dirty`."""
        entries = self._by_holder.setdefault(holder, {})
        for place in self._folded(entries, places):
            entry = entries.get(place)
            if entry is None:
                entry = entries[place] = _Entry()
                self.dirty = True
            entry.intents += 1

    def acknowledge(self, holder: str, places: Iterable[Place]) -> None:
        """The batch was acknowledged while this copy is still out: it is owed from now on."""
        for entry in self._entries(holder, places):
            if not entry.late and not entry.owed:
                self.epoch += 1
            entry.late += 1

    def confirm(self, holder: str, places: Iterable[Place], *, late: bool) -> None:
        """The holder has the copy; `late`: `acknowledge` was called for it."""
        for entry in self._entries(holder, places):
            entry.intents = max(0, entry.intents - 1)
            if late:
                entry.late = max(0, entry.late - 1)

    def fail(self, holder: str, places: Iterable[Place], *, late: bool) -> None:
        """The copy did not arrive, or nobody knows: it is owed until it was sent again."""
        self.confirm(holder, places, late=late)
        entries = self._by_holder.setdefault(holder, {})
        for place in self._folded(entries, places):
            if place not in entries:
                entries[place] = _Entry()
                self.dirty = True
            entry = entries[place]
            if not entry.owed:
                entry.owed = True
                self.epoch += 1
            entry.failures += 1

    def owe_everything(self, holder: str, collections: Iterable[str], cells: Iterable[int]) -> None:
        """The holder's store was lost: everything this node has in some cells is owed."""
        cells = sorted(cells)
        places = [Place(name, ANY_SLOT, cell) for name in sorted(collections) for cell in cells]
        self.fail(holder, places, late=False)

    def holders(self) -> list[str]:
        """Holders to whom something must be sent again, sorted."""
        return sorted(
            holder
            for holder, entries in self._by_holder.items()
            if any(entry.owed for entry in entries.values())
        )

    def resends(self, holder: str) -> list[Resend]:
        """The work that would clear what is owed to a holder, in a fixed order."""
        entries = self._by_holder.get(holder, {})
        slots: dict[tuple[str, int], list[Place]] = {}
        for place in sorted(place for place, entry in entries.items() if entry.owed):
            slots.setdefault((place.collection, place.slot), []).append(place)
        return [
            Resend(
                collection=collection,
                spans=cells_to_spans((CELL_LEVEL, place.cell) for place in places),
                time_start=None if slot == ANY_SLOT else slot * SLOT_US,
                time_stop=None if slot == ANY_SLOT else (slot + 1) * SLOT_US,
                marks=tuple((place, entries[place].failures) for place in places),
            )
            for (collection, slot), places in slots.items()
        ]

    def resent(self, holder: str, work: Resend) -> None:
        """All of it has been confirmed; places that failed again meanwhile stay owed."""
        entries = self._by_holder.get(holder, {})
        for place, failures in work.marks:
            entry = entries.get(place)
            if entry is not None and entry.failures == failures:
                entry.owed = False
                self.epoch += 1

    def forget(self, holder: str) -> None:
        """A node that holds nothing any more is owed nothing."""
        if self._by_holder.pop(holder, None):
            self.epoch += 1
            self.dirty = True

    def tick(self) -> None:
        """Let go of places with nothing outstanding; persist afterwards when `dirty`."""
        for holder in sorted(self._by_holder):
            entries = self._by_holder[holder]
            idle = [
                place
                for place, entry in entries.items()
                if not (entry.intents or entry.late or entry.owed)
            ]
            for place in idle:
                del entries[place]
            if idle:
                self.dirty = True
                self.epoch += 1
            if not entries:
                del self._by_holder[holder]

    def summary(self) -> dict[str, Spans]:
        """Holder → spans in which it may lack acknowledged records; bounded, for gossip."""
        told: dict[str, Spans] = {}
        for holder in sorted(self._by_holder):
            cells = {
                place.cell
                for place, entry in self._by_holder[holder].items()
                if entry.late or entry.owed
            }
            if cells:
                told[holder] = _bounded(
                    cells_to_spans((CELL_LEVEL, cell) for cell in sorted(cells))
                )
        return told

    def outstanding(self) -> Mapping[str, int]:
        """Holder → places with something outstanding, for status and tests."""
        return {
            holder: count
            for holder, entries in sorted(self._by_holder.items())
            if (count := sum(1 for entry in entries.values() if entry.late or entry.owed))
        }

    def encode(self) -> bytes:
        """Everything that may be outstanding, for the engine's settings."""
        return msgpack.packb(
            {
                "version": _VERSION,
                "holders": {
                    holder: [(p.collection, p.slot, p.cell) for p in sorted(entries)]
                    for holder, entries in sorted(self._by_holder.items())
                },
            }
        )

    @classmethod
    def decode(cls, document: bytes | None) -> "Hints":
        """Undo `encode` after a start: whatever may be outstanding is owed."""
        hints = cls()
        if document is None:
            return hints
        content: dict[str, Any] = msgpack.unpackb(document)
        assert content["version"] == _VERSION, content["version"]
        for holder, places in content["holders"].items():
            hints.fail(holder, [Place(*place) for place in places], late=False)
        hints.dirty = False
        return hints

    def _entries(self, holder: str, places: Iterable[Place]) -> list[_Entry]:
        entries = self._by_holder.get(holder, {})
        found = (
            entries.get(place) or entries.get(Place(place.collection, ANY_SLOT, place.cell))
            for place in places
        )
        return [entry for entry in found if entry is not None]

    def _folded(self, entries: dict[Place, _Entry], places: Iterable[Place]) -> Sequence[Place]:
        """The places to note; without time slots once there are too many of them."""
        wanted = list(places)
        if len(entries) + len(wanted) <= ENTRIES_MAX:
            return wanted
        for place in [place for place in entries if place.slot != ANY_SLOT]:
            entry = entries.pop(place)
            whole = entries.setdefault(Place(place.collection, ANY_SLOT, place.cell), _Entry())
            whole.intents += entry.intents
            whole.late += entry.late
            whole.owed = whole.owed or entry.owed
            whole.failures += entry.failures
        self.dirty = True
        return sorted({Place(place.collection, ANY_SLOT, place.cell) for place in wanted})


def _bounded(spans: Spans) -> Spans:
    if len(spans) <= SUMMARY_SPANS_MAX:
        return spans
    gaps = sorted(range(1, len(spans)), key=lambda at: (spans[at - 1][1] - spans[at][0], at))[
        : SUMMARY_SPANS_MAX - 1
    ]
    cuts = [0, *sorted(gaps), len(spans)]
    return tuple((spans[first][0], spans[last - 1][1]) for first, last in pairwise(cuts))
