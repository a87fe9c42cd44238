"""Being filled: collects what filled members say, claims what all of them have verified.

Members that have brought this node in step say so with the message `in_step`. What is verified
is made durable before it is claimed; what others remember of this node's stores can take the
claim away again (`node.protocol.filled`).
"""

import asyncio
from collections.abc import Mapping

from node.errors import BadRequest, NodeError
from node.protocol.word import StoreAt
from node.service.parts import Parts
from zring.span import Spans, subtract


class Filling:
    """Keeps this node's claim up to date."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self.judge()
                await self._claim_verified()
            except NodeError:
                # The disk is full: nothing new is claimed, and the next turn tries again.
                pass
            await asyncio.sleep(self._parts.members.link.turn_ms / 1_000)

    async def noted(self, peer: str, store: StoreAt, spans: Spans) -> None:
        """A member under the same ring says that this store has all that it has in some codes.

        Args:
            store: with the instance 0 where the member's version names none.
        Raises:
            BadRequest: it means another store than this one, or what a former process had.
        """
        store_id, instance = store
        if store_id != self._parts.engine.store_id:
            raise BadRequest(f"store={store_id!r} is not the store of this node", field="store")
        if instance not in (0, self._parts.members.instance):
            raise BadRequest(
                f"instance={instance} is a former process of this node", field="instance"
            )
        self._parts.members.holding.filled.note(peer, spans)
        await self._claim_verified()

    async def accept_loss(self, spans: Spans) -> Spans:
        """A person gives up what may be missing in some codes: they count as filled here.

        Returns:
            The codes accepted: those that this node holds and for which nobody in contact is
            filled. What others still have of them comes here as it always does.
        """
        holding = self._parts.members.holding
        digest = holding.ring.digest()
        accepted = holding.filled.acceptable(spans, holding.held, self._others())
        if accepted and not await holding.fill(accepted, ring_digest=digest):
            return ()
        return accepted

    def waits_for(self) -> Mapping[str, Spans]:
        """Filled member in contact → codes in which this node waits for its word that nothing
        lacks here."""
        holding = self._parts.members.holding
        return holding.filled.waits_for(holding.held, self._others(), agreeing=self._agreeing())

    async def judge(self) -> None:
        """Give up the claim where others remember another store, or a newer state of this one.

        Call it before the node serves: what it has is believed from then on.
        """
        members = self._parts.members
        verdict = members.verdict() if self._parts.rules.lost_stores_unfilled else "keep"
        if verdict == "keep":
            return
        await members.holding.drop()
        if verdict == "renew":
            await self._parts.engine.renew_store_id()

    async def _claim_verified(self) -> None:
        members = self._parts.members
        holding = members.holding
        if not subtract(holding.held, holding.filled.spans):
            return
        digest = holding.ring.digest()
        verified = holding.filled.verified(holding.held, self._others(), agreeing=self._agreeing())
        if verified:
            await holding.fill(verified, ring_digest=digest)

    def _agreeing(self) -> frozenset[str]:
        view = self._parts.members.view()
        digest = view.ring.digest()
        return frozenset(node for node, ring in view.rings.items() if ring == digest)

    def _others(self) -> Mapping[str, Spans]:
        standing = self._parts.members.view().standing
        here = self._parts.node_id
        return {node: spans for node, spans in standing.filled.items() if node != here}
