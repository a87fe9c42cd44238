"""For which codes this node's store is filled, and what others may make of a node's claim.

A store is filled for codes when it was verified equal with every filled node in contact, under
the ring in force (PROTOCOL 3.1). What is said once is lost in three ways: the ring changes
(verifications start again; codes that the node newly holds are unfilled, whatever it had there
before), the store is lost or an old image restored (everything), or the node lets go of codes
that it no longer holds.

Founders' first stores are filled by birth (3.2). That claim is the only one that nobody has
verified, so it yields to anybody who remembers another store of that node.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgpack

from node.protocol.rules import ALL_RULES, Rules
from node.protocol.word import StoreSeen, Word, plain_to_spans, spans_to_plain
from zring.span import EVERYTHING, Spans, intersect, subtract, union

_VERSION = 1
FORMER_RINGS_MAX = 8
"""Former rings whose holders are remembered: members that lag further behind count as unheard."""
STORES_AWAY_MAX = 64
"""Stores told of nodes that are away and out of the ring: 3 kB of a word, which every member
gets. They come and go for years, and members are remembered until somebody forgets them."""

Verdict = Literal["keep", "drop", "renew"]
Debts = dict[str, dict[str, Spans]]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a store says of itself, as it is persisted in it.

    Attributes:
        birth: the store is a founder's first one and was never verified since.
    """

    spans: Spans = ()
    birth: bool = False


def claim_to_document(claim: Claim) -> bytes:
    """A claim for the engine's settings."""
    packed: bytes = msgpack.packb(
        {"version": _VERSION, "spans": spans_to_plain(claim.spans), "birth": claim.birth}
    )
    return packed


def document_to_claim(document: bytes | None) -> Claim | None:
    """Undo `claim_to_document`; None for a store that never said anything."""
    if document is None:
        return None
    content: dict[str, Any] = msgpack.unpackb(document)
    assert content["version"] == _VERSION, content["version"]
    return Claim(plain_to_spans(content["spans"]), bool(content["birth"]))


class Filled:
    """This node's claim, and the verifications that are to widen it.

    Nothing counts before it is durable: `verified` says what may be claimed, the shell persists
    that, and then hands it to `become`.
    """

    __slots__ = ("_rules", "_said", "claim")

    def __init__(self, claim: Claim, *, rules: Rules = ALL_RULES) -> None:
        self._rules = rules
        self._said: dict[str, Spans] = {}
        self.claim = claim

    @property
    def spans(self) -> Spans:
        """The codes for which this node's store is filled."""
        return self.claim.spans

    def note(self, peer: str, spans: Spans) -> None:
        """A peer says, under the ring in force and of the store in use, that this node has all
        that it has in these codes."""
        self._said[peer] = union(self._said.get(peer, ()), spans)

    def verified(
        self, held: Spans, others: Mapping[str, Spans], *, agreeing: frozenset[str]
    ) -> Spans:
        """Codes for which every filled node in contact has said so, at least one.

        Args:
            held: codes that this node holds.
            others: node in contact, without this one → codes for which it is filled.
            agreeing: those of them that have the same ring.
        """
        wanted = subtract(held, self.spans)
        said_by_some: Spans = ()
        unsaid: Spans = ()
        for node, filled in sorted(others.items()) if wanted else ():
            theirs = intersect(wanted, filled)
            said = intersect(theirs, self._said.get(node, ())) if node in agreeing else ()
            said_by_some = union(said_by_some, said)
            unsaid = union(unsaid, subtract(theirs, said))
        return subtract(said_by_some, unsaid) if self._rules.every_filled_verifies else said_by_some

    def waits_for(
        self, held: Spans, others: Mapping[str, Spans], *, agreeing: frozenset[str]
    ) -> dict[str, Spans]:
        """Filled node in contact → codes in which it has not yet said that this node has all
        that it has; arguments as in `verified`."""
        wanted = subtract(held, self.spans)
        unsaid: dict[str, Spans] = {}
        for node, filled in sorted(others.items()):
            said = self._said.get(node, ()) if node in agreeing else ()
            left = subtract(intersect(wanted, filled), said)
            if left:
                unsaid[node] = left
        return unsaid

    def acceptable(self, spans: Spans, held: Spans, others: Mapping[str, Spans]) -> Spans:
        """Of some codes those whose loss a person may accept: held, and nobody in contact is
        filled there."""
        open_spans = intersect(spans, subtract(held, self.spans))
        for filled in others.values():
            open_spans = subtract(open_spans, filled)
        return open_spans

    def after_ring_change(self, gained: Spans) -> Claim:
        """The claim under a ring by which this node newly holds some codes."""
        if not self._rules.won_spans_unfilled:
            return Claim(union(self.spans, gained), self.claim.birth)
        return Claim(subtract(self.spans, gained), self.claim.birth)

    def widened(self, spans: Spans) -> Claim:
        """The claim with what was verified, or accepted by a person."""
        return Claim(union(self.spans, spans), birth=False)

    def narrowed(self, spans: Spans) -> Claim:
        """The claim without codes that were let go of."""
        return Claim(subtract(self.spans, spans), self.claim.birth)

    def become(self, claim: Claim) -> None:
        """The claim is durable."""
        self.claim = claim

    def forget_said(self) -> None:
        """The ring has changed, or the store: what was verified before does not count."""
        if self._rules.ring_voids_verifications:
            self._said.clear()


def judge_own_store(word: Word, remembered: Iterable[StoreSeen]) -> Verdict:
    """What this node makes of what others remember of its stores.

    Args:
        word: its own.
        remembered: one for each member that says so.
    Returns:
        `renew`: the store is a restored image and must get a new id; `drop`: the claim by birth
        is wrong, there was another store before this one.
    """
    known = list(remembered)
    if any(is_restored(word, seen) for seen in known):
        return "renew"
    if word.birth and any(seen.store_id != word.store_id for seen in known):
        return "drop"
    return "keep"


def remembered_of(node: str, words: Iterable[Word]) -> list[StoreSeen]:
    """What those who said these words remember of a node's store."""
    return [word.stores[node] for word in words if node in word.stores]


def is_restored(word: Word, seen: StoreSeen) -> bool:
    """Whether a node's store is older than what was seen of it: a restored image.

    What counts is what its process found when it opened the store: by the time that somebody
    hears of it, it may have written past what was seen.
    """
    found = word.sequence if word.found is None else word.found
    return seen.store_id == word.store_id and seen.before(word.instance) > found


def believed(
    word: Word,
    *,
    seen: StoreSeen | None,
    remembered: Iterable[StoreSeen],
    rules: Rules = ALL_RULES,
) -> Spans:
    """The codes for which others take a node for filled.

    Args:
        seen: what this node remembers of its store.
        remembered: what other members remember of it.
    """
    if word.life == "starting":
        return ()  # it has not heard yet what others remember of it
    if not rules.lost_stores_unfilled:
        return word.filled
    known = list(remembered)
    if seen is not None:
        known.append(seen)
    return word.filled if judge_own_store(word, known) == "keep" else ()


def remember_store(known: StoreSeen | None, word: Word) -> StoreSeen:
    """What to remember of a node's store after a word of it.

    A claim by birth does not replace the memory of a former store: the node would never hear
    that it had one. Neither does a lower sequence.
    """
    fresh = StoreSeen(word.store_id, word.sequence, word.instance)
    if known is None:
        return fresh
    if known.store_id != word.store_id:
        return known if word.birth else fresh
    sequence = max(known.sequence, word.sequence)
    return StoreSeen(known.store_id, sequence, word.instance, known.before(word.instance))


def stores_told(
    stores: Mapping[str, StoreSeen], *, kept: Collection[str], away: Mapping[str, int]
) -> dict[str, StoreSeen]:
    """What a word tells of what a node remembers: bounded however many have come and gone, sorted.

    All of `kept` are told: members of the ring, and everybody in contact, who must hear it. Of the
    others, who hold nothing and hear nothing, those heard last; what is left out is remembered
    all the same, and told when its node speaks again.

    Args:
        away: others → when they were last heard; any clock.
    """
    others = sorted((heard, node) for node, heard in away.items() if node not in kept)
    told = {node for _, node in others[-STORES_AWAY_MAX:]}.union(kept)
    return {node: stores[node] for node in sorted(stores) if node in told}


def former_rings(
    former: Mapping[int, Mapping[str, Spans]],
    gained: Mapping[str, Spans],
    *,
    before: int,
    after: int,
) -> dict[int, dict[str, Spans]]:
    """Digest of a former ring → node → codes that it holds now and did not then, newest first.

    Args:
        former: the same before the change. gained: what nodes newly hold by it.
        before, after: digests of the two rings.
    """
    rings = {before: dict(gained)}
    for digest, since in former.items():
        nodes = sorted({*since, *gained})
        rings[digest] = {node: union(since.get(node, ()), gained.get(node, ())) for node in nodes}
    rings.pop(after, None)
    return dict(list(rings.items())[:FORMER_RINGS_MAX])


def debts_told(
    words: Mapping[str, Word],
    *,
    ring_digest: int,
    gained: Mapping[int, Mapping[str, Spans]],
    rules: Rules = ALL_RULES,
) -> Debts:
    """Holder → member → codes in which the member may have what the holder lacks.

    A member's word speaks of the holders of its own ring, and of the stores that it knows: to
    holders that its ring does not name it may owe anything. One that has not heard yet that a
    store was lost, or is an old image of what it was, may owe anything to anybody: what that
    store's node took may have reached one holder and not the next, and whom it still owed a copy
    was known to nobody else.

    Args:
        words: of the members in contact, this node included.
        gained: digest of a former ring → node → codes that it holds now and did not then; words
            under rings that are neither this nor a former one must have been left out.
    """
    debts: Debts = {}

    def owes(member: str, holder: str, spans: Spans) -> None:
        if holder != member and spans:
            of_holder = debts.setdefault(holder, {})
            of_holder[member] = union(of_holder.get(member, ()), spans)

    for member, word in sorted(words.items()):
        for holder, spans in word.owed.items():
            owes(member, holder, spans)
        if rules.other_rings_untrusted and word.ring_digest != ring_digest:
            for holder, spans in gained[word.ring_digest].items():
                owes(member, holder, spans)
        if rules.lost_stores_unfilled and any(
            node in words
            and (words[node].store_id != seen.store_id or is_restored(words[node], seen))
            for node, seen in word.stores.items()
        ):
            for holder in words:
                owes(member, holder, EVERYTHING)
    return debts
