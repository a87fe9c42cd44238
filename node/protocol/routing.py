"""Who reads what: for every code one filled holder in contact, and whoever owes it something.

A `ReaderMap` is computed once for a ring and a standing of the members; queries are then laid
over it. For every code, in this order (PROTOCOL 3.3 and 6):

1. the owner, where it is in contact and filled;
2. else the nearest filled holder in contact: in step but for what it is owed, so enough alone;
3. else a former holder that is filled: it no longer receives writes, so every present holder is
   read besides, and the span counts as settling;
4. else nobody who may answer alone: what present holders have is read, and the span is missing.

Whoever owes the chosen reader records is read besides it. While it is a holder of the span
itself it cannot let go of them meanwhile, and nothing is missing from the answer; where it is a
keeper, or its answer cannot be had, the span counts as settling.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from node.protocol.rules import ALL_RULES, Rules
from zring.domain import Domain
from zring.morton import CODE_BITS, CODE_STOP, Int64s
from zring.placement import HolderMap
from zring.span import (
    Span,
    Spans,
    contains,
    intersect,
    normalise,
    spans_to_cells,
    subtract,
    union,
)

Bounds = tuple[int, int, int, int]

CELLS_TESTED_MAX = 48
"""Rings of fewer cells are matched with a box cell by cell, which is exact and takes a few µs;
larger ones through a cover."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of the members at one moment.

    Attributes:
        contact: members that answer, this node included.
        filled: node → codes for which its store is filled; nobody else answers alone.
        owed: holder → node → spans in which that node has records that the holder may lack.
            Nodes without contact count: their answer cannot be had.
        unheard: members in contact of whom is not known what they owe.
    """

    contact: frozenset[str]
    filled: Mapping[str, Spans]
    owed: Mapping[str, Mapping[str, Spans]] = field(default_factory=dict)
    unheard: frozenset[str] = frozenset()

    def without(self, failed: frozenset[str]) -> "Standing":
        """The standing after some members failed to answer during a query."""
        return replace(self, contact=self.contact - failed)


@dataclass(frozen=True, slots=True)
class Route:
    """The readers of one query.

    Attributes:
        readers: (node, spans) sorted by node; spans of different readers are disjoint.
        keepers: (node, spans) read besides the readers: those who owe these records, and the
            present holders where none of them is filled.
        missing: spans without any filled node in contact (an unfilled one may still read them).
        stand_ins: owner that does not read → spans that a replica reads in its place.
        settling: spans in which records may still be on their way to those who were read.
    """

    readers: tuple[tuple[str, Spans], ...]
    keepers: tuple[tuple[str, Spans], ...] = ()
    missing: Spans = ()
    stand_ins: Mapping[str, Spans] = field(default_factory=dict)
    settling: Spans = ()


@dataclass(frozen=True, slots=True)
class Part:
    """How codes with one list of holders and the same filled nodes are read.

    Attributes:
        holders: the owner first; where one filled holder reads, of the others only those who
            owe it records.
        reader: None where no holder is in contact and nobody was one.
        filled: the reader may answer alone.
        former: the reader is no holder any more.
        others: read besides in any case.
    """

    holders: tuple[str, ...]
    reader: str | None
    filled: bool
    former: bool = False
    others: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        """Who ought to read."""
        return self.holders[0]

    @property
    def is_plain(self) -> bool:
        """One filled holder reads."""
        return self.filled and not self.former

    def owed_nodes(self) -> tuple[str, ...]:
        """Whose debtors are read as well: the reader's; where it is not enough alone, also those
        of every holder, in contact or not."""
        if self.is_plain:
            assert self.reader is not None
            return (self.reader,)
        names = (() if self.reader is None else (self.reader,)) + self.holders
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring codes that are read alike; `part` is an index into the different ways."""

    start: int
    stop: int
    part: int


class ReaderMap:
    """Every code's reader under one ring and one standing of the members.

    Cost: one pass of numpy over the stretches of the holder map and the filled spans, and a few
    µs for each different list of holders.
    """

    __slots__ = (
        "_boxes",
        "_contact",
        "_debtors",
        "_domain",
        "_owed",
        "_parts",
        "_rules",
        "_segments",
        "_starts",
        "_unheard",
        "_ways",
        "only_reader",
    )

    def __init__(
        self,
        domain: Domain,
        holders: HolderMap,
        standing: Standing,
        *,
        rules: Rules = ALL_RULES,
        before: "ReaderMap | None" = None,
    ) -> None:
        """Assign readers.

        Args:
            before: an earlier map; where only debts have changed since, most of it still holds.
        """
        self._rules = rules
        self._ways: _Ways = (
            before._ways
            if before is not None and before._ways.fit(holders, standing)
            else _find_ways(holders, standing)
        )
        self._owed = standing.owed
        self._contact = standing.contact
        self._unheard = bool(standing.unheard)
        self._domain = domain
        self._debtors = {node: frozenset(debtors) for node, debtors in standing.owed.items()}
        self._boxes: list[_CellBox] | Literal["unknown"] | None = "unknown"
        self._parts: list[Part]
        self._segments: list[Segment]
        self._starts: list[int]
        if before is not None and self._ways is before._ways and self._debtors == before._debtors:
            # Who owes whom decides how codes are read; how much, what is read besides.
            self._parts, self._segments = before._parts, before._segments
            self._starts, self._boxes = before._starts, before._boxes
        else:
            self._parts, self._segments = _segments(self._ways, standing, rules)
            self._starts = [segment.start for segment in self._segments]
        readers = {part.reader for part in self._parts}
        plain = all(part.is_plain for part in self._parts)
        alone = len(readers) == 1 and plain and not self._unheard
        only = next(iter(readers)) if alone else None
        self.only_reader: str | None = None if only in self._owed else only
        """The node that reads everything, where one does and nothing is in its way."""

    @property
    def exact(self) -> bool:
        """Whether `route_box` can be asked: the ring has few cells."""
        return self._cell_boxes() is not None

    def route_box(self, bounds: Bounds, spans: Spans | None) -> Route:
        """Readers of the cells that a closed box touches, cut to `spans` where given."""
        boxes = self._cell_boxes()
        assert boxes is not None
        west, south, east, north = bounds
        met: dict[int, list[Span]] = {}
        for cell_west, cell_south, cell_east, cell_north, span, part in boxes:
            if (
                west < cell_east
                and east >= cell_west
                and south < cell_north
                and north >= cell_south
            ):
                met.setdefault(part, []).append(span)
        return self._route(met, spans)

    def route_spans(self, spans: Spans) -> Route:
        """Readers of some spans. Cost: a few µs for each span and segment met."""
        met: dict[int, list[Span]] = {}
        for start, stop in spans:
            at = bisect_right(self._starts, start) - 1
            while at < len(self._segments) and self._segments[at].start < stop:
                segment = self._segments[at]
                span = max(start, segment.start), min(stop, segment.stop)
                met.setdefault(segment.part, []).append(span)
                at += 1
        return self._route(met, None)

    def read_by(self, node: str, route: Route) -> Route:
        """The route with everything that a node has in step read there: the answer is the same.

        In step means what it means for a slow owner's replicas: a holder in contact, filled, to
        whom nobody owes anything.
        """
        if self._unheard or node not in self._contact:
            return route
        known = self._ways.filled.get(node, ())
        for owed in self._owed.get(node, {}).values():
            known = subtract(known, owed)
        known = subtract(known, union(route.missing, route.settling))
        read: dict[str, list[Span]] = {}
        for reader, spans in route.readers:
            held = normalise(
                span for span, names in self._ways.holders.stretches(spans) if node in names
            )
            mine = spans if reader == node else intersect(held, known)
            read.setdefault(node, []).extend(mine)
            if reader != node:
                read.setdefault(reader, []).extend(subtract(spans, mine))
        return replace(route, readers=_sorted({name: own for name, own in read.items() if own}))

    def _cell_boxes(self) -> "list[_CellBox] | None":
        """Worked out when a box is asked for: most maps are replaced before."""
        if self._boxes == "unknown":
            self._boxes = _boxes(self._domain, self._segments)
        return self._boxes

    def _route(self, met: dict[int, list[Span]], spans: Spans | None) -> Route:
        read: dict[str, list[Span]] = {}
        besides: dict[str, list[Span]] = {}
        stand_ins: dict[str, list[Span]] = {}
        missing: list[Span] = []
        settling: list[Span] = []
        for number, pairs in met.items():
            part = self._parts[number]
            cut = normalise(pairs) if spans is None else intersect(normalise(pairs), spans)
            if not cut:
                continue
            if part.reader is not None:
                read.setdefault(part.reader, []).extend(cut)
            for node in part.others:
                besides.setdefault(node, []).extend(cut)
            if not part.filled:
                missing.extend(cut)
            elif part.reader != part.owner:
                stand_ins.setdefault(part.owner, []).extend(cut)
            if part.former or self._unheard:
                settling.extend(cut)
            if self._owed and self._rules.owing_read_too:
                settling.extend(self._read_debtors(part, cut, besides))
        return Route(
            readers=_sorted(read),
            keepers=_sorted(besides),
            missing=normalise(missing),
            stand_ins=dict(_sorted(stand_ins)),
            settling=normalise(settling),
        )

    def _read_debtors(self, part: Part, spans: Spans, besides: dict[str, list[Span]]) -> Spans:
        """Add those who owe the readers of a part; returns where that leaves it settling."""
        settling: Spans = ()
        for node in part.owed_nodes():
            for debtor, owed in sorted(self._owed.get(node, {}).items()):
                shared = intersect(spans, owed)
                if not shared or debtor == part.reader:
                    continue
                if debtor in self._contact:
                    besides.setdefault(debtor, []).extend(shared)
                if debtor not in self._contact or debtor not in part.holders:
                    settling = union(settling, shared)
        return settling


def in_step_readers(
    stretches: Sequence[tuple[Span, tuple[str, ...]]], slow: str, standing: Standing
) -> dict[str, Spans] | None:
    """Replicas that may answer in the place of a slow owner without any loss of coverage.

    Everything that the owner acknowledged before the answer's `as_of` is at a replica or owed to
    it, so one that nobody owes anything, the slow owner included, is in step.

    Args:
        stretches: (span, holders) to be read, each owned by the slow node.
    Returns:
        node → spans, sorted by node; None when some stretch has no such replica.
    """
    if standing.unheard:
        return None
    chosen: dict[str, list[Span]] = {}
    for span, holders in stretches:
        fit = [
            node
            for node in holders[1:]
            if node != slow
            and node in standing.contact
            and not subtract((span,), standing.filled.get(node, ()))
            and not any(intersect(owed, (span,)) for owed in standing.owed.get(node, {}).values())
        ]
        if holders[0] != slow or not fit:
            return None
        chosen.setdefault(fit[0], []).append(span)
    return {node: normalise(spans) for node, spans in sorted(chosen.items())}


def _sorted(spans_of: Mapping[str, list[Span]]) -> tuple[tuple[str, Spans], ...]:
    return tuple((node, normalise(spans)) for node, spans in sorted(spans_of.items()))


@dataclass(frozen=True, slots=True)
class _Ways:
    """The domain cut where holders or filled nodes change, and the different pieces by number.

    Attributes:
        starts: int64[k], first code of each piece; way: int[k], its number.
        sets: of each number the holders and the nodes that are filled.
    """

    holders: HolderMap
    contact: frozenset[str]
    filled: Mapping[str, Spans]
    starts: Int64s
    way: npt.NDArray[np.intp]
    sets: tuple[tuple[tuple[str, ...], frozenset[str]], ...]

    def fit(self, holders: HolderMap, standing: Standing) -> bool:
        """Whether they are the same under another standing."""
        return (
            self.holders is holders
            and self.contact == standing.contact
            and self.filled == standing.filled
        )


def _find_ways(holders: HolderMap, standing: Standing) -> _Ways:
    names = sorted(node for node in standing.contact if standing.filled.get(node))
    ends = {end for node in names for span in standing.filled[node] for end in span}
    cuts = np.union1d(holders.starts, np.array(sorted(ends - {CODE_STOP}), np.int64))
    chosen = holders.holders_of(cuts).astype(np.int64)
    filled = np.empty((len(cuts), len(names)), np.bool_)
    for column, node in enumerate(names):
        filled[:, column] = contains(standing.filled[node], cuts)
    first, way = _different_rows(chosen, filled)
    sets = tuple(
        (
            holders.sets[index],
            frozenset(names[column] for column in np.flatnonzero(filled[at]).tolist()),
        )
        for at, index in zip(first.tolist(), chosen[first].tolist(), strict=True)
    )
    return _Ways(holders, standing.contact, standing.filled, cuts, way, sets)


def _segments(ways: _Ways, standing: Standing, rules: Rules) -> tuple[list[Part], list[Segment]]:
    """The different parts, and neighbouring pieces that are read alike joined."""
    numbers: dict[Part, int] = {}
    number_of_way = [
        numbers.setdefault(_part(holders, filled, standing, rules), len(numbers))
        for holders, filled in ways.sets
    ]
    number = np.array(number_of_way, np.int64)[ways.way]
    changes = np.flatnonzero(np.append(True, number[1:] != number[:-1]))
    starts = ways.starts[changes].tolist()
    segments = [
        Segment(start, stop, at)
        for start, stop, at in zip(
            starts, [*starts[1:], CODE_STOP], number[changes].tolist(), strict=True
        )
    ]
    return list(numbers), segments


def _different_rows(
    chosen: Int64s, filled: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The first of each kind of rows (set of holders, who is filled), and every row's kind."""
    packed = np.concatenate(
        (chosen.reshape(-1, 1).view(np.uint8).reshape(len(chosen), 8), np.packbits(filled, axis=1)),
        axis=1,
    )
    rows = np.ascontiguousarray(packed).view(f"V{packed.shape[1]}").reshape(-1)
    _, first, kind = np.unique(rows, return_index=True, return_inverse=True)
    return first, kind.reshape(-1)


def _part(
    holders: tuple[str, ...], filled: frozenset[str], standing: Standing, rules: Rules
) -> Part:
    """Who reads codes with these holders, where these nodes in contact are filled."""
    present = [node for node in holders if node in standing.contact]
    fit = [node for node in present if node in filled or not rules.unfilled_never_alone]
    if fit:
        # Holders that make no difference are left out, so that more codes are read alike.
        debtors = standing.owed.get(fit[0], {})
        told = (holders[0], *(node for node in holders[1:] if node in debtors))
        return Part(told, fit[0], True)
    if filled and rules.former_holders_read:
        return Part(holders, min(filled), True, True, tuple(present))
    return Part(holders, present[0] if present else None, False, False, tuple(present[1:]))


_CellBox = tuple[int, int, int, int, Span, int]


def _boxes(domain: Domain, segments: list[Segment]) -> list[_CellBox] | None:
    """Edges and codes of each segment's cells; None when there are too many.

    Cells are half-open; those on the domain's upper edges hold the edge too, so their east and
    north are one unit further out.
    """
    boxes: list[_CellBox] = []
    for segment in segments:
        for level, index in spans_to_cells(((segment.start, segment.stop),)):
            if len(boxes) >= CELLS_TESTED_MAX:
                return None
            west, south, east, north = domain.cell_bounds(level=level, index=index)
            bits = CODE_BITS - 2 * level
            boxes.append(
                (
                    west,
                    south,
                    east + (east == domain.east),
                    north + (north == domain.north),
                    (index << bits, (index + 1) << bits),
                    segment.part,
                )
            )
    return boxes
