"""Who is asked when: the failure detector and the gossip that rides on it, as rules.

Events and the time go in, effects come out; the shell sends what it is told to send and reports
what came back. In every period one member in contact is probed (in a small cluster all of them)
and one that is away, for ever, so that halves that lost each other meet again whoever returns.
Without an answer, some others are asked to probe it, so that one cut link makes nobody suspect;
if none of them reaches it either, it is suspect, and away when it does not answer that. An answer
that is late because the line is full of the same member's bytes is waited for in the next period.

Only answers carry words and their ages (see `membership`); rumours ride on both. Every so many
periods a probe is an exchange, which carries what is known of everyone (of a large cluster, a
part that changes); so does the first probe of a start and the first answer of one who was away.

A request costs O(1) whatever the number of members; so does a tick.

Sources: Das, Gupta, Motivala: "SWIM: scalable weakly-consistent infection-style process group
membership protocol", 2002; Lifeguard (see `awareness`).
"""

from dataclasses import dataclass, field

from node.config import LinkPreset
from node.protocol.dissemination import Rumour
from node.protocol.gossip_message import AGE_UNIT_MS, Age, Reply, Request
from node.protocol.membership import Changed, Membership, Refused, StoreLost
from node.protocol.roster import Dice, Draw, Member
from node.protocol.word import Word

EXCHANGE_MEMBERS_MAX = 256
"""Members of one exchange: about 20 kB; a larger cluster is exchanged part by part."""
AGES_MEMBERS_MAX = 64
"""In larger clusters no ages are told: a few in each answer could not keep up with them."""
FIRST_PROBES_MAX = 16
"""Members that a node greets at once when it starts."""
FELT_PERIODS_MAX = 4
"""What a member says of the time until it will speak again is believed up to so many periods."""
WANT_MAX = 16
"""Words asked for in one request."""
JITTER = 0.1
"""Part of a period by which it may be shorter or longer, so that nodes do not march in step."""


@dataclass(frozen=True, slots=True)
class Call:
    """Effect: send this and report `Answered` or `Unanswered` with the same number."""

    number: int
    address: str
    request: Request
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A call was answered."""

    number: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A call was not answered in time, or the connection broke; or it was refused, for a reason."""

    number: int
    reason: str = ""


Event = Answered | Unanswered
Effect = Call | Changed | StoreLost | Refused


@dataclass(frozen=True, slots=True)
class _Pending:
    """A call under way. `node`: whose answer is wanted; `helper`: who was asked to get it."""

    node: str
    address: str
    sent_ms: int
    helper: str = ""
    full: bool = False


@dataclass(slots=True)
class _Probe:
    """A member that is being probed: since when, how many helpers are still out, and whether one
    said no."""

    sent_ms: int
    helpers: int = 0
    denied: bool = False


@dataclass(slots=True)
class Swim:
    """The failure detector of one node.

    Args:
        founding: mark of what all members share for ever: cluster, domain, grain level.
        seeds: addresses to begin with, whoever is there.
    """

    membership: Membership
    link: LinkPreset
    rng: Dice
    founding: int
    seeds: Draw
    period_due_ms: int
    periods: int = 0
    _number: int = 0
    _pending: dict[int, _Pending] = field(default_factory=dict)
    _probes: dict[str, _Probe] = field(default_factory=dict)
    _doubted: set[str] = field(default_factory=set)

    def doubt(self, node: str) -> None:
        """A member is slow to answer something else: it is probed at the next tick."""
        self._doubted.add(node)

    def felt(self, node: str, now_ms: int) -> list[Effect]:
        """Bytes of a long message of a member are arriving."""
        return list(self.membership.felt(node, now_ms))

    def forget(self, node: str) -> None:
        """A member that is away was given up: it is not probed any more."""
        self._probes.pop(node, None)
        self._doubted.discard(node)
        self.membership.forget(node)

    def first(self, now_ms: int) -> list[Effect]:
        """Greet seeds and some remembered members at once, with an exchange each."""
        effects: list[Effect] = [
            self._call(_Pending("", address, now_ms, full=True), now_ms)
            for address in sorted(self.seeds)[:FIRST_PROBES_MAX]
        ]
        members = (self.membership.roster[node] for node in sorted(self.membership.away))
        known = [member for member in members if member.address not in self.seeds]
        for member in known[:FIRST_PROBES_MAX]:
            effects += self._probe(member, now_ms, full=True)
        return effects

    def tick(self, now_ms: int) -> list[Effect]:
        """What is due."""
        effects: list[Effect] = []
        if self.membership.suspicions:
            effects += self.membership.expire(now_ms)
        for node in sorted(self._doubted):
            effects += self._probe(self.membership.roster[node], now_ms)
        self._doubted.clear()
        if now_ms >= self.period_due_ms:
            span_ms = self.link.period_ms * (1 - JITTER + 2 * JITTER * self.rng.random())
            self.period_due_ms = now_ms + int(span_ms)
            effects += self._period(now_ms)
        return effects

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """What follows from one event."""
        pending = self._pending.pop(event.number)
        if isinstance(event, Answered):
            return self._answered(pending, event.reply, now_ms)
        return self._unanswered(pending, event.reason, now_ms)

    def answer(
        self, request: Request, now_ms: int, *, reached: bool | None = None
    ) -> tuple[Reply, list[Effect]]:
        """The answer to a member's request, and what follows from it here.

        Args:
            reached: whether the member that it wanted to be probed from here has answered.
        """
        membership = self.membership
        sender = request.sender
        standing = membership.standing(sender, sender.address, now_ms)
        effects: list[Effect] = []
        correction: tuple[Rumour, ...] = ()
        known = membership.roster.find(sender.node)
        if standing == "stale":
            assert known is not None
            correction = (membership.rumour_of(known),)
        elif standing == "forgotten":
            correction = (membership.correction_of(sender.node),)
        elif standing != "double":
            before = (0, 0) if known is None else known.stamp
            known = membership.meet(sender, now_ms)
            if known is not None and known.state != "alive":
                correction = (membership.rumour_of(known),)
            if known is not None and (known.state == "away" or before[0] < sender.incarnation):
                effects += self._probe(known, now_ms, full=known.state == "away")
            if request.felt_ms:
                lasting_ms = min(request.felt_ms, FELT_PERIODS_MAX * self.link.period_ms)
                effects += membership.felt(sender.node, now_ms, lasting_ms=lasting_ms)
        for rumour in request.rumours:
            effects += membership.hear(rumour, now_ms)
        word = membership.word
        reply = Reply(
            membership.sender(address=request.full),
            sequence=word.sequence,
            records=word.records,
            clock_us=word.clock_us,
            ring_digest=word.ring_digest,
            word=word if request.have != word.stamp else None,
            rumours=correction + self._rumours(request.full),
            ages=self._ages(request, now_ms),
            words=self._words(request, now_ms),
            reached=reached,
            unknown=known is not None and not known.address,
        )
        return reply, effects

    def refusal(self, request: Request, now_ms: int) -> Refused | None:
        """Why a request is not answered, if so."""
        sender = request.sender
        if request.founding != self.founding:
            reason = "other cluster, domain or grain level"
        elif self.membership.standing(sender, sender.address, now_ms) == "double":
            reason = "duplicate identity"
        else:
            return None
        return Refused(sender.address or sender.node, reason)

    def reach(self, node: str, address: str, now_ms: int) -> Call:
        """A probe on behalf of another member; its event is stepped like any other."""
        return self._call(_Pending(node, address, now_ms), now_ms)

    def _period(self, now_ms: int) -> list[Effect]:
        membership = self.membership
        self.periods += 1
        full = self.periods % self.link.exchange_periods == 0
        effects: list[Effect] = []
        count = membership.contact_count
        for member in membership.roster.next_turns(
            count if count <= self.link.probe_all_max else 1
        ):
            effects += self._probe(member, now_ms, full=full)
            full = False
        for draw in (membership.away, membership.cut):
            node = draw.draw(self.rng)
            if node is not None:
                if draw is membership.away:
                    # On a line that is cut a probe waits, and is sent again more and more seldom:
                    # one that begins anew is through sooner when the line is back.
                    self._probes.pop(node, None)
                effects += self._probe(membership.roster[node], now_ms)
        address = self.seeds.draw(self.rng)
        if address is not None:
            effects.append(self._call(_Pending("", address, now_ms, full=True), now_ms))
        return effects

    def _probe(
        self, member: Member, now_ms: int, *, full: bool = False, correct: bool = False
    ) -> list[Effect]:
        if member.node in self._probes or not member.address:
            return []
        self._probes[member.node] = _Probe(now_ms)
        pending = _Pending(member.node, member.address, now_ms, full=full)
        return [self._call(pending, now_ms, correct=correct)]

    def _call(
        self,
        pending: _Pending,
        now_ms: int,
        *,
        relay: tuple[str, str] | None = None,
        correct: bool = False,
    ) -> Call:
        """`correct`: the target is to hear what is believed of it."""
        membership, full = self.membership, pending.full
        self._number += 1
        self._pending[self._number] = pending
        target = pending.helper or pending.node
        member = membership.roster.find(target)
        have = (0, 0) if member is None or member.word is None else member.word.stamp
        about: tuple[Rumour, ...] = ()
        if member is not None and (correct or (member.incarnation and member.state != "alive")):
            about = (membership.rumour_of(member),)
        timeout_ms = self.link.timeout_ms if relay is None else self.link.relay_timeout_ms
        if member is None or member.state != "away":
            # One who is away is asked again soon, however slow this node may be: with long waits
            # it would be late to notice that it is no longer alone.
            timeout_ms = membership.awareness.stretched(timeout_ms)
        request = Request(
            membership.sender(address=full or have == (0, 0)),
            founding=self.founding,
            target=target,
            have=have,
            full=full,
            rumours=about + self._rumours(full),
            want=tuple(node for node, _ in zip(membership.wanted, range(WANT_MAX), strict=False)),
            relay=relay,
            felt_ms=self._felt_ms(member, timeout_ms, now_ms),
        )
        return Call(self._number, pending.address, request, timeout_ms)

    def _felt_ms(self, member: Member | None, timeout_ms: int, now_ms: int) -> int:
        """How long what this request says of its target's bytes holds: until the next one comes."""
        period_ms = self.link.period_ms
        if member is None or not member.crowded or now_ms - member.felt_ms > period_ms:
            return 0
        span_ms = timeout_ms + int(period_ms * (1 + JITTER))
        return -(-span_ms // AGE_UNIT_MS) * AGE_UNIT_MS

    def _rumours(self, full: bool) -> tuple[Rumour, ...]:
        membership = self.membership
        told = membership.news.take(self.link.rumours_max, len(membership.roster) + 1)
        if full:
            members = membership.roster.slice(EXCHANGE_MEMBERS_MAX)
            told = [membership.rumour_of(member) for member in members] + told
        return tuple(told)

    def _ages(self, request: Request, now_ms: int) -> tuple[Age, ...]:
        roster = self.membership.roster
        members: list[Member] = []
        if request.relay is not None:
            asked = roster.find(request.relay[0])
            members += [asked] if asked is not None else []
        if request.full and len(roster) <= AGES_MEMBERS_MAX:
            members += [m for m in roster.slice(EXCHANGE_MEMBERS_MAX) if m.state != "away"]
        elif len(roster) <= AGES_MEMBERS_MAX:
            members += roster.next_relayed(self.link.ages_max)
        return tuple(
            Age(member.node, *member.word.stamp, now_ms - member.as_of_ms)
            for member in members
            if member.word is not None and member.node != request.sender.node
        )

    def _words(self, request: Request, now_ms: int) -> tuple[tuple[Word, int], ...]:
        """Words that the sender wants; in an exchange, those of which it knows less."""
        roster = self.membership.roster
        nodes = dict.fromkeys(request.want)
        if request.full:
            stamps = {told.node: (told.incarnation, told.version) for told in request.rumours}
            # Whom the sender does not name it does not know, unless this is a part of many.
            unnamed = (0, 0) if len(roster) <= EXCHANGE_MEMBERS_MAX else None
            for member in roster.slice(EXCHANGE_MEMBERS_MAX):
                stamp = stamps.get(member.node, unnamed)
                if member.word is not None and stamp is not None and member.word.stamp > stamp:
                    nodes[member.node] = None
        words: list[tuple[Word, int]] = []
        left = self.link.words_bytes_max
        for node in nodes:
            known = roster.find(node)
            if known is None or known.word is None or node == request.sender.node:
                continue
            words.append((known.word, now_ms - known.as_of_ms))
            left -= _weight(known.word)
            if left < 0:
                break
        return tuple(words)

    def _answered(self, pending: _Pending, reply: Reply, now_ms: int) -> list[Effect]:
        membership = self.membership
        sender = reply.sender
        if not pending.helper:
            self._probes.pop(pending.node, None)
        if sender.node == membership.here:
            # A seed list may name this node itself; that address needs no probing.
            self.seeds.discard(pending.address)
            other = sender.run != membership.run
            return [Refused(pending.address, "duplicate identity")] if other else []
        standing = membership.standing(sender, pending.address, now_ms)
        if standing == "double":
            return [Refused(pending.address, "duplicate identity")]
        membership.awareness.better()
        effects: list[Effect] = []
        expected = pending.helper or pending.node
        if expected and sender.node != expected:
            effects += self._unanswered(pending, "", now_ms)
        before = membership.roster.find(sender.node)
        was_away = before is None or before.state == "away"
        if standing == "forgotten":
            return effects + self._told(reply, pending.sent_ms, now_ms)
        if standing != "stale":
            effects += membership.answered(
                reply, address=pending.address, sent_ms=pending.sent_ms, now_ms=now_ms
            )
        self.seeds.discard(pending.address)
        effects += self._told(reply, pending.sent_ms, now_ms)
        member = membership.roster.find(sender.node)
        stale = standing == "stale"
        if member is not None and (stale or (not pending.full and (was_away or reply.unknown))):
            effects += self._probe(member, now_ms, full=True, correct=stale)
        if pending.helper:
            effects += self._helped(pending, reply.reached is True, now_ms, denied=True)
        return effects

    def _told(self, reply: Reply, sent_ms: int, now_ms: int) -> list[Effect]:
        """What an answer says of others."""
        membership = self.membership
        effects: list[Effect] = []
        for rumour in reply.rumours:
            effects += membership.hear(rumour, now_ms)
        for word, age_ms in reply.words:
            effects += membership.relayed_word(word, bound_ms=sent_ms - age_ms, now_ms=now_ms)
        for age in reply.ages:
            effects += membership.relayed_age(age, bound_ms=sent_ms - age.age_ms, now_ms=now_ms)
        return effects

    def _unanswered(self, pending: _Pending, reason: str, now_ms: int) -> list[Effect]:
        membership = self.membership
        effects: list[Effect] = []
        if reason:
            effects.append(Refused(pending.address, reason))
        if pending.helper:
            return effects + self._helped(pending, False, now_ms, denied=False)
        probe = self._probes.get(pending.node)
        member = membership.roster.find(pending.node)
        if probe is None or member is None or pending.sent_ms < probe.sent_ms:
            return effects
        if not reason and member.felt_ms >= pending.sent_ms:
            # The way is full, not cut: longer waits are in order.
            del self._probes[pending.node]
            membership.awareness.worse()
            membership.roster.change(pending.node).crowded = True
            return effects
        membership.failed(pending.node)
        if member.state == "away":
            del self._probes[pending.node]
            return effects
        helpers = membership.roster.sample(self.link.relays, without=pending.node)
        helpers = [helper for helper in helpers if helper.address]
        probe.helpers = len(helpers)
        for helper in helpers:
            call = _Pending(pending.node, helper.address, now_ms, helper.node)
            effects.append(self._call(call, now_ms, relay=(pending.node, pending.address)))
        if not helpers:
            effects += self._verdict(pending, now_ms)
        return effects

    def _helped(
        self, pending: _Pending, reached: bool, now_ms: int, *, denied: bool
    ) -> list[Effect]:
        """A helper is back: with an answer, with a no, or not at all."""
        probe = self._probes.get(pending.node)
        if probe is None:
            return []
        if reached:
            # What the helper heard has come along as an age or a word.
            del self._probes[pending.node]
            return []
        probe.helpers -= 1
        probe.denied |= denied
        return [] if probe.helpers else self._verdict(pending, now_ms)

    def _verdict(self, pending: _Pending, now_ms: int) -> list[Effect]:
        """Nobody had an answer."""
        membership = self.membership
        probe = self._probes.pop(pending.node)
        if not probe.denied:
            membership.awareness.worse()
        member = membership.roster.find(pending.node)
        if member is None or member.state == "away" or member.felt_ms >= pending.sent_ms:
            return []
        return list(membership.suspect(pending.node, membership.here, now_ms))


def _weight(word: Word) -> int:
    """About how many bytes a word takes."""
    spans = len(word.filled) + sum(len(spans) for spans in word.owed.values())
    names = len(word.owed) + len(word.stores) + len(word.forgotten)
    return 150 + 8 * spans + 50 * names
