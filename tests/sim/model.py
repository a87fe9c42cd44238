"""The rules of membership alone, thousands of them, without nodes around them.

Time is a number and the network a list of what happens next. With a delay of 0 a call is answered
at once, which is what makes 10,000 members affordable; bytes are those of the messages' bodies,
measured on every `bytes_every`-th message.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from node.config import LinkPreset
from node.protocol.gossip_message import (
    Reply,
    bytes_to_reply,
    bytes_to_request,
    reply_to_bytes,
    request_to_bytes,
)
from node.protocol.membership import Changed, Membership, Refused, StoreLost
from node.protocol.roster import Draw, Member
from node.protocol.swim import Answered, Call, Effect, Event, Swim, Unanswered
from node.protocol.word import Word

Then = Callable[[Event], None]
FOUNDING = 7
PIECE_MS = 200


@dataclass(slots=True)
class ModelNode:
    """One node: its rules while it is up, and what survives it."""

    name: str
    word: Word
    swim: Swim
    up: bool = True
    founding: int = FOUNDING
    said: Word | None = None
    ahead_ms: int = 0
    """Of its clock before the model's; nobody else ever learns it."""

    @property
    def membership(self) -> Membership:
        """What it believes."""
        return self.swim.membership


@dataclass(slots=True)
class Model:
    """A cluster of rules.

    Args:
        loss: share of messages that get lost, each way.
        told: hears (milliseconds, node, effect) of every effect that is no call.
    """

    link: LinkPreset
    rng: Random
    delay_ms: int = 0
    loss: float = 0.0
    bytes_every: int = 1
    told: Callable[[int, str, Changed | StoreLost | Refused], None] | None = None
    now_ms: int = 0
    nodes: dict[str, ModelNode] = field(default_factory=dict)
    cut: set[tuple[str, str]] = field(default_factory=set)
    full: set[tuple[str, str]] = field(default_factory=set)
    """Ways on which nothing but pieces of long messages arrives in time."""
    messages: int = 0
    bytes_measured: int = 0
    messages_measured: int = 0
    _events: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0

    def found(self, names: Iterable[str], word: Word) -> None:
        """Nodes that all know each other and are in contact; their memories are shared."""
        names = tuple(names)
        words = {name: replace(word, node=name, address=name, incarnation=1) for name in names}
        known = {
            name: Member(
                name, name, "alive", incarnation=1, run=index + 1, word=words[name],
                heard_ms=0, as_of_ms=0, store_id=word.store_id, sequence=word.sequence,
            )
            for index, name in enumerate(names)
        }  # fmt: skip
        for index, name in enumerate(names):
            self.start(name, words[name], known, names, away=(), run=index + 1)

    def start(
        self,
        name: str,
        word: Word,
        known: Mapping[str, Member],
        names: tuple[str, ...],
        *,
        away: Iterable[str],
        run: int,
        seeds: Iterable[str] = (),
        founding: int = FOUNDING,
        ahead_ms: int = 0,
    ) -> None:
        """A node comes up with what it remembers; `names` are the keys of `known`."""
        rng = Random(self.rng.getrandbits(64))
        membership = Membership(
            word=word, run=run, link=self.link, rng=rng, remembered=known,
            names=names, away=away,
        )  # fmt: skip
        unresolved = Draw()
        for seed in seeds:
            unresolved.add(seed)
        due_ms = self.now_ms + ahead_ms + rng.randrange(self.link.period_ms)
        swim = Swim(membership, self.link, rng, founding, unresolved, due_ms)
        node = ModelNode(name, word, swim, founding=founding, said=word, ahead_ms=ahead_ms)
        self.nodes[name] = node
        if membership.away or seeds:
            self._carry_out(node, swim.first(self.now_ms + ahead_ms))
        self._at(due_ms - ahead_ms, lambda: self._turn(node))

    def stop(self, name: str) -> None:
        """A node dies without a word."""
        self.nodes[name].up = False

    def fill(self, source: str, target: str) -> None:
        """Long messages fill a way until it is taken out of `full`."""
        self.full.add((source, target))
        self._at(self.now_ms + PIECE_MS, lambda: self._piece(source, target))

    def _piece(self, source: str, target: str) -> None:
        node = self.nodes[target]
        if (source, target) not in self.full:
            return
        if self.nodes[source].up and node.up and (source, target) not in self.cut:
            self._carry_out(node, node.swim.felt(source, self.now_ms + node.ahead_ms))
        self._at(self.now_ms + PIECE_MS, lambda: self._piece(source, target))

    def run(self, until_ms: int) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until_ms:
            self.now_ms, _, act = heapq.heappop(self._events)
            act()
        self.now_ms = until_ms

    def bytes_per_node(self) -> float:
        """Sent so far by one node, bodies only; as many were received."""
        return (
            self.bytes_measured / max(1, self.messages_measured) * self.messages / len(self.nodes)
        )

    def _turn(self, node: ModelNode) -> None:
        if self.nodes[node.name] is node and node.up:
            now_ms = self.now_ms + node.ahead_ms
            self._carry_out(node, node.swim.tick(now_ms))
            due_ms = node.swim.period_due_ms
            for suspicion in node.membership.suspicions.values():
                # It may be cut short by others meanwhile: it is looked at a few times.
                due_ms = min(due_ms, suspicion.due_ms(), now_ms + self.link.period_ms // 2)
            self._at(max(self.now_ms + 1, due_ms - node.ahead_ms), lambda: self._turn(node))

    def _carry_out(self, node: ModelNode, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Call):
                self._send(node, effect, lambda event: self._step(node, event))
            elif self.told is not None:
                self.told(self.now_ms, node.name, effect)

    def _step(self, node: ModelNode, event: Event) -> None:
        if self.nodes[node.name] is node and node.up:
            self._carry_out(node, node.swim.step(event, self.now_ms + node.ahead_ms))

    def _send(self, source: ModelNode, call: Call, then: Then) -> None:
        self.messages += 1
        if self.messages % self.bytes_every == 0:
            body = request_to_bytes(call.request)
            assert bytes_to_request(body) == call.request
            self._measure(body)
        deadline_ms = self.now_ms + call.timeout_ms
        lost = Unanswered(call.number)
        if self._is_lost(source.name, call.address):
            self._at(deadline_ms, lambda: then(lost))
        elif self.delay_ms:
            self._at(
                self.now_ms + self.delay_ms,
                lambda: self._deliver(source, call, then, deadline_ms),
            )
        else:
            self._deliver(source, call, then, deadline_ms)

    def _deliver(self, source: ModelNode, call: Call, then: Then, deadline_ms: int) -> None:
        target, request = self.nodes[call.address], call.request
        refused = target.swim.refusal(request, self.now_ms + target.ahead_ms)
        if refused is not None:
            if self.told is not None:
                self.told(self.now_ms, target.name, refused)
            then(Unanswered(call.number, refused.reason))
            return

        def finish(reached: bool | None) -> None:
            if target.word is not target.said:
                target.said = target.word
                target.membership.say(target.word)
            reply, effects = target.swim.answer(
                request, self.now_ms + target.ahead_ms, reached=reached
            )
            self._reply(source, target, call, reply, then, deadline_ms)
            self._carry_out(target, effects)

        if request.relay is None:
            finish(None)
            return
        inner = target.swim.reach(*request.relay, self.now_ms + target.ahead_ms)

        def relayed(event: Event) -> None:
            self._step(target, event)
            if target.up:
                finish(isinstance(event, Answered))

        self._send(target, inner, relayed)

    def _reply(
        self,
        source: ModelNode,
        target: ModelNode,
        call: Call,
        reply: Reply,
        then: Then,
        deadline_ms: int,
    ) -> None:
        self.messages += 1
        if self.messages % self.bytes_every == 0:
            body = reply_to_bytes(reply)
            bytes_to_reply(body)
            self._measure(body)
        arrival_ms = self.now_ms + self.delay_ms
        if arrival_ms > deadline_ms or self._is_lost(target.name, source.name):
            self._at(max(deadline_ms, self.now_ms), lambda: then(Unanswered(call.number)))
        elif self.delay_ms:
            self._at(arrival_ms, lambda: then(Answered(call.number, reply)))
        else:
            then(Answered(call.number, reply))

    def _is_lost(self, source: str, target: str) -> bool:
        node = self.nodes.get(target)
        if node is None or not node.up or (source, target) in self.cut | self.full:
            return True
        return bool(self.loss) and self.rng.random() < self.loss

    def _measure(self, body: bytes) -> None:
        self.bytes_measured += len(body)
        self.messages_measured += 1

    def _at(self, moment_ms: int, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (moment_ms, self._count, act))
