"""The stage for who is filled and who reads: the claims of all nodes, as one node sees them.

> founders a,b,c,d [replicas=2]  first stores, filled by birth; boxes are W,S,E,N or `all`
> contact a,b                    who answers; a ring change reaches those only
> announce NODE BOX              they are to be moved there; hand-over BOX; assign NODE BOX
> catch-up NODE                  it merges the ring of those in contact with its own
> in-step PEER NODE BOX          PEER says that NODE has all that it has there
> owes DEBTOR HOLDER BOX         DEBTOR has what HOLDER may lack; `none` for nothing
> wipe NODE                      it has an empty disk, and claims to be newly born
> accept NODE BOX                a person accepts the loss there
> flip OWNER TARGET              whether OWNER may hand over now
> read BOX                       who reads, and what may be said of the answer
"""

from collections.abc import Iterator

from node.protocol.coverage import coverage_of
from node.protocol.filled import (
    Claim,
    Debts,
    Filled,
    believed,
    debts_told,
    former_rings,
    remember_store,
)
from node.protocol.flip import Target, moves_from, reason_to_wait
from node.protocol.routing import ReaderMap, Standing
from node.protocol.word import Word
from tests.golden.commands import Commands
from zring.area import Box
from zring.cover import cover
from zring.domain import DEMO_DOMAIN
from zring.placement import holder_map
from zring.ring import Ring, founding_ring, merge
from zring.settings import Settings
from zring.span import EVERYTHING, Spans, subtract


class _Node:
    """One node: its ring and its claim, its store, and whom it owes what."""

    def __init__(self, name: str, ring: Ring) -> None:
        self.name = name
        self.ring = ring
        self.store = f"store-{name}"
        self.filled = Filled(Claim(self.held, birth=True))
        self.owed: dict[str, Spans] = {}
        self.gained: dict[int, dict[str, Spans]] = {}

    @property
    def held(self) -> Spans:
        return holder_map(self.ring).spans_of(self.name)

    def adopt(self, ring: Ring) -> None:
        merged = merge(self.ring, ring)
        if merged.digest() == self.ring.digest():
            return
        before, after = holder_map(self.ring), holder_map(merged)
        gained = {
            node: spans
            for node in merged.members()
            if (spans := subtract(after.spans_of(node), before.spans_of(node)))
        }
        self.gained = former_rings(
            self.gained, gained, before=self.ring.digest(), after=merged.digest()
        )
        self.filled.become(self.filled.after_ring_change(gained.get(self.name, ())))
        self.filled.forget_said()
        self.ring = merged

    def word(self) -> Word:
        claim = self.filled.claim
        return Word(
            self.name,
            "golden",
            self.store,
            1,
            birth=claim.birth,
            ring_digest=self.ring.digest(),
            filled=claim.spans,
            owed=self.owed,
        )


class FilledStage(Commands):
    """Every node's rules, seen from the first one."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._contact: tuple[str, ...] = ()
        self._remembered: dict[str, tuple[str, int]] = {}

    @property
    def here(self) -> _Node:
        return self._nodes[self._contact[0]]

    def _do_founders(self, names: str, *changes: str) -> Iterator[str]:
        founders = names.split(",")
        settings = dict(change.split("=") for change in changes)
        replicas = int(settings.get("replicas", "2"))
        ring = founding_ring("golden", DEMO_DOMAIN, 4, founders, Settings(0, replicas=replicas))
        self._nodes = {name: _Node(name, ring) for name in founders}
        self._contact = tuple(founders)
        self._remember()
        return iter(())

    def _do_contact(self, names: str) -> Iterator[str]:
        self._contact = tuple(names.split(","))
        return iter(())

    def _do_announce(self, node: str, box: str) -> Iterator[str]:
        return self._changed(self.here.ring.announce(self._spans(box), next=node), node)

    def _do_assign(self, node: str, box: str) -> Iterator[str]:
        return self._changed(self.here.ring.assign(self._spans(box), owner=node), node)

    def _do_hand_over(self, box: str) -> Iterator[str]:
        return self._changed(self.here.ring.hand_over(self._spans(box)))

    def _do_exchange(self) -> Iterator[str]:
        ring = self.here.ring
        for name in self._contact:
            ring = merge(ring, self._nodes[name].ring)
        return self._changed(ring)

    def _changed(self, ring: Ring, newcomer: str = "") -> Iterator[str]:
        if newcomer and newcomer not in self._nodes:
            self._nodes[newcomer] = _Node(newcomer, self.here.ring)
            self._contact += (newcomer,)
        for name in self._contact:
            self._nodes[name].adopt(ring)
        yield from self._unfilled()

    def _do_in_step(self, peer: str, name: str, box: str) -> Iterator[str]:
        node, filled = self._nodes[name], self._believed()
        node.filled.note(peer, self._spans(box))
        others = {other: spans for other, spans in filled.items() if other != name}
        digest = node.ring.digest()
        agreeing = frozenset(
            other for other in others if self._nodes[other].ring.digest() == digest
        )
        verified = node.filled.verified(node.held, others, agreeing=agreeing)
        if verified:
            node.filled.become(node.filled.widened(verified))
        yield f"{name} is filled now for {self._described(verified) or 'nothing more'}"

    def _do_owes(self, debtor: str, holder: str, box: str) -> Iterator[str]:
        self._nodes[debtor].owed[holder] = () if box == "none" else self._spans(box)
        return iter(())

    def _do_wipe(self, name: str) -> Iterator[str]:
        node = self._nodes[name] = _Node(name, self.here.ring)
        node.store = "new"
        yield from self._unfilled()

    def _do_accept(self, name: str, box: str) -> Iterator[str]:
        node = self._nodes[name]
        others = {other: spans for other, spans in self._believed().items() if other != name}
        if name not in self._believed() or node.filled.claim.birth:
            node.filled.become(Claim())
        accepted = node.filled.acceptable(self._spans(box), node.held, others)
        node.filled.become(node.filled.widened(accepted))
        self._remember()
        yield f"accepted for {self._described(accepted) or 'nothing'}"

    def _do_flip(self, owner: str, target: str) -> Iterator[str]:
        ring = self._nodes[owner].ring
        spans = moves_from(ring, owner)[target]
        found = Target(
            contact=target in self._contact,
            same_ring=self._nodes[target].ring.digest() == ring.digest(),
            filled=self._believed().get(target, ()),
            uncompared=self._nodes[owner].owed.get(target, ()),
            failed=0,
        )
        yield reason_to_wait(spans, found) or "now"

    def _do_read(self, box: str) -> Iterator[str]:
        ring, words = self.here.ring, self._words()
        unheard = frozenset(self._contact) - words.keys()
        standing = Standing(frozenset(self._contact), self._believed(), self._debts(words), unheard)
        route = ReaderMap(ring.domain, holder_map(ring), standing).route_spans(self._spans(box))
        for node, spans in route.readers:
            yield f"{node} reads {self._described(spans)}"
        for node, spans in route.keepers:
            yield f"{node} reads besides {self._described(spans)}"
        away = {name: 0 for name in ring.members() if name not in self._contact}
        alone = len(self._contact) == 1
        coverage = coverage_of(route, as_of=1, away=away, owed_by_away={}, alone=alone)
        yield coverage.state + (f", without {' '.join(away)}" if away else "")
        for name, where in (("settling", route.settling), ("missing", route.missing)):
            if where:
                yield f"{name} {self._described(where)}"

    def _words(self) -> dict[str, Word]:
        known = {self.here.ring.digest(), *self.here.gained}
        words = {name: self._nodes[name].word() for name in self._contact}
        return {name: word for name, word in words.items() if word.ring_digest in known}

    def _believed(self) -> dict[str, Spans]:
        return {
            name: believed(word, seen=self._remembered.get(name), remembered=())
            for name, word in self._words().items()
        }

    def _debts(self, words: dict[str, Word]) -> Debts:
        return debts_told(words, ring_digest=self.here.ring.digest(), gained=self.here.gained)

    def _remember(self) -> None:
        for name, node in self._nodes.items():
            self._remembered[name] = remember_store(self._remembered.get(name), node.word())

    def _unfilled(self) -> Iterator[str]:
        filled = self._believed()
        for name in self._contact:
            spans = subtract(self._nodes[name].held, filled.get(name, ()))
            if spans:
                yield f"{name} is unfilled for {self._described(spans)}"

    def _spans(self, text: str) -> Spans:
        if text == "all":
            return EVERYTHING
        west, south, east, north = (float(edge) for edge in text.split(","))
        # A hair less in the east and north, so that no further cell is touched.
        box = Box.from_degrees(west=west, south=south, east=east - 1e-6, north=north - 1e-6)
        return cover(self.here.ring.domain, box, spans_max=64)

    def _described(self, spans: Spans) -> str:
        grain = self.here.ring.grain_codes
        return " ".join(f"[{start / grain:g}, {stop / grain:g})" for start, stop in spans)
