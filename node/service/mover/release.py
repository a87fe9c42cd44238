"""Letting go of what this node does not hold, once every holder has confirmed it (PROTOCOL 5).

Keepers come here after a split, former holders after a move. A pass looks at what this node has
of codes that it does not hold, asks the holders that have not confirmed it as it is, and removes
the buckets that all of them have, in a transaction that rechecks the ring and each bucket.
"""

from collections.abc import Callable, Sequence

import numpy as np

from node.errors import NodeError
from node.protocol.comparison import Pieces, cells_of
from node.protocol.letting_go import LettingGo
from node.protocol.outstanding import bounded
from node.protocol.word import StoreAt
from node.records import Bools
from node.service.mover.job import Job
from node.service.mover.link import Link
from node.service.mover.region import Region
from node.service.parts import Parts
from node.storage.bucket_digests import DAY_MAX, DAY_MIN, BucketDigests
from node.storage.bucket_set import Bucket
from zring.digest import SetDigest
from zring.morton import CODE_BITS, Int64s
from zring.placement import HolderMap
from zring.span import EVERYTHING, Spans, contains, intersect, subtract

BUCKETS_AT_ONCE = 4_096
"""Buckets of one transaction: bounded work for the store, and a crash repeats little."""
PAUSE_MS = 1_000
PAUSE_MS_MAX = 60_000
"""Between two passes while something remains; longer and longer while nothing goes."""
GRACE_PERIODS = 10
"""A filled former holder stays readable for so many probe periods after all holders were seen
filled: until then a member may not have heard that it need not read here any more."""


class Release:
    """The passes of one node, one at a time."""

    def __init__(
        self, parts: Parts, letting_go: LettingGo, make_link: Callable[[str], Link]
    ) -> None:
        self._parts = parts
        self._letting_go = letting_go
        self._make_link = make_link
        self._at_work = False
        self._pause_ms = PAUSE_MS
        self._next_ms = 0
        self._seen: tuple[object, ...] = ()
        self._readable_since_ms: int | None = None
        self._left = True
        self.reason = ""
        """What a pass waits for, in words."""

    def start_due(self) -> None:
        """Start a pass where one could let go of something."""
        parts, now_ms = self._parts, self._parts.clock.now_ms()
        seen = self._look()
        if seen != self._seen:
            self._seen, self._left = seen, True
            self._pause_ms, self._next_ms = PAUSE_MS, now_ms
        if self._left and not self._at_work and now_ms >= self._next_ms:
            self._at_work = True
            parts.tasks.spawn(self._run(), name="let go")

    @property
    def pending(self) -> bool:
        """Whether there may be something that this node does not hold."""
        return self._left or self._look() != self._seen

    def _look(self) -> tuple[object, ...]:
        """What decides whether a pass may find something to do."""
        view = self._parts.members.view()
        return view.ring.digest(), view.standing.contact, self._parts.counters.records_kept

    async def _run(self) -> None:
        seen, removed = self._seen, self._parts.counters.records_removed
        try:
            left = await self._pass()
        except NodeError as error:
            left, self.reason = True, str(error)
        finally:
            self._at_work = False
        if seen == self._seen and not left:
            self._left = False
        progressed = self._parts.counters.records_removed > removed
        self._pause_ms = PAUSE_MS if progressed else min(PAUSE_MS_MAX, 2 * self._pause_ms)
        self._next_ms = self._parts.clock.now_ms() + self._pause_ms

    async def _pass(self) -> bool:
        """Let go of what can go; returns whether anything is left."""
        parts = self._parts
        members = parts.members
        foreign = subtract(EVERYTHING, members.holding.held)
        collections = sorted(parts.engine.statistics().collections)
        left = False
        self.reason = ""
        for collection in collections if foreign else ():
            mine = await parts.engine.digests(
                collection,
                level=members.ring.grain_level,
                spans=foreign,
                day_start=self._first_day(collection),
                day_stop=DAY_MAX,
                by_day=True,
            )
            if len(mine):
                await self._ask(collection, mine)
                gone = await self._remove(collection, mine, foreign)
                left = left or gone < len(mine)
            else:
                self._letting_go.forget(collection)
        return left

    def _first_day(self, collection: str) -> int:
        """What is older needs no confirmation, and is dropped by itself."""
        if not self._parts.rules.expired_counts_as_had:
            return DAY_MIN
        return self._parts.members.ring.settings.expiry_days.get(collection, DAY_MIN)

    async def _ask(self, collection: str, mine: BucketDigests) -> None:
        """Bring holders in contact up to date in what they have not confirmed."""
        view = self._parts.members.view()
        unconfirmed = self._letting_go.unconfirmed(
            collection,
            mine,
            view.holders,
            ring_digest=view.ring.digest(),
            stores=self._stores(view.holders),
        )
        for holder, mask in unconfirmed.items():
            if holder not in view.standing.contact:
                self.reason = f"{holder} is away"
                continue
            days = mine.days[mask]
            cells = Pieces(view.ring.grain_level, days, mine.cells[mask], mine.counts[mask])
            region = Region(
                collection,
                bounded(cells_of(cells)),
                foreign=True,
                day_start=int(days.min()),
                day_stop=int(days.max()) + 1,
            )
            await Job(self._parts, self._make_link(holder), self._letting_go).bring([region])

    async def _remove(self, collection: str, mine: BucketDigests, foreign: Spans) -> int:
        """Remove what every holder has confirmed; returns how many buckets went."""
        parts = self._parts
        members, rules = parts.members, parts.rules
        view = members.view()
        ring_digest = view.ring.digest()
        ready: Bools = np.ones(len(mine), np.bool_)
        unconfirmed = self._letting_go.unconfirmed(
            collection,
            mine,
            view.holders,
            ring_digest=ring_digest,
            stores=self._stores(view.holders),
        )
        for holder, mask in unconfirmed.items():
            if rules.every_holder_confirms or holder in view.standing.contact:
                ready &= ~mask
        free = self._filled_everywhere(foreign) if rules.filled_before_letting_go else foreign
        shift = CODE_BITS - 2 * view.ring.grain_level
        ready &= contains(free, mine.cells << shift)
        if not ready.any() or self._is_still_read(free):
            return 0
        gone = 0
        chosen = np.flatnonzero(ready)
        for start in range(0, len(chosen), BUCKETS_AT_ONCE):
            at = chosen[start : start + BUCKETS_AT_ONCE]
            buckets = buckets_of(mine, at, grain_level=view.ring.grain_level)
            removed = await members.holding.let_go(
                collection, buckets, codes=free, ring_digest=ring_digest
            )
            parts.counters.records_removed += int(mine.counts[at][list(removed)].sum())
            gone += sum(removed)
        return gone

    def _stores(self, holders: HolderMap) -> dict[str, StoreAt]:
        return {node: self._parts.members.store_at(node) for node in holders.nodes}

    def _filled_everywhere(self, foreign: Spans) -> Spans:
        """The codes all of whose holders are filled."""
        members = self._parts.members
        holders = members.holding.holders
        free = foreign
        for node in holders.nodes:
            lacking = subtract(holders.spans_of(node), members.filled_of(node))
            if intersect(free, lacking):
                self.reason = f"{node} is not filled"
                free = subtract(free, lacking)
        return free

    def _is_still_read(self, free: Spans) -> bool:
        """Whether members may still read here, as at a filled former holder."""
        parts = self._parts
        now_ms = parts.clock.now_ms()
        if not intersect(free, parts.members.holding.filled.spans):
            self._readable_since_ms = None
            return False
        if self._readable_since_ms is None:
            self._readable_since_ms = now_ms
        grace_ms = GRACE_PERIODS * parts.members.link.period_ms
        if now_ms >= self._readable_since_ms + grace_ms:
            return False
        self.reason = "members may still read here"
        return True


def buckets_of(mine: BucketDigests, at: Int64s, *, grain_level: int) -> Sequence[Bucket]:
    """Some of these digests of grains and days as buckets."""
    shift = CODE_BITS - 2 * grain_level
    return [
        Bucket(cell << shift, (cell + 1) << shift, day, SetDigest(total, count))
        for cell, day, total, count in zip(
            mine.cells[at].tolist(),
            mine.days[at].tolist(),
            mine.totals[at].tolist(),
            mine.counts[at].tolist(),
            strict=True,
        )
    ]
