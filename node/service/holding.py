"""The ring in force, what everybody holds under it, and what this node's store is filled for.

All three change together: a ring is stored in one transaction with the claim that follows from
it, and only then is it used. Changes wait for each other, so what is stored never goes back.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from node.protocol.filled import (
    Claim,
    Filled,
    claim_to_document,
    document_to_claim,
    former_rings,
)
from node.protocol.rules import Rules
from node.storage.bucket_set import Bucket
from node.storage.engine import Engine
from zring.placement import HolderMap, holder_map
from zring.ring import Ring, from_document, merge, to_document
from zring.span import Spans, subtract

META_RING = "ring"
META_FILLED = "filled"


@dataclass(frozen=True, slots=True)
class RingChange:
    """What became of the holders when another ring came into force.

    Attributes:
        gained: node → codes that it newly holds, sorted by node; only those that gained any.
        gone: nodes that hold nothing any more → what they held.
    """

    before: Ring
    after: Ring
    gained: Mapping[str, Spans]
    gone: Mapping[str, Spans]


class Holding:
    """One node's ring and claim.

    Args:
        ring: the founding ring, or any later one; what the engine remembers is merged into it.
    """

    def __init__(self, *, node_id: str, ring: Ring, engine: Engine, rules: Rules) -> None:
        self._node_id = node_id
        self._engine = engine
        self._rules = rules
        self._changing = asyncio.Lock()
        stored = engine.read_meta(META_RING)
        self.ring = ring if stored is None else merge(ring, from_document(stored))
        self.holders = holder_map(self.ring)
        claim = document_to_claim(engine.read_meta(META_FILLED))
        if claim is None:
            # A founder's first store is filled at the birth of the cluster (PROTOCOL 3.2); a
            # store that has a ring but no claim was written by a version that made none.
            born = stored is not None or ring.epoch == ring.settings.epoch == 0
            held = self.holders.spans_of(node_id) if born else ()
            claim = Claim(held, birth=bool(held))
        self.filled = Filled(claim, rules=rules)
        self.gained: dict[int, dict[str, Spans]] = {}
        """Digest of a former ring → node → codes that it holds now and did not then."""
        self.held_once = bool(self.held or claim.spans)
        """Whether this store's node has ever held anything, as far as the store tells."""
        self.epoch = 0
        """Rises with every change of ring or claim."""
        self.followers: list[Callable[[RingChange], None]] = []
        """Told of every change of the ring before anybody can go by the new one."""

    @property
    def held(self) -> Spans:
        """The codes that this node holds."""
        return self.holders.spans_of(self._node_id)

    async def store_first(self) -> None:
        """Make the ring and the claim durable; once, before anything is received."""
        meta = self._meta(self.ring, self.filled.claim)
        if any(self._engine.read_meta(name) != content for name, content in meta.items()):
            await self._engine.write([], meta=meta)

    async def change(self, ring: Ring) -> bool:
        """Merge a ring into the one in force; returns whether that changed it.

        Raises:
            DifferentCluster. StoreFull: nothing has changed.
        """
        async with self._changing:
            merged = merge(self.ring, ring)
            if merged.digest() == self.ring.digest():
                return False
            holders = holder_map(merged)
            change = self._compare(merged, holders)
            claim = self.filled.after_ring_change(change.gained.get(self._node_id, ()))
            await self._engine.write([], meta=self._meta(merged, claim))
            self.gained = former_rings(
                self.gained, change.gained, before=change.before.digest(), after=merged.digest()
            )
            self.ring, self.holders = merged, holders
            self.held_once = self.held_once or bool(self.held)
            self.filled.become(claim)
            self.filled.forget_said()
            self.epoch += 1
            for follow in self.followers:
                follow(change)
            return True

    async def fill(self, spans: Spans, *, ring_digest: int) -> bool:
        """Claim codes that were verified, or accepted by a person, under a ring.

        Returns:
            Whether the claim is durable; False when another ring has come into force meanwhile.
        """
        async with self._changing:
            if self.ring.digest() != ring_digest:
                return False
            await self._claim(self.filled.widened(spans))
            return True

    async def drop(self) -> None:
        """The store is not what others knew: it is filled for nothing."""
        async with self._changing:
            await self._claim(Claim())
            self.filled.forget_said()

    async def let_go(
        self, collection: str, buckets: Sequence[Bucket], *, codes: Spans, ring_digest: int
    ) -> tuple[bool, ...]:
        """Delete buckets that every holder has confirmed under a ring.

        Args:
            codes: what the store is filled for no longer once any of them is gone.
        Returns:
            For each bucket whether it is gone; none when another ring has come into force.
        """
        async with self._changing:
            recheck = self._rules.removal_rechecked
            if self.ring.digest() != ring_digest and recheck:
                return (False,) * len(buckets)
            claim = self.filled.narrowed(codes)
            changed = claim.spans != self.filled.spans
            removed = await self._engine.remove(
                collection,
                buckets,
                expected_meta={META_RING: to_document(self.ring)} if recheck else {},
                meta={META_FILLED: claim_to_document(claim)} if changed else None,
            )
            if any(removed) and changed:
                self.filled.become(claim)
                self.epoch += 1
            return removed

    async def _claim(self, claim: Claim) -> None:
        await self._engine.write([], meta={META_FILLED: claim_to_document(claim)})
        self.filled.become(claim)
        self.epoch += 1

    def _meta(self, ring: Ring, claim: Claim) -> dict[str, bytes]:
        return {META_RING: to_document(ring), META_FILLED: claim_to_document(claim)}

    def _compare(self, ring: Ring, holders: HolderMap) -> RingChange:
        before = {node for set_ in self.holders.sets for node in set_}
        after = {node for set_ in holders.sets for node in set_}
        gained = {
            node: subtract(holders.spans_of(node), self.holders.spans_of(node))
            for node in sorted(after)
        }
        return RingChange(
            before=self.ring,
            after=ring,
            gained={node: spans for node, spans in gained.items() if spans},
            gone={node: self.holders.spans_of(node) for node in sorted(before - after)},
        )
