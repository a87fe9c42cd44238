"""The second change of a move: when the old owner may hand over (PROTOCOL 4.2).

The old owner decides alone, for all of its codes that are on their way to one target: the target
must be there, rest on the same ring, be filled for all of them, and lack little. Then writes of
these codes are held back for a moment, the rest is sent, and with the target's confirmation the
ring changes. What cannot be done in that moment is left and tried again later, less and less
often: nothing is half done, and the codes stay where they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from node.protocol.rules import ALL_RULES, Rules
from zring.ring import Ring
from zring.span import Spans, intersect, normalise, subtract

HOLD_MS_MAX = 1_000
"""Writes are held back no longer than this: shorter than any client's patience."""
FAILED_MAX = 64
"""Places (cell × time slot of a collection) that the target may lack when writes are held back:
they are sent in a fraction of that moment."""
RETRY_MS_MIN = 500
RETRY_MS_MAX = 60_000
"""Between two tries, doubled each time: a target that never keeps up costs writers 1 s a minute."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the old owner knows of a node that is to take codes over.

    Attributes:
        contact: it answers; same_ring: its word rests on the ring in force.
        filled: codes for which it is filled.
        uncompared: codes in which nobody has looked yet what it lacks of what this node has.
        failed: places in which copies to it failed. Copies on their way do not count: under a
            steady stream of writes there are always some, and holding back ends them.
    """

    contact: bool
    same_ring: bool
    filled: Spans
    uncompared: Spans
    failed: int


def moves_from(ring: Ring, here: str, *, rules: Rules = ALL_RULES) -> dict[str, Spans]:
    """Target → the codes that this node is to hand over to it, sorted by target."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for span in ring.spans:
        if span.next is None or span.next == span.owner:
            continue
        if here == (span.owner if rules.old_owner_flips else span.next):
            spans.setdefault(span.next, []).append((span.start, span.stop))
    return {target: normalise(pairs) for target, pairs in sorted(spans.items())}


def reason_to_wait(spans: Spans, target: Target) -> str | None:
    """Why these codes cannot be handed over now, in words; None when they can."""
    if not target.contact:
        return "the target is away"
    if not target.same_ring:
        return "the target has another ring"
    if subtract(spans, target.filled):
        return "the target is not filled yet"
    if intersect(spans, target.uncompared):
        return "the target is still being compared"
    if target.failed > FAILED_MAX:
        return f"the target lacks {target.failed} places, more than {FAILED_MAX}"
    return None


@dataclass(frozen=True, slots=True)
class Turn:
    """One target's state.

    Attributes:
        reason: why the last try came to nothing; None before the first.
        due_ms: the next try is not before.
    """

    spans: Spans
    failures: int = 0
    due_ms: int = 0
    reason: str | None = None


class Flips:
    """The tries of one node, by target."""

    __slots__ = ("turns",)

    def __init__(self) -> None:
        self.turns: dict[str, Turn] = {}

    def tick(
        self, moves: Mapping[str, Spans], targets: Mapping[str, Target], now_ms: int
    ) -> list[str]:
        """Targets to hand over to now, sorted; what moves was changed starts anew."""
        due: list[str] = []
        turns: dict[str, Turn] = {}
        for target, spans in sorted(moves.items()):
            turn = self.turns.get(target)
            if turn is None or turn.spans != spans:
                turn = Turn(spans, due_ms=now_ms)
            reason = reason_to_wait(spans, targets[target])
            if reason is not None:
                # Waiting for the target is no failed try: it costs nobody anything.
                turn = Turn(spans, turn.failures, turn.due_ms, reason)
            elif turn.due_ms <= now_ms:
                due.append(target)
            turns[target] = turn
        self.turns = turns
        return due

    def failed(self, target: str, reason: str, *, now_ms: int, chance: float) -> None:
        """A try came to nothing; the next one waits longer, by chance ([0, 1)) not in step with
        others."""
        turn = self.turns.get(target)
        if turn is None:
            return
        pause_ms = min(RETRY_MS_MIN << min(turn.failures, 16), RETRY_MS_MAX)
        due_ms = now_ms + round(pause_ms * (0.5 + chance))
        self.turns[target] = Turn(turn.spans, turn.failures + 1, due_ms, reason)
