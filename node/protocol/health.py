"""Which members are there: direct health checks of a fixed list, as rules.

Events and the time go in, effects come out; the shell probes and reports back. Addresses are
probed, not names: a seed is an address whose node is not known yet, and a member's address is
learned from what it says. Members are remembered for ever and probed for ever.

    unknown ──replied──► alive ──`away_after_probes` failures in a row──► away ──replied──► alive

A reply carries the member's store id and log sequence. Another store id, or a lower sequence
under the same one, means that the store was lost or an old image restored (PROTOCOL 3.1).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from node.protocol.word import Word

MemberState = Literal["alive", "away", "unknown"]


@dataclass(frozen=True, slots=True)
class Replied:
    """A probe was answered.

    Attributes:
        sent_us: this node's wall clock when the probe was sent.
        addresses: of the members that it knows.
    """

    address: str
    word: Word
    sent_us: int
    addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """A probe was not answered in time, or the connection broke."""

    address: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A member probed this node: it is up, and that is where it says it can be reached."""

    word: Word


@dataclass(frozen=True, slots=True)
class Probe:
    """Effect: send the own word to this address and report `Replied` or `Failed`."""

    address: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Effect: a member's state is another one; routes must be computed again."""

    node: str
    state: MemberState


@dataclass(frozen=True, slots=True)
class StoreLost:
    """Effect: a member came back with another store; it is owed everything others have."""

    node: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Effect: an address is not to be talked to as a member; counted and shown, not fatal."""

    address: str
    reason: Literal["foreign cluster", "duplicate identity", "not a member"]


Event = Replied | Failed | Heard
Effect = Probe | Changed | StoreLost | Refused


@dataclass(frozen=True, slots=True)
class Member:
    """What is known of one member.

    Attributes:
        since_us: when it entered its state; for `away`, the last contact.
        word: its last, None before the first.
        as_of_us: this node's wall clock when the probe was sent that brought `word`.
    """

    node: str
    state: MemberState = "unknown"
    since_us: int = 0
    address: str = ""
    store_id: str = ""
    sequence: int = 0
    word: Word | None = None
    as_of_us: int = 0


@dataclass(slots=True)
class _Target:
    """One address that is probed."""

    due_ms: int
    waiting: bool = False
    failures: int = 0
    node: str | None = None


class Health:
    """The state of all members but this one.

    Args:
        here: this node's id; cluster: the id that others must have.
        members: the other nodes that the ring names.
        seeds: addresses to begin with.
        now_us: this node's wall clock, for the members that were never heard of.
        remembered: node → (address, store id, sequence) as persisted by a former life.
    """

    def __init__(
        self,
        *,
        here: str,
        cluster: str,
        members: Iterable[str],
        seeds: Iterable[str],
        interval_ms: int,
        away_after_probes: int,
        now_ms: int,
        now_us: int,
        remembered: Mapping[str, tuple[str, str, int]] | None = None,
    ) -> None:
        self._here = here
        self._cluster = cluster
        self._interval_ms = interval_ms
        self._away_after = away_after_probes
        self._start_us = now_us
        self._targets: dict[str, _Target] = {}
        self.members: dict[str, Member] = {}
        known = remembered or {}
        for node in sorted(set(members) - {here}):
            address, store_id, sequence = known.get(node, ("", "", 0))
            self.members[node] = Member(
                node, since_us=now_us, address=address, store_id=store_id, sequence=sequence
            )
            if address:
                self._targets[address] = _Target(now_ms, node=node)
        for address in sorted(set(seeds)):
            self._targets.setdefault(address, _Target(now_ms))
        self.epoch = 0
        """Rises with every change that routes or coverage depend on."""

    def tick(self, now_ms: int) -> list[Effect]:
        """Probes that are due."""
        effects: list[Effect] = []
        for address in sorted(self._targets):
            target = self._targets[address]
            if not target.waiting and target.due_ms <= now_ms:
                target.waiting = True
                effects.append(Probe(address))
        return effects

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """What follows from one event."""
        if isinstance(event, Replied):
            return self._replied(event, now_ms)
        if isinstance(event, Failed):
            return self._failed(event, now_ms)
        return self._heard(event, now_ms)

    def know(self, members: Iterable[str]) -> None:
        """The ring names these members now; those it no longer names are forgotten."""
        wanted = sorted(set(members) - {self._here})
        if wanted == sorted(self.members):
            return
        self.members = {
            node: self.members.get(node, Member(node, since_us=self._start_us)) for node in wanted
        }
        self.epoch += 1

    def contact(self) -> frozenset[str]:
        """Members that answer, without this node."""
        return frozenset(node for node, member in self.members.items() if member.state == "alive")

    def away(self) -> dict[str, int]:
        """Members without contact → since when (microseconds), sorted."""
        return {
            node: member.since_us
            for node, member in sorted(self.members.items())
            if member.state != "alive"
        }

    def as_of_us(self, now_us: int) -> int:
        """The oldest moment from which the words of a member in contact are; now when alone."""
        return min(
            (member.as_of_us for member in self.members.values() if member.state == "alive"),
            default=now_us,
        )

    def remembered(self) -> dict[str, tuple[str, str, int]]:
        """What a next life must know: node → (address, store id, sequence)."""
        return {
            node: (member.address, member.store_id, member.sequence)
            for node, member in sorted(self.members.items())
            if member.address
        }

    def _replied(self, event: Replied, now_ms: int) -> list[Effect]:
        word, address = event.word, event.address
        target = self._targets.setdefault(address, _Target(now_ms))
        target.waiting, target.failures = False, 0
        target.due_ms = now_ms + self._interval_ms
        if word.cluster != self._cluster:
            return [Refused(address, "foreign cluster")]
        if word.node == self._here:
            # A seed list may name this node itself; that address needs no probing.
            del self._targets[address]
            return []
        member = self.members.get(word.node)
        if member is None:
            return [Refused(address, "not a member")]
        if self._is_double(member, address, word):
            return [Refused(address, "duplicate identity")]
        self._adopt(member.node, address, target)
        effects: list[Effect] = []
        lost = bool(member.store_id) and (
            member.store_id != word.store_id or word.sequence < member.sequence
        )
        state_changed = member.state != "alive"
        if lost:
            effects.append(StoreLost(member.node))
        if state_changed:
            effects.append(Changed(member.node, "alive"))
        known = replace(
            member,
            state="alive",
            since_us=event.sent_us if state_changed else member.since_us,
            address=address,
            store_id=word.store_id,
            sequence=word.sequence,
            word=word,
            as_of_us=event.sent_us,
        )
        if state_changed or lost or member.word is None or _told(member) != _told(known):
            self.epoch += 1
        self.members[member.node] = known
        self._learn(event.addresses, now_ms)
        return effects

    def _failed(self, event: Failed, now_ms: int) -> list[Effect]:
        target = self._targets.get(event.address)
        if target is None:
            return []
        target.waiting = False
        target.failures += 1
        target.due_ms = now_ms + self._interval_ms
        member = self.members.get(target.node or "")
        if member is None or member.address != event.address or member.state == "away":
            return []
        if target.failures < self._away_after:
            return []
        self.epoch += 1
        since = member.as_of_us or member.since_us
        self.members[member.node] = replace(member, state="away", since_us=since)
        return [Changed(member.node, "away")]

    def _heard(self, event: Heard, now_ms: int) -> list[Effect]:
        word = event.word
        if word.cluster != self._cluster or word.node not in self.members or not word.address:
            return []
        self._learn({word.node: word.address}, now_ms)
        target = self._targets.get(word.address)
        member = self.members[word.node]
        if target is not None and (
            member.state != "alive" or member.store_id not in ("", word.store_id)
        ):
            # It is up, or has another store: ask at once instead of waiting for the next turn.
            target.due_ms = now_ms
            return self.tick(now_ms)
        return []

    def _is_double(self, member: Member, address: str, word: Word) -> bool:
        """Two processes with one name: the one already in contact stays the member."""
        return (
            member.state == "alive"
            and member.address != address
            and member.store_id != word.store_id
        )

    def _adopt(self, node: str, address: str, target: _Target) -> None:
        target.node = node
        # Probing one address of a member is enough; the last that answered is the one.
        for other in [
            other
            for other, known in self._targets.items()
            if known.node == node and other != address and not known.waiting
        ]:
            del self._targets[other]

    def _learn(self, addresses: Mapping[str, str], now_ms: int) -> None:
        for node, address in sorted(addresses.items()):
            member = self.members.get(node)
            if member is None or not address or address in self._targets:
                continue
            if member.state != "alive":
                self._targets[address] = _Target(now_ms, node=node)


def _told(member: Member) -> tuple[object, ...]:
    """The parts of its words that routes and coverage depend on."""
    assert member.word is not None
    stores = {node: store_id for node, (store_id, _) in member.word.stores.items()}
    word = member.word
    return word.owed, stores, word.filled, word.birth, word.life, word.ring_digest
