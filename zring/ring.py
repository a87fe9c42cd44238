"""The ring document: who owns which codes, and the settings that all nodes must share.

A ring is an immutable value. Its spans cover [0, 2**62) without gaps, their ends lie on cells of
the grain level, and neighbours with equal (owner, next, epoch) are joined, so equal contents are
equal values and equal digests. Rings only move forward: `merge` takes for every code the greatest
(epoch, owner, next), settings with the greatest (epoch, digest of their content), and for every
collection the greatest expiry day, which makes it commutative, associative and idempotent: two
sides of a split agree without a vote.

Document (msgpack, one map; readers ignore fields they do not know):

    version      1
    cluster      text
    domain       [west, south, east, north], e7
    grain_level  integer 1..31
    settings     {epoch, placement, replicas, far_copies, archives: [text], expiry_days: {text: n},
                  keep_days: {text: n}}
    nodes        [text], sorted: the names that the columns below point to
    starts       [integer]: first grain of each span; the first is 0
    owners       [integer]: index into nodes, one for each span
    nexts        [integer]: index into nodes, or -1 for no owner to come
    epochs       [integer]
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Self

import msgpack

from zring.digest import hash_bytes
from zring.domain import Domain
from zring.errors import DifferentCluster, InvalidArea, InvalidDocument
from zring.fields import checked_items, integer_of, integers_of, member_of, text_of
from zring.morton import CODE_BITS, CODE_STOP
from zring.settings import (
    EPOCH_MAX,
    PLACEMENTS,
    Settings,
    check_name,
    check_range,
    packed,
    settings_from_plain,
)
from zring.span import Spans, normalise

__all__ = [
    "EPOCH_MAX",
    "PLACEMENTS",
    "Ring",
    "RingSpan",
    "Settings",
    "founding_ring",
    "from_document",
    "merge",
    "to_document",
]

DOCUMENT_VERSION = 1
NODES_MAX = 10_000
"""Members of one cluster; gossip and status pages are made for hundreds."""
SPANS_MAX = 1 << 20
"""Spans of one ring: 100 nodes of 10,000 scattered cells each; more belongs on coarser grains."""


@dataclass(frozen=True, slots=True)
class RingSpan:
    """Codes [start, stop) with their owner, the owner to come (or None) and the epoch of both."""

    start: int
    stop: int
    owner: str
    next: str | None
    epoch: int

    def rank(self) -> tuple[int, str, str]:
        """What decides between two claims on the same code."""
        return self.epoch, self.owner, self.next or ""


@dataclass(frozen=True, slots=True)
class Ring:
    """The map code → (owner, next, epoch) of one cluster and its settings.

    Spans may be given unjoined; they are joined when the ring is built.

    Raises:
        InvalidDocument: spans leave gaps, end off the grain, or a name or number is not allowed.
    """

    cluster_id: str
    domain: Domain
    grain_level: int
    settings: Settings
    spans: tuple[RingSpan, ...]
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _digest: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_name(self.cluster_id)
        check_range("grain_level", self.grain_level, 1, CODE_BITS // 2)
        object.__setattr__(self, "spans", _joined(self.spans))
        _check_spans(self.spans, grain_codes=self.grain_codes)
        object.__setattr__(self, "_starts", tuple(span.start for span in self.spans))
        object.__setattr__(self, "_digest", hash_bytes(to_document(self)))

    @property
    def grain_bits(self) -> int:
        """Bits of a code that lie below the grain level."""
        return CODE_BITS - 2 * self.grain_level

    @property
    def grain_codes(self) -> int:
        """Codes of one grain."""
        return 1 << self.grain_bits

    @property
    def epoch(self) -> int:
        """The greatest epoch of any span."""
        return max(span.epoch for span in self.spans)

    def digest(self) -> int:
        """64 bits over everything in the document, unsigned; computed when the ring was built."""
        return self._digest

    def span_at(self, code: int) -> RingSpan:
        """The span that holds a code."""
        assert 0 <= code < CODE_STOP, code
        return self.spans[bisect_right(self._starts, code) - 1]

    def owner_of(self, code: int) -> str:
        """The node that owns a code."""
        return self.span_at(code).owner

    def owned(self, node: str) -> Spans:
        """The codes that a node owns."""
        return normalise((span.start, span.stop) for span in self.spans if span.owner == node)

    def expected(self, node: str) -> Spans:
        """The codes that a node is the owner to come of."""
        return normalise((span.start, span.stop) for span in self.spans if span.next == node)

    def owners(self) -> tuple[str, ...]:
        """Nodes that own something, sorted."""
        return tuple(sorted({span.owner for span in self.spans}))

    def members(self) -> tuple[str, ...]:
        """Owners, owners to come and archives, sorted."""
        names = {span.owner for span in self.spans}
        names.update(span.next for span in self.spans if span.next is not None)
        names.update(self.settings.archives)
        return tuple(sorted(names))

    def assign(self, spans: Spans, *, owner: str, next: str | None = None) -> "Ring":
        """The ring in which these codes have this owner and owner to come, in a new epoch.

        Raises:
            InvalidDocument: the spans do not end on grains.
        """
        return self.changed(spans, lambda _: (owner, next))

    def announce(self, spans: Spans, *, next: str | None) -> "Ring":
        """The ring in which these codes keep their owners and have this owner to come."""
        return self.changed(spans, lambda span: (span.owner, next))

    def hand_over(self, spans: Spans) -> "Ring":
        """The ring in which the owners to come of these codes own them; others stay."""
        return self.changed(
            spans, lambda span: (span.owner if span.next is None else span.next, None)
        )

    def changed(self, spans: Spans, change: Callable[[RingSpan], tuple[str, str | None]]) -> "Ring":
        """Apply `change` (span → owner, next) to these codes; all changes share one new epoch.

        Parts whose owner and next stay as they are keep their epoch.
        """
        epoch = self.epoch + 1
        pieces: list[RingSpan] = []
        wanted = normalise(spans)
        at = 0
        for span in self.spans:
            start = span.start
            while at < len(wanted) and wanted[at][1] <= start:
                at += 1
            inside = at
            while inside < len(wanted) and wanted[inside][0] < span.stop:
                low, high = max(wanted[inside][0], start), min(wanted[inside][1], span.stop)
                if start < low:
                    pieces.append(replace(span, start=start, stop=low))
                owner, next_owner = change(span)
                if (owner, next_owner) == (span.owner, span.next):
                    pieces.append(replace(span, start=low, stop=high))
                else:
                    pieces.append(RingSpan(low, high, owner, next_owner, epoch))
                start = high
                inside += 1
            if start < span.stop:
                pieces.append(replace(span, start=start))
        return replace(self, spans=tuple(pieces))

    def expired(self, days: Mapping[str, int]) -> "Ring":
        """The ring in which these collections begin with later days; a day never goes back.

        The settings keep their epoch: days are merged one by one (PROTOCOL 8).
        """
        later = replace(self.settings, expiry_days=dict(days))
        return replace(self, settings=self.settings.merged(later))

    def with_settings(self, **changes: Any) -> Self:
        """The ring with these settings changed, in a new epoch of the settings."""
        settings = replace(self.settings, **changes, epoch=self.settings.epoch + 1)
        return replace(self, settings=settings)


def founding_ring(
    cluster_id: str,
    domain: Domain,
    grain_level: int,
    founders: Sequence[str],
    settings: Settings | None = None,
) -> Ring:
    """The first ring: equal spans in curve order, one for each founder as they are listed.

    Four founders own the quarters SW, NW, SE, NE.

    Raises:
        InvalidDocument: no founders, one named twice, or more of them than grains.
    """
    check_range("grain_level", grain_level, 1, CODE_BITS // 2)
    grains = 1 << (2 * grain_level)
    if not founders or len(set(founders)) != len(founders) or len(founders) > grains:
        raise InvalidDocument(
            f"founders={list(founders)} must be different nodes, at least one and at most {grains}"
        )
    grain_codes = CODE_STOP // grains
    ends = [index * grains // len(founders) * grain_codes for index in range(len(founders) + 1)]
    spans = tuple(
        RingSpan(start, stop, owner, None, 0)
        for (start, stop), owner in zip(pairwise(ends), founders, strict=True)
    )
    return Ring(cluster_id, domain, grain_level, settings or Settings(), spans)


def merge(left: Ring, right: Ring) -> Ring:
    """The ring that both sides agree on: commutative, associative, idempotent.

    Raises:
        DifferentCluster: cluster id, domain or grain level differ.
    Cost: one pass over the spans of both; nothing when the digests are equal.
    """
    for name in ("cluster_id", "domain", "grain_level"):
        if getattr(left, name) != getattr(right, name):
            raise DifferentCluster(
                f"{name}={getattr(left, name)} and {name}={getattr(right, name)} do not belong "
                "together; check the seeds of this node"
            )
    if left.digest() == right.digest():
        return left
    pieces: list[RingSpan] = []
    i = j = start = 0
    while start < CODE_STOP:
        a, b = left.spans[i], right.spans[j]
        stop = min(a.stop, b.stop)
        winner = a if a.rank() >= b.rank() else b
        pieces.append(RingSpan(start, stop, winner.owner, winner.next, winner.epoch))
        i += a.stop == stop
        j += b.stop == stop
        start = stop
    return replace(left, settings=left.settings.merged(right.settings), spans=tuple(pieces))


def to_document(ring: Ring) -> bytes:
    """The ring as bytes; equal rings give equal bytes."""
    nodes = sorted({span.owner for span in ring.spans} | {s.next for s in ring.spans if s.next})
    index = {name: at for at, name in enumerate(nodes)}
    domain = ring.domain
    return packed(
        {
            "version": DOCUMENT_VERSION,
            "cluster": ring.cluster_id,
            "domain": [domain.west, domain.south, domain.east, domain.north],
            "grain_level": ring.grain_level,
            "settings": ring.settings.to_plain(),
            "nodes": nodes,
            "starts": [span.start >> ring.grain_bits for span in ring.spans],
            "owners": [index[span.owner] for span in ring.spans],
            "nexts": [-1 if span.next is None else index[span.next] for span in ring.spans],
            "epochs": [span.epoch for span in ring.spans],
        }
    )


def from_document(document: bytes) -> Ring:
    """Read any bytes as a ring.

    Raises:
        InvalidDocument: they are none, or one of a version that this program does not know.
    """
    try:
        plain = msgpack.unpackb(document, raw=False, strict_map_key=True)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        raise InvalidDocument("ring document is no msgpack; it may be cut short") from None
    if not isinstance(plain, dict):
        raise InvalidDocument("ring document is no map")
    version = integer_of(plain, "version")
    if version != DOCUMENT_VERSION:
        raise InvalidDocument(
            f"ring document has version {version}, this program reads {DOCUMENT_VERSION}; "
            "upgrade this node"
        )
    grain_level = integer_of(plain, "grain_level")
    check_range("grain_level", grain_level, 1, CODE_BITS // 2)
    edges = integers_of(plain, "domain")
    if len(edges) != 4:
        raise InvalidDocument(f"domain={edges} has not four edges")
    try:
        domain = Domain(*edges)
    except InvalidArea as error:
        raise InvalidDocument(str(error)) from None
    return Ring(
        text_of(plain, "cluster"),
        domain,
        grain_level,
        settings_from_plain(plain.get("settings")),
        _spans_from_columns(plain, grain_level=grain_level),
    )


def _spans_from_columns(plain: dict[str, Any], *, grain_level: int) -> tuple[RingSpan, ...]:
    nodes = list(checked_items(member_of(plain, "nodes", list), str, "nodes"))
    starts, owners, nexts, epochs = (
        integers_of(plain, name) for name in ("starts", "owners", "nexts", "epochs")
    )
    if not len(starts) == len(owners) == len(nexts) == len(epochs):
        raise InvalidDocument("columns starts, owners, nexts, epochs differ in length")
    if len(nodes) > NODES_MAX or len(starts) > SPANS_MAX:
        raise InvalidDocument(
            f"ring of {len(nodes)} nodes and {len(starts)} spans; at most {NODES_MAX} and "
            f"{SPANS_MAX} are allowed"
        )
    if any(not 0 <= owner < len(nodes) for owner in owners) or any(
        not -1 <= following < len(nodes) for following in nexts
    ):
        raise InvalidDocument("owners or nexts point outside nodes")
    bits = CODE_BITS - 2 * grain_level
    stops = [*starts[1:], 1 << (2 * grain_level)] if starts else []
    return tuple(
        RingSpan(start << bits, stop << bits, nodes[owner], None if at < 0 else nodes[at], epoch)
        for start, stop, owner, at, epoch in zip(starts, stops, owners, nexts, epochs, strict=True)
    )


def _joined(spans: Iterable[RingSpan]) -> tuple[RingSpan, ...]:
    joined: list[RingSpan] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last is not None and last.stop == span.start and last.rank() == span.rank():
            joined[-1] = replace(last, stop=span.stop)
        else:
            joined.append(span)
    return tuple(joined)


def _check_spans(spans: Sequence[RingSpan], *, grain_codes: int) -> None:
    expected = 0
    for span in spans:
        if span.start != expected or span.stop <= span.start:
            raise InvalidDocument(
                f"span {span.start}-{span.stop} does not follow on {expected}; spans must cover "
                "every code once, in order"
            )
        if span.stop % grain_codes:
            raise InvalidDocument(f"span {span.start}-{span.stop} does not end on a grain")
        check_range("epoch", span.epoch, 0, EPOCH_MAX)
        expected = span.stop
    if expected != CODE_STOP:
        raise InvalidDocument(f"spans stop at {expected}, not at {CODE_STOP}")
    for name in {span.owner for span in spans} | {s.next for s in spans if s.next is not None}:
        check_name(name)
