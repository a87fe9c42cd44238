"""What this node believes of the other members, and what makes it believe something else.

    alive ──suspected, here or by hearsay──► suspect ──nothing said in time──► away
      ▲                                        │ ▲                              │
      └────────it spoke since, or a higher─────┘ └──(never back: away members   │
               incarnation was heard of               must be heard themselves) │
      └─────────────────────it spoke since, and its word is here────────────────┘

Alive and suspect members are in contact. Evidence is always a bound on this node's own clock:
an answer to a request that was sent at T was said at T or later, and what a member heard so and
so long before it answered was said at T minus that or later. No two wall clocks are compared.
Incarnations settle what evidence cannot: a suspicion is answered by its subject with a higher
incarnation, and whoever comes back with a lower one (a wiped disk, an image) is told so and takes
a higher one. Hearsay is doubted: its source may be the one whose link was cut. It makes nobody
suspect who just spoke, it makes nobody away who was not suspect here for half of the shortest
time, and a node that was alone forgets what it believed of the others when it hears one again.

Behind long messages on a slow line answers to probes are late. Whoever's bytes are arriving, or
who says that ours are, is felt: it stays in contact. Its word gets no younger by that (bytes of a
process that has ended arrive as well), so no answer claims more; and whoever is away must speak.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from node.config import LinkPreset
from node.protocol.awareness import Awareness
from node.protocol.dissemination import ALIVE, AWAY, SUSPECT, Dissemination, Rumour
from node.protocol.forgotten import Forgotten
from node.protocol.gossip_message import Age, Reply, Sender
from node.protocol.roster import (
    MEMBERS_MAX,
    NEVER_MS,
    Dice,
    Draw,
    Member,
    MemberState,
    Roster,
)
from node.protocol.suspicion import Suspicion
from node.protocol.word import StoreSeen, Word

WANTED_MAX = 1_024
"""Members whose newer word is asked for; the exchange finds those that fall out."""
FAILURES_MAX = 2
"""Direct probes without an answer in a row after which a link counts as cut."""
FRESH_PERIODS = 2
"""A member that spoke, or was felt, so lately is not suspected on hearsay."""
_RANKS = {"alive": ALIVE, "suspect": SUSPECT, "away": AWAY}


@dataclass(frozen=True, slots=True)
class Changed:
    """Effect: a member's state is another one; routes may have to be computed again."""

    node: str
    state: MemberState


@dataclass(frozen=True, slots=True)
class StoreLost:
    """Effect: a member came back with another store; it is owed everything others have."""

    node: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Effect: a node is not to be talked to as a member; counted and shown, not fatal."""

    address: str
    reason: str


Effect = Changed | StoreLost | Refused
Standing = Literal["new", "known", "stale", "double", "forgotten"]


class Membership:
    """The beliefs of one node.

    Args:
        word: what this node says of itself; its incarnation is above that of its former lives.
        run: random number of this process, above 0.
        remembered, names, away: what a former life knew (see `Roster`), and who of them is away.
        forgotten: who is no member any more although others may still tell of it.
    """

    def __init__(
        self,
        *,
        word: Word,
        run: int,
        link: LinkPreset,
        rng: Dice,
        remembered: Mapping[str, Member],
        names: tuple[str, ...],
        away: Iterable[str],
        forgotten: Forgotten | None = None,
    ) -> None:
        self.word = word
        self.run = run
        self.roster = Roster(remembered, names, rng, here=word.node)
        self.forgotten = forgotten or Forgotten()
        self.news = Dissemination(link.rumour_times)
        self.awareness = Awareness()
        self.suspicions: dict[str, Suspicion] = {}
        self.wanted: dict[str, None] = {}
        self.away = Draw()
        self.cut = Draw()
        """Members in contact whose direct link does not carry probes."""
        self.epoch = 0
        """Rises with every change that routes or coverage depend on."""
        self.fresh: list[str] = []
        """Members whose word is another one since somebody last emptied this."""
        self._link = link
        for node in away:
            self.away.add(node)

    @property
    def here(self) -> str:
        """This node's name."""
        return self.word.node

    @property
    def contact_count(self) -> int:
        """Members in contact, without this node."""
        return len(self.roster) - len(self.away)

    def sender(self, *, address: bool) -> Sender:
        """This node as it signs its messages."""
        word = self.word
        told = word.address if address else ""
        return Sender(word.node, self.run, word.incarnation, word.version, told)

    def say(self, word: Word) -> None:
        """What this node says of itself now, whatever its stamp; a change of content is a new
        version."""
        said = self.word
        is_other = not _same_content(word, said)
        stamp = said.incarnation, said.version + is_other
        if word.stamp != stamp:
            word = replace(word, incarnation=stamp[0], version=stamp[1])
        self.word = word
        if is_other:
            self._tell_self()

    def rumour_of(self, member: Member) -> Rumour:
        """What this node believes of a member, as it tells it.

        Whom it merely has not heard since it started it does not call away.
        """
        unjudged = member.state == "away" and member.judged_ms == NEVER_MS
        return Rumour(
            member.node,
            member.address,
            member.incarnation,
            member.version,
            member.run,
            ALIVE if unjudged else _RANKS[member.state],
            self.here if member.state == "suspect" else "",
        )

    def standing(self, sender: Sender, address: str, now_ms: int) -> Standing:
        """How somebody who speaks stands to the member of that name.

        `stale`: an earlier life, or one that does not know how far it had come; it is told.
        `double`: another process of that name speaks elsewhere, and was just heard. `forgotten`:
        it was given up and has not heard so yet.
        """
        if sender.node == self.here:
            return "double"
        member = self.roster.find(sender.node)
        if member is None:
            known = self.forgotten.covers(sender.node, sender.incarnation)
            return "forgotten" if known else "new"
        other_run = bool(member.run) and member.run != sender.run
        if (
            other_run
            and address not in ("", member.address)
            and member.state == "alive"
            and now_ms - member.heard_ms < 3 * self._link.period_ms * max(1, self.contact_count)
        ):
            return "double"
        if sender.incarnation < member.incarnation or (
            sender.incarnation == member.incarnation and other_run
        ):
            return "stale"
        return "known"

    def correction_of(self, node: str) -> Rumour:
        """What a forgotten node is told when it speaks: it answers with a higher incarnation."""
        return Rumour(node, "", self.forgotten.incarnation_of(node), 0, rank=AWAY)

    def forget(self, node: str) -> None:
        """A member that is away is none any more."""
        self.roster.remove(node)
        self.suspicions.pop(node, None)
        self.wanted.pop(node, None)
        self.away.discard(node)
        self.cut.discard(node)
        self.news.drop(node)
        self.fresh[:] = [name for name in self.fresh if name != node]
        self.epoch += 1

    def meet(self, sender: Sender, now_ms: int) -> Member | None:
        """A sender as a member, added where it is new; None when there is no room."""
        member = self.roster.find(sender.node)
        if member is None:
            if len(self.roster) >= MEMBERS_MAX:
                return None
            member = Member(sender.node, address=sender.address, since_ms=now_ms)
            self.roster.add(member)
            self.away.add(sender.node)
            self.epoch += 1
        elif sender.address and sender.address != member.address and member.state == "away":
            self.roster.change(sender.node).address = sender.address
        if (sender.incarnation, sender.version) > member.stamp:
            member = self.roster.change(sender.node)
            risen = sender.incarnation > member.incarnation
            member.incarnation, member.version = sender.incarnation, sender.version
            member.run = sender.run
            self._want(sender.node)
            if risen:
                self._refuted(member, now_ms)
            self.news.add(replace(self.rumour_of(member), rank=ALIVE, source=""))
        return self.roster.find(sender.node)

    def answered(self, reply: Reply, *, address: str, sent_ms: int, now_ms: int) -> list[Effect]:
        """A member answered a request that was sent at `sent_ms`; it is not stale or a double."""
        sender = reply.sender
        if self.meet(sender, now_ms) is None:
            return [Refused(address, f"more than {MEMBERS_MAX} members")]
        member = self.roster.change(sender.node)
        if not member.run:
            member.run = sender.run
        member.address, member.crowded = address, now_ms - sent_ms > self._link.timeout_ms
        if member.failures:
            member.failures, member.back_ms = 0, now_ms
            if sender.node in self.cut:
                self.cut.discard(sender.node)
                self.epoch += 1
        effects: list[Effect] = []
        if reply.word is not None and reply.word.node == sender.node:
            effects += self._take_word(member, reply.word)
        word = member.word
        if word is None or word.stamp != (sender.incarnation, sender.version):
            return effects
        if reply.sequence != word.sequence or reply.records != word.records:
            member.word = replace(word, sequence=reply.sequence, records=reply.records)
            member.sequence = max(member.sequence, reply.sequence)
            self.fresh.append(sender.node)
        if reply.clock_us:
            member.clock_us = reply.clock_us
            member.told_ms, member.answered_ms = sent_ms, now_ms
        member.as_of_ms = max(member.as_of_ms, sent_ms)
        return effects + self._spoke(member, sent_ms, now_ms)

    def relayed_word(self, word: Word, *, bound_ms: int, now_ms: int) -> list[Effect]:
        """Somebody passed on a member's word, which was its word at `bound_ms` or later."""
        known = self.roster.find(word.node)
        if known is None or word.cluster != self.word.cluster:
            return []
        if known.word is not None and word.stamp < known.word.stamp:
            return []
        member = self.roster.change(word.node)
        effects = self._take_word(member, word)
        return effects + self._bound(member, bound_ms, now_ms)

    def relayed_age(self, age: Age, *, bound_ms: int, now_ms: int) -> list[Effect]:
        """Somebody said how old a word is that this node may have."""
        known = self.roster.find(age.node)
        if known is None:
            return []
        stamp = (age.incarnation, age.version)
        if stamp > known.stamp:
            member = self.roster.change(age.node)
            risen = age.incarnation > member.incarnation
            member.run = 0 if risen else member.run
            member.incarnation, member.version = stamp
            self._want(age.node)
            return self._refuted(member, now_ms) if risen else []
        if known.word is None or known.word.stamp != stamp or bound_ms <= known.as_of_ms:
            return []
        return self._bound(self.roster.change(age.node), bound_ms, now_ms)

    def hear(self, rumour: Rumour, now_ms: int) -> list[Effect]:
        """Somebody told a rumour."""
        if rumour.node == self.here:
            return self._about_self(rumour)
        known = self.roster.find(rumour.node)
        if known is None:
            return self._stranger(rumour, now_ms)
        if rumour.incarnation < known.incarnation:
            return []
        risen = rumour.incarnation > known.incarnation
        if risen or (rumour.version > known.version and rumour.rank == ALIVE):
            member = self.roster.change(rumour.node)
            member.incarnation, member.version = rumour.incarnation, rumour.version
            if risen:
                member.run = rumour.run
                if rumour.address and (member.state == "away" or not member.address):
                    member.address = rumour.address
            self._want(rumour.node)
            if rumour.rank == ALIVE:
                self.news.add(rumour)
                return self._refuted(member, now_ms) if risen else []
        if rumour.rank == ALIVE or known.state == "away":
            return []
        running = self.suspicions.get(rumour.node)
        if running is None:
            # Whoever was just heard is not doubted because others cannot hear it.
            lately_ms = max(known.heard_ms, known.felt_ms)
            if now_ms - lately_ms <= FRESH_PERIODS * self._link.period_ms:
                return []
        elif rumour.rank == AWAY and now_ms - running.since_ms >= running.shortest_ms // 2:
            return self._judge_away(self.roster.change(rumour.node), now_ms)
        return self.suspect(rumour.node, rumour.source or rumour.node, now_ms)

    def suspect(self, node: str, source: str, now_ms: int) -> list[Effect]:
        """`source` (or this node) had no answer from a member in contact."""
        running = self.suspicions.get(node)
        if running is not None:
            if running.confirm(source):
                self.news.add(replace(self.rumour_of(self.roster[node]), source=source))
            return []
        member = self.roster.change(node)
        assert member.state == "alive", member
        self.suspicions[node] = Suspicion.begin(
            self._link, member_count=self.contact_count + 1, source=source, now_ms=now_ms
        )
        member.state, member.since_ms = "suspect", now_ms
        self.news.add(replace(self.rumour_of(member), source=source))
        return [Changed(node, "suspect")]

    def expire(self, now_ms: int) -> list[Effect]:
        """Suspicions that were not answered in time."""
        # Where everybody is suspect nobody is left who could confirm it.
        alone = len(self.suspicions) == self.contact_count
        due = [
            node
            for node, running in self.suspicions.items()
            if running.due_ms(alone=alone) <= now_ms
        ]
        effects: list[Effect] = []
        for node in sorted(due):
            effects += self._judge_away(self.roster.change(node), now_ms)
        return effects

    def felt(self, node: str, now_ms: int, *, lasting_ms: int = 0) -> list[Effect]:
        """Bytes of a member arrive here, or ours there, as it said; for so long at least."""
        known = self.roster.find(node)
        if known is None or known.state == "away":
            return []
        member = self.roster.change(node)
        member.felt_ms = max(member.felt_ms, now_ms + lasting_ms)
        member.failures = 0
        if node in self.cut:
            self.cut.discard(node)
            self.epoch += 1
        return self._refuted(member, now_ms)

    def failed(self, node: str) -> None:
        """A direct probe of a member had no answer."""
        member = self.roster.change(node)
        member.failures += 1
        if member.failures == FAILURES_MAX and member.state != "away":
            self.cut.add(node)
            self.epoch += 1

    def _stranger(self, rumour: Rumour, now_ms: int) -> list[Effect]:
        if self.forgotten.covers(rumour.node, rumour.incarnation):
            return []
        sender = Sender(rumour.node, rumour.run, rumour.incarnation, rumour.version, rumour.address)
        if rumour.rank == ALIVE or rumour.address:
            self.meet(sender, now_ms)
        return []

    def _about_self(self, rumour: Rumour) -> list[Effect]:
        word = self.word
        ahead = rumour.incarnation > word.incarnation
        other = rumour.incarnation == word.incarnation and rumour.run not in (0, self.run)
        accused = rumour.rank != ALIVE and rumour.incarnation >= word.incarnation
        if ahead or other or accused:
            self.word = replace(word, incarnation=rumour.incarnation + 1, version=0)
            self._tell_self()
            if accused:
                self.awareness.worse()
        return []

    def _tell_self(self) -> None:
        word = self.word
        self.news.add(Rumour(word.node, word.address, word.incarnation, word.version, self.run))

    def _want(self, node: str) -> None:
        if len(self.wanted) < WANTED_MAX:
            self.wanted[node] = None

    def _take_word(self, member: Member, word: Word) -> list[Effect]:
        """A word that is no older than the one known."""
        known = member.word
        if known is not None and word.stamp <= known.stamp:
            return []
        effects: list[Effect] = []
        if member.store_id and word.store_id != member.store_id:
            effects = self._lose_store(member)
        if known is None or not _same_content(known, word):
            self.epoch += 1
        member.word, member.store_id, member.sequence = word, word.store_id, word.sequence
        self.fresh.append(member.node)
        if word.stamp > member.stamp:
            if word.incarnation > member.incarnation:
                member.run = 0
            member.incarnation, member.version = word.stamp
            self.news.add(replace(self.rumour_of(member), rank=ALIVE, source=""))
        if word.address and not member.address:
            member.address = word.address
        if member.has_newest_word:
            self.wanted.pop(member.node, None)
        return effects

    def _lose_store(self, member: Member) -> list[Effect]:
        self.epoch += 1
        return [StoreLost(member.node)]

    def _bound(self, member: Member, bound_ms: int, now_ms: int) -> list[Effect]:
        member.as_of_ms = max(member.as_of_ms, bound_ms)
        return self._spoke(member, bound_ms, now_ms)

    def _spoke(self, member: Member, bound_ms: int, now_ms: int) -> list[Effect]:
        """It spoke at `bound_ms` or later, and its word of then is here."""
        member.heard_ms = max(member.heard_ms, bound_ms)
        if member.state == "alive":
            return []
        if member.state == "suspect":
            if bound_ms <= self.suspicions[member.node].since_ms:
                return []
            del self.suspicions[member.node]
        elif bound_ms <= member.judged_ms or not member.has_newest_word:
            return []
        else:
            if not self.contact_count:
                self.news.clear()
                self._tell_self()
            self.away.discard(member.node)
            if member.failures >= FAILURES_MAX:
                self.cut.add(member.node)
            self.epoch += 1
        member.state, member.since_ms = "alive", now_ms
        return [Changed(member.node, "alive")]

    def _refuted(self, member: Member, now_ms: int) -> list[Effect]:
        """A suspect took a higher incarnation, or is felt."""
        if self.suspicions.pop(member.node, None) is None:
            return []
        member.state, member.since_ms = "alive", now_ms
        return [Changed(member.node, "alive")]

    def _judge_away(self, member: Member, now_ms: int) -> list[Effect]:
        del self.suspicions[member.node]
        member.state, member.judged_ms = "away", now_ms
        member.since_ms = now_ms if member.heard_ms == NEVER_MS else member.heard_ms
        self.away.add(member.node)
        self.cut.discard(member.node)
        self.epoch += 1
        self.news.add(self.rumour_of(member))
        return [Changed(member.node, "away")]


def _same_content(one: Word, other: Word) -> bool:
    """Whether nothing differs that makes a new version: all but what changes with every write."""
    return (
        one.store_id == other.store_id
        and one.instance == other.instance
        and one.birth == other.birth
        and one.address == other.address
        and one.url == other.url
        and one.ring_digest == other.ring_digest
        and one.life == other.life
        and one.filled == other.filled
        and one.owed == other.owed
        and _same_lives(one.stores, other.stores)
        and one.forgotten == other.forgotten
    )


def _same_lives(one: Mapping[str, StoreSeen], other: Mapping[str, StoreSeen]) -> bool:
    """Whether the same stores are known, open in the same processes."""
    if one is other:
        return True
    if len(one) != len(other):
        return False
    for node, seen in one.items():
        known = other.get(node)
        if known is None or (seen.store_id, seen.instance) != (known.store_id, known.instance):
            return False
    return True
