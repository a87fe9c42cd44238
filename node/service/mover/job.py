"""One job: compare what is outstanding with a peer and send it what it lacks."""

import asyncio
from collections.abc import Sequence

from node.protocol.letting_go import LettingGo
from node.protocol.outstanding import Work
from node.protocol.word import NO_STORE
from node.service.mover.compare import Comparison, own_digests
from node.service.mover.exchange import Exchange
from node.service.mover.link import Link
from node.service.mover.newest import newest_rows
from node.service.mover.region import Region
from node.service.parts import Parts
from node.storage.bucket_digests import BucketDigests
from zring.placement import HolderMap
from zring.span import Spans, intersect, union


class Job:
    """Brings a peer up to date in some regions.

    Args:
        letting_go: told what the peer has confirmed of codes that this node does not hold.
    """

    def __init__(self, parts: Parts, link: Link, letting_go: LettingGo) -> None:
        self._parts = parts
        self._link = link
        self._letting_go = letting_go
        view = parts.members.view()
        self._holders: HolderMap = view.holders
        self._ring_digest = view.ring.digest()
        self._grain_level = view.ring.grain_level
        self._store = parts.members.store_at(link.peer)
        self._settings = view.ring.settings

    async def send_newest(self, work: Work) -> None:
        """One message of the newest records of each collection that the peer is known to lack.

        Only where round trips are dear: over a link with a rate.

        Raises:
            NodeError: the peer, or the way to it, failed.
        """
        if not (self._link.has_rate and work.places):
            return
        held = self._holders.spans_of(self._link.peer)
        lacking: dict[str, Spans] = {}
        for collection, slots in sorted(work.places.items()):
            spans: Spans = ()
            for found in slots.values():
                spans = union(spans, found)
            lacking[collection] = intersect(spans, held)
        newest = newest_rows(
            self._parts.engine,
            {collection: spans for collection, spans in lacking.items() if spans},
            until_us=self._parts.clock.now_us(),
            rows_max=self._link.step_rows,
        )
        self._link.progress.phase = "sending"
        for collection, rows in newest:
            await self._link.copy(collection, rows)

    async def bring(self, regions: Sequence[Region]) -> bool:
        """Compare the regions and send what lacks, newest days first over all of them.

        Returns:
            Whether the ring, and the peer's store and process, are still those that this rests on;
            otherwise nothing of it counts.
        Raises:
            NodeError: the peer, or the way to it, failed.
        """
        began: list[tuple[Comparison, BucketDigests | None]] = []
        for wanted in regions:
            region = wanted.kept(self._settings, self._parts.rules)
            spans = region.spans(self._holders, comparing=self._parts.node_id, peer=self._link.peer)
            if spans:
                before = await self._before(region, spans)
                comparison = Comparison(
                    self._parts.engine, self._link, region, spans, grain_level=self._grain_level
                )
                await comparison.start()
                began.append((comparison, before))
        await self._work_off([comparison for comparison, _ in began])
        members = self._parts.members
        if (
            members.ring_digest() != self._ring_digest
            or self._store == NO_STORE
            or members.store_at(self._link.peer) != self._store
        ):
            return False
        for comparison, before in began:
            if before is not None:
                self._letting_go.confirm(
                    self._link.peer,
                    comparison.region.collection,
                    before,
                    ring_digest=self._ring_digest,
                    store=self._store,
                )
        return True

    async def _before(self, region: Region, spans: Spans) -> BucketDigests | None:
        """What this node has of codes that it does not hold, before the peer is given it."""
        if not region.foreign:
            return None
        found = await own_digests(self._parts.engine, region, spans, level=self._grain_level)
        return found if len(found) else None

    async def _work_off(self, comparisons: list[Comparison]) -> None:
        progress = self._link.progress
        while True:
            differing = [one for one in comparisons if one.newest_day is not None]
            if not differing:
                return
            comparison = max(differing, key=lambda one: one.newest_day or 0)
            progress.phase, progress.reason = "comparing", ""
            buckets = comparison.days_left
            chunk = await comparison.next_chunk()
            progress.phase = "sending"
            exchange = Exchange(self._parts, self._link, comparison.region, comparison.spans)
            await exchange.carry(chunk)
            progress.finished(buckets=max(0, buckets - comparison.days_left), records=chunk.records)
            await asyncio.sleep(0)
