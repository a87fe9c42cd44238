"""Who is there: the rules of membership with this node's clock, and what is kept of them on disk.

The rules count milliseconds of the monotonic clock; everybody else asks in microseconds of the
wall clock. The two are compared at the moment of asking, so a wall clock that was set meanwhile
moves all answers alike and never one member against another.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import Any

import msgpack

from node.clock import Clock
from node.config import LinkPreset
from node.protocol.forgotten import Forgotten
from node.protocol.membership import Membership
from node.protocol.roster import NEVER_MS, Draw, Member
from node.protocol.swim import Swim
from node.protocol.word import Word
from node.storage.engine import Engine
from zring.digest import hash_bytes
from zring.ring import Ring

META_ROSTER = "roster"
_VERSION = 1


class Health:
    """The members of one node's cluster, as far as it knows.

    Args:
        word: what this node says of itself at first.
        ring: names members that may never have been heard of.
        seeds: addresses to find the others by.
        forgotten: shared with whoever adds to it.
    """

    def __init__(
        self,
        *,
        word: Word,
        ring: Ring,
        seeds: Iterable[str],
        link: LinkPreset,
        clock: Clock,
        engine: Engine,
        forgotten: Forgotten,
    ) -> None:
        self._clock = clock
        self._start_ms = clock.now_ms()
        incarnation, remembered = self._remembered(engine.read_meta(META_ROSTER))
        for node in ring.members():
            remembered.setdefault(node, Member(node, since_ms=self._start_ms))
        remembered.pop(word.node, None)
        names = tuple(sorted(remembered))
        # A wiped disk remembers no incarnation. Were it to begin with 1 again, its new words could
        # have the stamps of old ones: the clock keeps them apart, and hearsay corrects the clock.
        rng = Random(f"{word.node} {word.instance}")
        self.membership = Membership(
            word=replace(word, incarnation=max(incarnation + 1, clock.now_us() // 1_000_000)),
            run=word.instance,
            link=link,
            rng=rng,
            remembered=remembered,
            names=names,
            away=names,
            forgotten=forgotten,
        )
        unresolved = Draw()
        for seed in sorted(set(seeds)):
            unresolved.add(seed)
        self.swim = Swim(
            membership=self.membership,
            link=link,
            rng=rng,
            founding=founding_mark(ring),
            seeds=unresolved,
            period_due_ms=self._start_ms + link.period_ms,
        )
        self.members = self.membership.roster
        self._contact: frozenset[str] = frozenset()
        self._contact_epoch = -1
        self._kept = b""

    @property
    def epoch(self) -> int:
        """Rises with every change that routes or coverage depend on."""
        return self.membership.epoch

    def contact(self) -> frozenset[str]:
        """Members that answer this node itself, without this node."""
        membership = self.membership
        if self._contact_epoch != membership.epoch:
            self._contact = frozenset(
                node
                for node, member in self.members.items()
                if member.state != "away" and node not in membership.cut
            )
            self._contact_epoch = membership.epoch
        return self._contact

    def away(self, names: Iterable[str]) -> dict[str, int]:
        """Of some members those without contact → since when (microseconds), sorted.

        A member whose direct link is cut counts: its records cannot be had.
        """
        contact, here = self.contact(), self.membership.here
        return {
            node: self.last_contact_us(node)
            for node in sorted(names)
            if node not in contact and node != here
        }

    def doubt(self, address: str) -> bool:
        """Have whoever is there probed soon; returns whether its last probe had no answer.

        Cost: one look at every member; only calls that have become slow pay it.
        """
        for node, member in self.members.items():
            if member.address == address:
                self.swim.doubt(node)
                return member.failures > 0
        return False

    def felt(self, node: str) -> None:
        """Bytes of a long message of a member are arriving: it stays in contact."""
        self.swim.felt(node, self._clock.now_ms())

    def is_felt(self, address: str) -> bool:
        """Whether bytes of whoever is there arrived within the time that a probe is given."""
        since_ms = self._clock.now_ms() - self.swim.link.timeout_ms
        return any(
            member.address == address and member.felt_ms >= since_ms
            for member in self.members.values()
        )

    def as_of_us(self) -> int:
        """The oldest moment from which the words of a member in contact are; now when alone."""
        now_us = self._clock.now_us()
        moments = [self.members[node].as_of_ms for node in self.contact()]
        return self.when_us(min(moments)) if moments else now_us

    def when_us(self, moment_ms: int) -> int:
        """A moment of the monotonic clock on the wall clock; never later than it was."""
        return self._clock.now_us() - (self._clock.now_ms() - moment_ms + 1) * 1_000

    def since_us(self, node: str) -> int:
        """When a member entered its state, or this node started."""
        return self.when_us(self.members[node].since_ms)

    def last_contact_us(self, node: str) -> int:
        """When a member was last heard; where it never was, since when it is known."""
        member = self.members.find(node)
        if member is None:
            return self._clock.now_us()
        heard = member.heard_ms
        return self.when_us(member.since_ms if heard == NEVER_MS else heard)

    def clocks_us(self) -> list[int]:
        """The wall clocks of the members in contact now, as far as they told them."""
        now_ms = self._clock.now_ms()
        members = (self.members[node] for node in sorted(self.contact()))
        return [
            member.clock_us + (now_ms - member.told_ms) * 1_000
            for member in members
            if member.told_ms != NEVER_MS
        ]

    def clock_offsets_us(self) -> dict[str, int]:
        """Member in contact → its wall clock minus this node's, at the least; sorted.

        What it told in an answer was said when that came at the latest.
        """
        now_us, now_ms = self._clock.now_us(), self._clock.now_ms()
        return {
            node: member.clock_us + (now_ms - member.answered_ms) * 1_000 - now_us
            for node in sorted(self.contact())
            if (member := self.members[node]).told_ms != NEVER_MS
        }

    def forget(self, ring: Ring) -> list[str]:
        """Drop members that were given up, are away and out of the ring; returns whom.

        One that still answers here hears that it was given up, and says that it lives.
        """
        forgotten = self.membership.forgotten
        dropped = [
            node
            for node in forgotten.told()
            if (member := self.members.find(node)) is not None
            and member.state == "away"
            and forgotten.covers(node, member.incarnation)
        ]
        kept = set(ring.members()) if dropped else set()
        dropped = [node for node in dropped if node not in kept]
        for node in dropped:
            self.swim.forget(node)
        return dropped

    def know(self, names: Iterable[str]) -> None:
        """The ring names these members."""
        for node in sorted(names):
            if node != self.membership.here and self.members.find(node) is None:
                self.members.add(Member(node, since_ms=self._clock.now_ms()))
                self.membership.away.add(node)
                self.membership.epoch += 1

    def changed_document(self) -> bytes | None:
        """What a next life must know, where more than sequences and times have changed."""
        lasting = self._document(lambda member: (0, 0))
        if lasting == self._kept:
            return None
        self._kept = lasting
        return self._document(lambda member: (member.sequence, self._heard_us(member)))

    def _document(self, passing: Callable[[Member], tuple[int, int]]) -> bytes:
        members = {
            node: [member.address, member.incarnation, member.store_id, *passing(member)]
            for node, member in sorted(self.members.items())
            if member.address
        }
        incarnation = self.membership.word.incarnation
        content = {"version": _VERSION, "incarnation": incarnation, "members": members}
        return bytes(msgpack.packb(content))

    def _heard_us(self, member: Member) -> int:
        return 0 if member.heard_ms == NEVER_MS else self.when_us(member.heard_ms)

    def _remembered(self, document: bytes | None) -> tuple[int, dict[str, Member]]:
        if document is None:
            return 0, {}
        content: dict[str, Any] = msgpack.unpackb(document)
        assert content["version"] == _VERSION, content["version"]
        members = {}
        for node, (address, incarnation, store_id, sequence, heard_us) in content[
            "members"
        ].items():
            # A clock that was set back must not make it heard in the future.
            ago_ms = max(0, (self._clock.now_us() - heard_us) // 1_000) if heard_us else 0
            members[node] = Member(
                node,
                address=address,
                since_ms=self._start_ms - ago_ms,
                incarnation=incarnation,
                store_id=store_id,
                sequence=sequence,
            )
        return content["incarnation"], members


def founding_mark(ring: Ring) -> int:
    """What all members share for ever, as one number: cluster, domain and grain level."""
    domain = ring.domain
    edges = (domain.west, domain.south, domain.east, domain.north)
    return hash_bytes(f"{ring.cluster_id} {edges} {ring.grain_level}".encode()) % (1 << 32)
