"""Who reads what: for every code one holder in contact, and the keepers that owe it something.

A `ReaderMap` is computed once for a ring and a standing of the members; queries are then laid
over it. Owners answer for their spans while they are in contact and filled. Otherwise the
nearest holder stands in, and the other holders in contact are read as well: the owner may have
gone between sending one replica its copy and the next, and only it knew that (until stores are
compared by digest, which is the mover's work, nobody can tell a replica that is in step). Where
the chosen reader is owed records by a keeper, the keeper reads the same span too, and the span
counts as settling.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from zring.domain import Domain
from zring.morton import CODE_STOP
from zring.span import Span, Spans, intersect, normalise, spans_to_cells, union

Bounds = tuple[int, int, int, int]

CELLS_TESTED_MAX = 48
"""Rings of fewer cells are matched with a box cell by cell, which is exact and takes a few µs;
larger ones through a cover."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of the members at one moment.

    Attributes:
        contact: members that answer, this node included.
        unfilled: members whose store was lost; they never answer alone.
        owed: holder → keeper in contact → spans in which the keeper has records that the
            holder may lack.
    """

    contact: frozenset[str]
    unfilled: frozenset[str] = frozenset()
    owed: Mapping[str, Mapping[str, Spans]] = field(default_factory=dict)

    def without(self, failed: frozenset[str]) -> "Standing":
        """The standing after some members failed to answer during a query."""
        owed = {
            holder: {keeper: spans for keeper, spans in owing.items() if keeper not in failed}
            for holder, owing in self.owed.items()
        }
        return Standing(self.contact - failed, self.unfilled, owed)


@dataclass(frozen=True, slots=True)
class Route:
    """The readers of one query.

    Attributes:
        readers: (node, spans) sorted by node; spans of different readers are disjoint.
        keepers: (node, spans) read besides the readers: those who owe these records, and the
            other holders where the owner does not read.
        missing: spans without any filled holder in contact (an unfilled one may still read them).
        stand_ins: owner without contact → spans that a replica reads in its place.
        settling: spans whose reader is owed records.
    """

    readers: tuple[tuple[str, Spans], ...]
    keepers: tuple[tuple[str, Spans], ...] = ()
    missing: Spans = ()
    stand_ins: Mapping[str, Spans] = field(default_factory=dict)
    settling: Spans = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring codes with one holder set: who reads them and who ought to."""

    start: int
    stop: int
    owner: str
    reader: str | None
    filled: bool
    others: tuple[str, ...] = ()


class ReaderMap:
    """Every code's reader under one ring and one standing of the members."""

    __slots__ = ("_boxes", "_owed", "_segments", "_starts", "only_reader")

    def __init__(
        self,
        domain: Domain,
        starts: Sequence[int],
        holders: Sequence[tuple[str, ...]],
        standing: Standing,
    ) -> None:
        """Assign readers.

        Args:
            starts: sorted first codes of the spans of a holder map, the first one 0.
            holders: the holders of each of these spans, owner first.
        """
        self._owed = standing.owed
        self._segments = _joined(
            _assign(int(start), int(stop), set_, standing)
            for start, stop, set_ in zip(starts, [*starts[1:], CODE_STOP], holders, strict=True)
        )
        self._starts = [segment.start for segment in self._segments]
        self._boxes = _boxes(domain, self._segments)
        readers = {segment.reader for segment in self._segments}
        whole = len(readers) == 1 and all(
            segment.filled and not segment.others for segment in self._segments
        )
        self.only_reader: str | None = next(iter(readers)) if whole and not self._owed else None
        """The node that reads everything, where one does and nothing is in its way."""

    @property
    def exact(self) -> bool:
        """Whether `route_box` can be asked: the ring has few cells."""
        return self._boxes is not None

    def route_box(self, bounds: Bounds, spans: Spans | None) -> Route:
        """Readers of the cells that a closed box touches, cut to `spans` where given."""
        assert self._boxes is not None
        west, south, east, north = bounds
        touched = [
            (start, stop, segment)
            for cell_west, cell_south, cell_east, cell_north, start, stop, segment in self._boxes
            if west < cell_east and east >= cell_west and south < cell_north and north >= cell_south
        ]
        return self._route(touched, spans)

    def route_spans(self, spans: Spans) -> Route:
        """Readers of some spans. Cost: a few µs for each span and segment met."""
        met: list[tuple[int, int, Segment]] = []
        for start, stop in spans:
            at = bisect_right(self._starts, start) - 1
            while at < len(self._segments) and self._segments[at].start < stop:
                segment = self._segments[at]
                met.append((max(start, segment.start), min(stop, segment.stop), segment))
                at += 1
        return self._route(met, None)

    def _route(self, met: list[tuple[int, int, Segment]], spans: Spans | None) -> Route:
        read: dict[str, list[tuple[int, int]]] = {}
        others: dict[str, list[tuple[int, int]]] = {}
        missing: list[tuple[int, int]] = []
        stand_ins: dict[str, list[tuple[int, int]]] = {}
        for start, stop, segment in met:
            if segment.reader is not None:
                read.setdefault(segment.reader, []).append((start, stop))
            for node in segment.others:
                others.setdefault(node, []).append((start, stop))
            if not segment.filled:
                missing.append((start, stop))
            elif segment.reader != segment.owner:
                stand_ins.setdefault(segment.owner, []).append((start, stop))

        def cut(pairs: list[tuple[int, int]]) -> Spans:
            joined = normalise(pairs)
            return joined if spans is None else intersect(joined, spans)

        readers = [(node, cut(pairs)) for node, pairs in sorted(read.items())]
        readers = [(node, part) for node, part in readers if part]
        keepers = self._keepers(readers) if self._owed else {}
        settling: Spans = ()
        for part in keepers.values():
            settling = union(settling, part)
        for node, pairs in sorted(others.items()):
            part = union(keepers.get(node, ()), cut(pairs))
            if part:
                keepers[node] = part
        owners = ((owner, cut(pairs)) for owner, pairs in sorted(stand_ins.items()))
        return Route(
            readers=tuple(readers),
            keepers=tuple(sorted(keepers.items())),
            missing=cut(missing),
            stand_ins={owner: part for owner, part in owners if part},
            settling=settling,
        )

    def _keepers(self, readers: list[tuple[str, Spans]]) -> dict[str, Spans]:
        keepers: dict[str, Spans] = {}
        for node, part in readers:
            for keeper, spans in sorted(self._owed.get(node, {}).items()):
                shared = intersect(part, spans)
                if shared:
                    keepers[keeper] = union(keepers.get(keeper, ()), shared)
        return keepers


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
    chosen: dict[str, list[Span]] = {}
    for span, holders in stretches:
        fit = [
            node
            for node in holders[1:]
            if node != slow
            and node in standing.contact
            and node not in standing.unfilled
            and not any(intersect(owed, (span,)) for owed in standing.owed.get(node, {}).values())
        ]
        if holders[0] != slow or not fit:
            return None
        chosen.setdefault(fit[0], []).append(span)
    return {node: normalise(spans) for node, spans in sorted(chosen.items())}


def _assign(start: int, stop: int, holders: tuple[str, ...], standing: Standing) -> Segment:
    owner = holders[0]
    present = [node for node in holders if node in standing.contact]
    filled = [node for node in present if node not in standing.unfilled]
    if owner in filled:
        return Segment(start, stop, owner, owner, True)
    reader = filled[0] if filled else present[0] if present else None
    others = tuple(node for node in present if node != reader)
    return Segment(start, stop, owner, reader, bool(filled), others)


def _joined(segments: Iterable[Segment]) -> list[Segment]:
    joined: list[Segment] = []
    for segment in segments:
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.owner == segment.owner
            and last.reader == segment.reader
            and last.filled == segment.filled
            and last.others == segment.others
        ):
            joined[-1] = Segment(
                last.start, segment.stop, last.owner, last.reader, last.filled, last.others
            )
        else:
            joined.append(segment)
    return joined


_CellBox = tuple[int, int, int, int, int, int, Segment]


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
            ((start, stop),) = ((index << (62 - 2 * level), (index + 1) << (62 - 2 * level)),)
            boxes.append(
                (
                    west,
                    south,
                    east + (east == domain.east),
                    north + (north == domain.north),
                    start,
                    stop,
                    segment,
                )
            )
    return boxes
