"""The stage on which scripts play: the pure rules of one node, driven by lines of text.

A script is prose (lines that start with #), commands (lines that start with >) and what the
rules answered (everything else). Time only passes when a command says so.

    > founders a,b,c,d [replicas=2] [grain=4]
                                  a ring of equal parts, this node is the first name
    > at 1000                     milliseconds of the clock
    > reply NODE [store=…] [sequence=…] [owed=NODE:W,S,E,N]
                                  a member answers a request that was sent now
    > silent NODE                 nobody has an answer from it
    > expire                      suspicions whose time is over
    > read W,S,E,N                who reads a box, and what may be said of the answer
    > announce NODE W,S,E,N       the ring: NODE is to own the cells that cover the box
    > hand-over W,S,E,N           the second change: the next owner is the owner
    > ring, holders               the ring's spans, the holders of each stretch
    > fork, other …, merge        a second ring, a command on it, and both joined
"""

from collections.abc import Iterator
from random import Random

from node.config import LAN
from node.protocol.coverage import coverage_of
from node.protocol.filled import believed, debts_told, remember_store
from node.protocol.gossip_message import Reply, Sender
from node.protocol.membership import Changed, Effect, Membership, StoreLost
from node.protocol.roster import Member
from node.protocol.routing import ReaderMap, Standing
from node.protocol.word import Word
from tests.golden.commands import Commands
from zring.area import Box
from zring.cover import cover
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_STOP
from zring.placement import holder_map
from zring.ring import Ring, founding_ring, merge
from zring.settings import Settings
from zring.span import Spans


class Stage(Commands):
    """One node's rules and the ring it knows."""

    def __init__(self) -> None:
        self._now_ms = 0
        self._ring: Ring | None = None
        self._fork: Ring | None = None
        self._membership: Membership | None = None
        self._versions = 0
        self._remembered: dict[str, tuple[str, int]] = {}

    @property
    def ring(self) -> Ring:
        assert self._ring is not None, "begin with: > founders a,b"
        return self._ring

    @property
    def membership(self) -> Membership:
        assert self._membership is not None, "begin with: > founders a,b"
        return self._membership

    def _do_founders(self, names: str, *changes: str) -> Iterator[str]:
        founders = names.split(",")
        settings = dict(change.split("=") for change in changes)
        self._ring = founding_ring(
            "golden",
            DEMO_DOMAIN,
            int(settings.get("grain", "4")),
            founders,
            Settings(epoch=0, replicas=int(settings.get("replicas", "2"))),
        )
        known = {name: Member(name, f"host-{name}") for name in founders[1:]}
        self._membership = Membership(
            word=Word(node=founders[0], cluster="golden", store_id="s", sequence=1, incarnation=1),
            run=1,
            link=LAN,
            rng=Random(1),
            remembered=known,
            names=tuple(known),
            away=tuple(known),
        )
        yield f"this node is {founders[0]}"

    def _do_at(self, now_ms: str) -> Iterator[str]:
        assert int(now_ms) >= self._now_ms, "time does not go back"
        self._now_ms = int(now_ms)
        return iter(())

    def _do_reply(self, node: str, *words: str) -> Iterator[str]:
        given = dict(word.split("=") for word in words)
        owed = {}
        if "owed" in given:
            holder, box = given["owed"].split(":")
            owed[holder] = self._spans(box)
        self._versions += 1
        word = Word(
            node=node,
            cluster="golden",
            store_id=given.get("store", f"store-{node}"),
            sequence=int(given.get("sequence", "1")),
            incarnation=1,
            version=self._versions,
            address=f"host-{node}",
            ring_digest=self.ring.digest(),
            birth=True,
            filled=holder_map(self.ring).spans_of(node),
            owed=owed,
        )
        reply = Reply(Sender(node, 2, *word.stamp), sequence=word.sequence, word=word)
        moment = {"sent_ms": self._now_ms, "now_ms": self._now_ms}
        yield from self._told(self.membership.answered(reply, address=f"host-{node}", **moment))
        self._remembered[node] = remember_store(self._remembered.get(node), word)

    def _do_silent(self, node: str) -> Iterator[str]:
        yield from self._told(self.membership.suspect(node, "sw", self._now_ms))

    def _do_expire(self) -> Iterator[str]:
        yield from self._told(self.membership.expire(self._now_ms))

    def _do_read(self, text: str) -> Iterator[str]:
        holders = holder_map(self.ring)
        readers = ReaderMap(self.ring.domain, holders, self._standing())
        route = readers.route_spans(cover(self.ring.domain, self._box(text), spans_max=8))
        for node, spans in route.readers:
            yield f"{node} reads {self._described(spans)}"
        for node, spans in route.keepers:
            yield f"{node} reads as keeper {self._described(spans)}"
        roster, gone = self.membership.roster, self.membership.away
        moments = [known.as_of_ms for node, known in roster.items() if node not in gone]
        coverage = coverage_of(
            route,
            as_of=min(moments, default=self._now_ms),
            away={node: roster[node].since_ms for node in sorted(gone)},
            owed_by_away={},
            alone=not moments,
        )
        absent = ", ".join(f"{node} since {since}" for node, since in coverage.away.items())
        yield f"{coverage.state} as of {coverage.as_of}; away: {absent or 'nobody'}"
        if coverage.alone_since is not None:
            yield f"alone since {coverage.alone_since}"
        for owner, spans in coverage.replicas.items():
            yield f"for {owner} {self._described(spans)} as of {coverage.replicas_as_of[owner]}"
        if coverage.missing:
            yield f"missing {self._described(coverage.missing)}"

    def _standing(self) -> Standing:
        ring, roster = self.ring, self.membership.roster
        here = ring.owner_of(0)
        alive = {node: known for node, known in roster.items() if known.state != "away"}
        words = {node: known.word for node, known in sorted(alive.items()) if known.word}
        filled = {
            node: believed(word, seen=self._remembered.get(node), remembered=())
            for node, word in words.items()
        }
        filled[here] = holder_map(ring).spans_of(here)
        debts = debts_told(words, ring_digest=ring.digest(), gained={})
        return Standing(frozenset(alive) | {here}, filled, debts)

    def _do_announce(self, node: str, box: str) -> Iterator[str]:
        self._ring = self.ring.announce(self._spans(box), next=node)
        yield from self._do_ring()

    def _do_hand_over(self, box: str) -> Iterator[str]:
        self._ring = self.ring.hand_over(self._spans(box))
        yield from self._do_ring()

    def _do_ring(self) -> Iterator[str]:
        for span in self.ring.spans:
            following = f", next {span.next}" if span.next else ""
            place = self._described(((span.start, span.stop),))
            yield f"{place}: {span.owner}{following}, epoch {span.epoch}"

    def _do_holders(self) -> Iterator[str]:
        for (start, stop), names in holder_map(self.ring).stretches(((0, CODE_STOP),)):
            yield f"{self._described(((start, stop),))}: {' '.join(names)}"

    def _do_fork(self) -> Iterator[str]:
        self._fork = self.ring
        return iter(())

    def _do_other(self, *words: str) -> Iterator[str]:
        """The command happens on the other side of a split."""
        assert self._fork is not None, "begin with: > fork"
        self._ring, self._fork = self._fork, self.ring
        yield from self.play(" ".join(words))
        self._ring, self._fork = self._fork, self.ring

    def _do_merge(self) -> Iterator[str]:
        assert self._fork is not None, "begin with: > fork"
        merged = merge(self.ring, self._fork)
        assert merged.digest() == merge(self._fork, self.ring).digest()
        self._ring = merged
        yield from self._do_ring()

    def _spans(self, text: str) -> Spans:
        # A box whose edges are those of grains is covered exactly by whole grains.
        return cover(self.ring.domain, self._box(text), spans_max=64)

    @staticmethod
    def _box(text: str) -> Box:
        west, south, east, north = (float(edge) for edge in text.split(","))
        # Closed boxes: a hair less in the east and north, so that no further cell is touched.
        return Box.from_degrees(west=west, south=south, east=east - 1e-6, north=north - 1e-6)

    def _described(self, spans: Spans) -> str:
        """Spans as grains: [first, stop)."""
        grain = self.ring.grain_codes
        return " ".join(f"[{start / grain:g}, {stop / grain:g})" for start, stop in spans)

    @staticmethod
    def _told(effects: list[Effect]) -> Iterator[str]:
        for effect in effects:
            if isinstance(effect, Changed):
                yield f"{effect.node} is {effect.state}"
            else:
                assert isinstance(effect, StoreLost), effect
                yield f"{effect.node} lost its store"
