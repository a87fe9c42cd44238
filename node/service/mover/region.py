"""Which codes and days of a collection two nodes compare, said in few bytes.

Both nodes know the ring, so the codes that the peer holds need not be sent: a region names a
bounded set of spans, and each side cuts it to what the peer holds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from node.errors import BadRequest
from node.protocol.outstanding import SLOT_DAYS, Work, bounded
from node.protocol.rules import Rules
from node.protocol.word import plain_to_spans, spans_to_plain
from node.storage.bucket_digests import DAY_MAX, DAY_MIN
from zring.placement import HolderMap
from zring.settings import Settings
from zring.span import EVERYTHING, Spans, intersect, subtract


@dataclass(frozen=True, slots=True)
class Region:
    """A part of one collection, as seen from the node that compares.

    Attributes:
        hull: bounded; cut to what the peer holds.
        foreign: only codes that the comparing node does not hold; False: only those it holds.
        day_start, day_stop: half-open, since the epoch.
    """

    collection: str
    hull: Spans
    foreign: bool
    day_start: int = DAY_MIN
    day_stop: int = DAY_MAX

    def spans(self, holders: HolderMap, *, comparing: str, peer: str) -> Spans:
        """The codes, the same at both ends as long as their rings are the same."""
        own = holders.spans_of(comparing)
        held = intersect(self.hull, holders.spans_of(peer))
        return subtract(held, own) if self.foreign else intersect(held, own)

    def kept(self, settings: Settings, rules: Rules) -> "Region":
        """The region from the first kept day on: what is older counts as had by everybody."""
        day = settings.expiry_days.get(self.collection, self.day_start)
        if day <= self.day_start or not rules.expired_counts_as_had:
            return self
        return replace(self, day_start=min(day, self.day_stop))


def regions_of(work: Work, collections: Iterable[str]) -> list[Region]:
    """What a job compares: what is uncompared of all collections, and places of failed copies."""
    regions: list[Region] = []
    for collection in sorted({*collections, *work.places}):
        for foreign in (False, True):
            if work.uncompared:
                regions.append(Region(collection, bounded(work.uncompared), foreign))
            for spans, day_start, day_stop in work.stretches:
                regions.append(Region(collection, bounded(spans), foreign, day_start, day_stop))
            for slot, spans in sorted(work.places.get(collection, {}).items()):
                left = subtract(spans, work.uncompared)
                start = slot * SLOT_DAYS
                if left:
                    regions.append(
                        Region(collection, bounded(left), foreign, start, start + SLOT_DAYS)
                    )
    return regions


def region_to_plain(region: Region) -> dict[str, Any]:
    """A region as plain values; what is everything is left out."""
    plain: dict[str, Any] = {"collection": region.collection, "foreign": region.foreign}
    if region.hull != EVERYTHING:
        plain["spans"] = spans_to_plain(region.hull)
    if (region.day_start, region.day_stop) != (DAY_MIN, DAY_MAX):
        plain["days"] = [region.day_start, region.day_stop]
    return plain


def plain_to_region(plain: Mapping[str, Any]) -> Region:
    """Undo `region_to_plain`.

    Raises:
        BadRequest: a field is absent, too long or of another type.
    """
    try:
        collection, foreign = plain["collection"], plain["foreign"]
        spans = plain.get("spans")
        day_start, day_stop = plain.get("days", (DAY_MIN, DAY_MAX))
        if not isinstance(collection, str) or not collection or type(foreign) is not bool:
            raise ValueError("collection or foreign")
        if not DAY_MIN <= int(day_start) <= int(day_stop) <= DAY_MAX:
            raise ValueError("days")
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequest(f"region between nodes is malformed: {error}", field="region") from None
    hull = EVERYTHING if spans is None else plain_to_spans(spans)
    return Region(collection, hull, foreign, int(day_start), int(day_stop))
