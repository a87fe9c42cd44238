"""What this node knows of the others: the ring in force, who answers, and who is owed what.

Everything that routes need is gathered in one `View`, computed when something changed and
otherwise handed out as it is: a query pays nothing for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from node.clock import Clock
from node.config import Limits
from node.errors import BadRequest, PeerUnreachable
from node.protocol.coverage import coverage_of
from node.protocol.health import Effect, Event, Health, Refused, StoreLost
from node.protocol.hints import CELL_LEVEL, Hints
from node.protocol.routing import ReaderMap, Route, Standing
from node.protocol.word import Word
from node.query import Coverage
from node.service.counters import Counters
from node.storage.engine import Engine
from zring.errors import InvalidDocument
from zring.placement import HolderMap, holder_map
from zring.ring import Ring, from_document, merge, to_document
from zring.span import Spans, intersect, spans_to_cells

META_RING = "ring"
META_HINTS = "hints"
META_MEMBERS = "members"
META_VERSION = "hlc"


@dataclass(frozen=True, slots=True)
class View:
    """One consistent look at the cluster.

    Attributes:
        standing: who is in contact, unfilled, owed; `readers`: who reads what under it.
        away: member without contact → since when (microseconds).
        addresses: member → peer address, as far as known.
    """

    ring: Ring
    holders: HolderMap
    standing: Standing
    readers: ReaderMap
    away: Mapping[str, int]
    addresses: Mapping[str, str]

    def readers_without(self, failed: frozenset[str]) -> ReaderMap:
        """Readers when these members are left out as well."""
        if not failed:
            return self.readers
        standing = self.standing.without(failed)
        return ReaderMap(self.ring.domain, self.holders, standing)


class Members:
    """The ring, the members' health and the hints of one node."""

    def __init__(
        self,
        *,
        node_id: str,
        ring: Ring,
        seeds: tuple[str, ...],
        url: str,
        address: str,
        engine: Engine,
        clock: Clock,
        limits: Limits,
        counters: Counters,
    ) -> None:
        self.node_id = node_id
        self.url = url
        self.address = address
        self._engine = engine
        self._clock = clock
        self._counters = counters
        stored = engine.read_meta(META_RING)
        self.ring = ring if stored is None else merge(ring, from_document(stored))
        self._holders = holder_map(self.ring)
        self.hints = Hints.decode(engine.read_meta(META_HINTS))
        remembered = engine.read_meta(META_MEMBERS)
        self.health = Health(
            here=node_id,
            cluster=self.ring.cluster_id,
            members=self.ring.members(),
            seeds=[seed for seed in seeds if seed != address],
            interval_ms=limits.probe_interval_ms,
            away_after_probes=limits.away_after_probes,
            now_ms=clock.now_ms(),
            now_us=clock.now_us(),
            remembered=None
            if remembered is None
            else {node: tuple(known) for node, known in msgpack.unpackb(remembered).items()},
        )
        self._remembered = self.health.remembered()
        self._view: View | None = None
        self._view_epochs = (-1, -1, -1)
        self.refusals: dict[str, str] = {}
        """Address → why what answers there is not taken for a member."""

    def ring_digest(self) -> int:
        """Digest of the ring in force."""
        return self.ring.digest()

    def view(self) -> View:
        """The current view; the same object until something changes."""
        epochs = (self.ring_digest(), self.health.epoch, self.hints.epoch)
        if self._view is None or epochs != self._view_epochs:
            self._view = self._look()
            self._view_epochs = epochs
        return self._view

    def as_of_us(self) -> int:
        """The moment that an answer begun now can speak for; take it before reading."""
        return self.health.as_of_us(self._clock.now_us())

    def coverage(self, route: Route, away: Mapping[str, int]) -> Coverage:
        """What can be said of an answer that is about to be read along `route`."""
        return coverage_of(route, as_of=self.as_of_us(), away=away)

    def address_of(self, node: str) -> str:
        """Where a member is reached; "" while it was never heard of."""
        member = self.health.members.get(node)
        return "" if member is None else member.address

    def check_store(self, node: str, header: Mapping[str, Any]) -> None:
        """Refuse what a member read from another store than the one that is known.

        Raises:
            PeerUnreachable: its store was lost since it was last probed.
        """
        member = self.health.members.get(node)
        if member is not None and header.get("store") != member.store_id:
            raise PeerUnreachable(f"{node} came back with another store; it is being asked anew")

    def last_contact_us(self, node: str) -> int:
        """When a member was last heard of; for one that just failed to answer a query."""
        member = self.health.members.get(node)
        return self._clock.now_us() if member is None else member.as_of_us or member.since_us

    async def adopt(self, document: bytes) -> bytes | None:
        """Merge a ring document and persist the result.

        Returns:
            The merged document where its sender lacks something in it.
        Raises:
            BadRequest: it is no ring document. DifferentCluster: it is another cluster's.
        """
        try:
            theirs = from_document(document)
        except InvalidDocument as error:
            raise BadRequest(str(error), field="ring") from None
        merged = merge(self.ring, theirs)
        if merged.digest() != self.ring.digest():
            await self._engine.write([], meta={META_RING: to_document(merged)})
            # Another adoption may have finished while this one waited for the disk.
            self.ring = merge(self.ring, merged)
            self._holders = holder_map(self.ring)
            self.health.know(self.ring.members())
            self._counters.rings_adopted += 1
        return None if self.ring.digest() == theirs.digest() else to_document(self.ring)

    def word(self) -> Word:
        """What this node says of itself."""
        statistics = self._engine.statistics()
        store_id = self._engine.store_id
        filled = not self.health.is_unfilled_here(store_id)
        return Word(
            node=self.node_id,
            cluster=self.ring.cluster_id,
            store_id=store_id,
            sequence=self._engine.sequence,
            address=self.address,
            url=self.url,
            records=statistics.records,
            ring_digest=self.ring_digest(),
            clock_us=self._clock.now_us(),
            filled=self._holders.spans_of(self.node_id) if filled else (),
            owed=self.hints.summary(),
            stores={
                node: (member.store_id, member.sequence)
                for node, member in sorted(self.health.members.items())
                if member.store_id
            },
        )

    def step(self, event: Event) -> list[Effect]:
        """Hand an event to the rules; effects on this node's own state are carried out here."""
        effects = self.health.step(event, self._clock.now_ms())
        for effect in effects:
            if isinstance(effect, Refused):
                self.refusals[effect.address] = effect.reason
                self._counters.members_refused += 1
            elif isinstance(effect, StoreLost):
                self._owe_everything(effect.node)
        self._fill()
        return effects

    def changed_settings(self) -> dict[str, bytes]:
        """Settings that differ from what is persisted, to be written with the next transaction."""
        meta: dict[str, bytes] = {}
        if self.hints.dirty:
            meta[META_HINTS] = self.hints.encode()
            self.hints.dirty = False
        remembered = self.health.remembered()
        if {node: known[:2] for node, known in remembered.items()} != {
            node: known[:2] for node, known in self._remembered.items()
        }:
            meta[META_MEMBERS] = msgpack.packb(remembered)
            self._remembered = remembered
        return meta

    def _look(self) -> View:
        here = frozenset((self.node_id,))
        contact = self.health.contact() | here
        members = self.health.members
        unfilled = self._unfilled()
        standing = Standing(
            contact=contact,
            filled={node: self._holders.spans_of(node) for node in sorted(contact - unfilled)},
            owed=self._owed(contact),
        )
        return View(
            ring=self.ring,
            holders=self._holders,
            standing=standing,
            readers=ReaderMap(self.ring.domain, self._holders, standing),
            away=self.health.away(),
            addresses={node: member.address for node, member in sorted(members.items())},
        )

    def _unfilled(self) -> frozenset[str]:
        unfilled = {node for node, member in self.health.members.items() if member.unfilled}
        if self.health.is_unfilled_here(self._engine.store_id):
            unfilled.add(self.node_id)
        return frozenset(unfilled)

    def _owed(self, contact: frozenset[str]) -> dict[str, dict[str, Spans]]:
        owed: dict[str, dict[str, Spans]] = {}
        for holder, spans in self.hints.summary().items():
            owed.setdefault(holder, {})[self.node_id] = spans
        for keeper in sorted(contact - {self.node_id}):
            word = self.health.members[keeper].word
            for holder, spans in (word.owed if word else {}).items():
                if holder != keeper:
                    owed.setdefault(holder, {})[keeper] = spans
        return owed

    def _owe_everything(self, node: str) -> None:
        """A member's store was lost: all that both hold is sent again."""
        shared = intersect(self._holders.spans_of(node), self._holders.spans_of(self.node_id))
        shift = 2 * CELL_LEVEL
        cells: set[int] = set()
        for level, index in spans_to_cells(shared):
            bits = shift - 2 * level
            if bits >= 0:
                cells.update(range(index << bits, (index + 1) << bits))
            else:
                cells.add(index >> -bits)
        self.hints.owe_everything(node, self._engine.statistics().collections, cells)

    def _fill(self) -> None:
        """Take unfilled members for filled again once nobody owes them anything.

        Every other member must be in contact, know the new store, and have sent what it had.
        Spans that no other member holds cannot be refilled: such a member stays unfilled until
        a person accepts the loss.
        """
        members = self.health.members
        for node in sorted(node for node, member in members.items() if member.unfilled):
            others = [member for name, member in sorted(members.items()) if name != node]
            alone = (node,) in self._holders.sets
            if (
                members[node].state == "alive"
                and not alone
                and node not in self.hints.summary()
                and all(
                    other.state == "alive"
                    and other.word is not None
                    and other.word.stores.get(node, ("", 0))[0] == members[node].store_id
                    and node not in other.word.owed
                    for other in others
                )
            ):
                self.health.fill(node)
