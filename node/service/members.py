"""What this node knows of the others: the ring in force, who answers, and who is owed what.

Everything that routes need is gathered in one `View`, computed when something changed and
otherwise handed out as it is: a query pays nothing for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from node.clock import Clock
from node.config import LinkPreset
from node.errors import BadRequest, PeerUnreachable
from node.protocol.coverage import coverage_of
from node.protocol.filled import (
    Verdict,
    believed,
    debts_told,
    judge_own_store,
    remembered_of,
)
from node.protocol.forgotten import Forgotten
from node.protocol.outstanding import Outstanding
from node.protocol.routing import ReaderMap, Route, Standing
from node.protocol.rules import Rules
from node.protocol.word import NO_STORE, Life, StoreAt, StoreSeen, Word, store_of_reply
from node.query import Coverage
from node.service.counters import Counters
from node.service.health import META_ROSTER, Health
from node.service.holding import Holding, RingChange
from node.service.seen_stores import SeenStores
from node.storage.engine import Engine
from zring.digest import hash_bytes
from zring.errors import InvalidDocument
from zring.placement import HolderMap
from zring.ring import Ring, from_document, to_document
from zring.span import EVERYTHING, Spans, intersect, union

META_STORES = "stores"
META_VERSION = "hlc"
META_FORGOTTEN = "forgotten"
REFUSALS_MAX = 64
"""Addresses shown with the reason why nobody there is a member."""


@dataclass(frozen=True, slots=True)
class View:
    """One consistent look at the cluster.

    Attributes:
        standing: who is in contact, filled, owed; `readers`: who reads what under it.
        stores: member in contact → the store and process that it had when this was computed.
        rings: node in contact → digest of the ring that its word rests on.
        away: member without contact → since when (microseconds).
        owed_by_away: the same members → codes in which others may lack what they had taken when
            they were last heard.
        addresses: member → peer address, as far as known.
    """

    ring: Ring
    holders: HolderMap
    standing: Standing
    readers: ReaderMap
    stores: Mapping[str, StoreAt]
    rings: Mapping[str, int]
    away: Mapping[str, int]
    owed_by_away: Mapping[str, Spans]
    addresses: Mapping[str, str]
    rules: Rules

    def readers_without(self, failed: frozenset[str]) -> ReaderMap:
        """Readers when these members are left out as well."""
        if not failed:
            return self.readers
        standing = self.standing.without(failed)
        return ReaderMap(self.ring.domain, self.holders, standing, rules=self.rules)


class Members:
    """The ring, the members' health and what others may lack of what this node has."""

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
        link: LinkPreset,
        location: tuple[int, int] | None = None,
        counters: Counters,
        rules: Rules,
    ) -> None:
        self.node_id = node_id
        self.url = url
        self.address = address
        self.link = link
        self._location = location
        self._engine = engine
        self._clock = clock
        self._counters = counters
        self._rules = rules
        self.life: Life = "starting"
        self.holding = Holding(node_id=node_id, ring=ring, engine=engine, rules=rules)
        self.holding.followers.append(self._follow)
        self.outstanding = Outstanding()
        if engine.records and rules.uncompared_after_start:
            for node in self.holding.holders.nodes:
                self._owe_all_in(node, self.holding.holders.spans_of(node))
        self._stores = SeenStores(engine.read_meta(META_STORES))
        forgotten = engine.read_meta(META_FORGOTTEN)
        self.forgotten = Forgotten(None if forgotten is None else msgpack.unpackb(forgotten))
        self._forgotten_persisted = self.forgotten.told()
        self._found = engine.sequence
        # Two processes of one name differ in when they started, if in nothing else.
        life = f"{node_id} {engine.store_id} {clock.now_us()}"
        self.instance = hash_bytes(life.encode()) % (1 << 32) or 1
        """Random number of this process."""
        self.health = Health(
            word=self._word({}, stamp=(0, 0)),
            ring=self.ring,
            seeds=[seed for seed in seeds if seed != address],
            link=link,
            clock=clock,
            engine=engine,
            forgotten=self.forgotten,
        )
        self._view: View | None = None
        self._view_epochs = (-1, -1)
        self._view_owed: Mapping[str, Spans] = {}
        self.refusals: dict[str, str] = {}
        """Address → why what answers there is not taken for a member."""

    @property
    def ring(self) -> Ring:
        """The ring in force."""
        return self.holding.ring

    def ring_digest(self) -> int:
        """Digest of the ring in force."""
        return self.ring.digest()

    def view(self) -> View:
        """The current view; the same object until something changes."""
        epochs, owed = (self.holding.epoch, self.health.epoch), self.outstanding.summary()
        # A copy that was owed for a moment only leaves everything as it was.
        if self._view is None or epochs != self._view_epochs or owed != self._view_owed:
            self._view = self._look()
        self._view_epochs, self._view_owed = epochs, owed
        return self._view

    def as_of_us(self) -> int:
        """The moment that an answer begun now can speak for; take it before reading."""
        return self.health.as_of_us()

    def coverage(
        self,
        view: View,
        route: Route,
        *,
        as_of_us: int | None = None,
        failed: frozenset[str] = frozenset(),
    ) -> Coverage:
        """What can be said of an answer along `route`.

        Args:
            as_of_us: taken before reading; None when it is about to be read.
            failed: members that did not answer the query.
        """
        away = view.away
        if failed:
            away = {**{node: self.last_contact_us(node) for node in sorted(failed)}, **away}
        return coverage_of(
            route,
            as_of=self.as_of_us() if as_of_us is None else as_of_us,
            away=away,
            owed_by_away=view.owed_by_away,
            alone=len(view.standing.contact - failed) == 1,
        )

    def address_of(self, node: str) -> str:
        """Where a member is reached; "" while it was never heard of."""
        member = self.health.members.find(node)
        return "" if member is None else member.address

    def check_store(self, node: str, header: Mapping[str, Any]) -> None:
        """Refuse what a member read from another store, or in another process, than is known.

        Raises:
            PeerUnreachable: it started again since it was last probed.
        """
        if self.store_at(node) not in (NO_STORE, store_of_reply(header)):
            raise PeerUnreachable(f"{node} started again; it is being asked anew")

    def store_at(self, node: str) -> StoreAt:
        """What a member told of its store and its process."""
        member = self.health.members.find(node)
        if member is None or member.word is None:
            return NO_STORE
        return member.word.store

    def doubt(self, address: str) -> bool:
        """Probe whoever does not answer a call; whether it left the last probe unanswered."""
        return self.health.doubt(address)

    def last_contact_us(self, node: str) -> int:
        """When a member was last heard of; for one that just failed to answer a query."""
        return self.health.last_contact_us(node)

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
        if await self.holding.change(theirs):
            self._counters.rings_adopted += 1
        return None if self.ring.digest() == theirs.digest() else to_document(self.ring)

    def word(self) -> Word:
        """What this node says of itself."""
        stores = self._stores.told(self.health.members, self.holding.holders)
        return self._word(stores, stamp=self.health.membership.word.stamp)

    def _word(self, stores: Mapping[str, StoreSeen], *, stamp: tuple[int, int]) -> Word:
        incarnation, version = stamp
        return Word(
            node=self.node_id,
            cluster=self.ring.cluster_id,
            store_id=self._engine.store_id,
            sequence=self._engine.sequence,
            incarnation=incarnation,
            version=version,
            birth=self.holding.filled.claim.birth,
            address=self.address,
            url=self.url,
            records=self._engine.records,
            ring_digest=self.ring_digest(),
            clock_us=self._clock.now_us(),
            life="left" if self._has_left() else self.life,
            filled=self.holding.filled.spans,
            owed=self.outstanding.summary(),
            stores=stores,
            instance=self.instance,
            found=self._found,
            location=self._location,
            forgotten=self.forgotten.told(),
        )

    def location_of(self, node: str) -> tuple[int, int] | None:
        """Where a member stands (lon, lat; e7), as it says; None where it does not."""
        if node == self.node_id:
            return self._location
        member = self.health.members.find(node)
        return member.word.location if member is not None and member.word else None

    def _has_left(self) -> bool:
        """Whether this node held something once, and now neither holds nor has anything."""
        holding = self.holding
        return (
            self.life == "serving"
            and holding.held_once
            and not holding.held
            and not self._engine.records
        )

    def verdict(self) -> Verdict:
        """What to make of this node's own store, by what others remember of it."""
        own = Word(
            node=self.node_id,
            cluster="",
            store_id=self._engine.store_id,
            sequence=self._engine.sequence,
            birth=self.holding.filled.claim.birth,
            instance=self.instance,
            found=self._found,
        )
        return judge_own_store(own, remembered_of(self.node_id, self._heard()))

    def speak(self) -> None:
        """Say what is to be said of this node now; before every answer to a member."""
        self.health.membership.say(self.word())

    def lost_store(self) -> None:
        """A member's disk is gone, and with it what only it knew: whom it still owed what. What
        it took for anybody may have reached one holder and not the next."""
        for node in self.holding.holders.nodes:
            self._owe_all_in(node, self.holding.holders.spans_of(node))

    def refused(self, address: str, reason: str) -> None:
        """What answers at an address is not taken for a member, or does not take this node."""
        if address in self.refusals or len(self.refusals) < REFUSALS_MAX:
            self.refusals[address] = reason
        self._counters.members_refused += 1

    def remember_stores(self) -> None:
        """Take up the stores of members whose word is another one."""
        fresh = self.health.membership.fresh
        for node in fresh:
            word = self.health.members[node].word
            if word is None:
                continue
            if self._stores.take(word):
                self.lost_store()
            self.forgotten.merge(word.forgotten)
        fresh.clear()
        self.drop_forgotten()

    def drop_forgotten(self) -> None:
        """Members that were given up are none any more."""
        for node in self.health.forget(self.ring):
            self._stores.forget(node)

    def heard_store(self, header: Mapping[str, Any]) -> None:
        """A member's reply says how far its store is: nothing that it has told is forgotten."""
        self._stores.heard(header)

    def caught_up(self) -> bool:
        """Whether every member in contact has the same ring, and has told what it remembers of
        the store with which this process began."""
        members = self.health.members
        words = [members[node].word for node in sorted(self.health.contact())]
        return all(
            word is not None
            and word.ring_digest == self.ring_digest()
            and (not self._found or self._knows_this_process(word))
            for word in words
        )

    def _knows_this_process(self, word: Word) -> bool:
        seen = word.stores.get(self.node_id)
        return seen is not None and seen.instance == self.instance

    def changed_settings(self) -> dict[str, bytes]:
        """Settings that differ from what is persisted, to be written with the next transaction."""
        meta: dict[str, bytes] = {}
        roster = self.health.changed_document()
        if roster is not None:
            meta[META_ROSTER] = roster
        stores = self._stores.changed_document()
        if stores is not None:
            meta[META_STORES] = stores
        if (told := self.forgotten.told()) != self._forgotten_persisted:
            meta, self._forgotten_persisted = {**meta, **self.lasting_forgotten()}, told
        return meta

    def lasting_forgotten(self) -> dict[str, bytes]:
        """Who was given up, for the disk."""
        return {META_FORGOTTEN: msgpack.packb(self.forgotten.told())}

    def _look(self) -> View:
        holding, members = self.holding, self.health.members
        away = self.health.away(self._relevant())
        contact = self.health.contact() | {self.node_id}
        known = {holding.ring.digest(), *holding.gained}
        words = {self.node_id: self.word()}
        heard = self._heard()
        for node in sorted(contact - {self.node_id}):
            word = members[node].word
            if word is not None and word.ring_digest in known:
                words[node] = word
        standing = Standing(
            contact=contact,
            filled={node: self._believed(word, heard) for node, word in words.items()},
            owed=debts_told(
                words,
                ring_digest=holding.ring.digest(),
                gained=holding.gained,
                rules=self._rules,
            ),
            unheard=contact - words.keys(),
        )
        return View(
            ring=holding.ring,
            holders=holding.holders,
            standing=standing,
            readers=ReaderMap(
                holding.ring.domain,
                holding.holders,
                standing,
                rules=self._rules,
                before=None if self._view is None else self._view.readers,
            ),
            stores={node: self.store_at(node) for node in sorted(contact - {self.node_id})},
            rings={node: word.ring_digest for node, word in words.items()},
            away=away,
            owed_by_away={node: self._owed_when_last_heard(node) for node in away},
            addresses={node: member.address for node, member in sorted(members.items())},
            rules=self._rules,
        )

    def _relevant(self) -> set[str]:
        """Whose absence an answer must tell: members of the ring, and keepers that owe somebody
        records which may be nowhere else."""
        keepers = {
            node
            for node in self.health.membership.away
            if (member := self.health.members[node]).word is not None and member.word.owed
        }
        return keepers.union(self.ring.members())

    def filled_of(self, node: str) -> Spans:
        """The codes for which a member counts as filled, in contact or not."""
        member = self.health.members.find(node)
        word = self.word() if node == self.node_id else member and member.word
        return self._believed(word, self._heard()) if word else ()

    def _believed(self, word: Word, heard: Sequence[Word]) -> Spans:
        """The codes for which a member counts as filled, this one included.

        Args:
            heard: the words of all members.
        """
        if word.node == self.node_id:
            spans = word.filled if self.verdict() == "keep" else ()
        else:
            spans = believed(
                word,
                seen=self._stores.find(word.node),
                remembered=remembered_of(word.node, heard),
                rules=self._rules,
            )
        if self.forgotten.incarnation_of(word.node):
            # Nobody remembers the stores that it had: what it claims as a former holder may be
            # an old image's. What it holds now it was given, and verified, after its return.
            spans = intersect(spans, self.holding.holders.spans_of(word.node))
        return spans

    def _owed_when_last_heard(self, node: str) -> Spans:
        word = self.health.members[node].word
        if word is None:
            return EVERYTHING
        owed: Spans = ()
        for spans in word.owed.values():
            owed = union(owed, spans)
        return owed

    def _heard(self) -> list[Word]:
        """The words of all other members, in contact or not."""
        members = self.health.members.values()
        return [member.word for member in members if member.word is not None]

    def _follow(self, change: RingChange) -> None:
        """Another ring is in force: who newly holds codes may lack all that this node has there,
        and so may everybody where a holder without contact is none any more: it may have taken
        records and given them to one only."""
        contact = self.health.contact()
        for node, spans in change.gained.items():
            self._owe_all_in(node, spans)
        if any(node not in contact for node in change.gone):
            self.lost_store()
        self.health.know(change.after.members())

    def _owe_all_in(self, node: str, spans: Spans) -> None:
        """A member may lack all that this node has in some codes: they are compared."""
        if node != self.node_id:
            self.outstanding.mark(node, spans)
