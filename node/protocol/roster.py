"""The members that a node knows, and whose turn it is.

What a former life remembered is taken over as it is and never written to; changes lie in a layer
above it. Turns go round in an order that is drawn anew each round (a random start and a random
stride that has no common divisor with the number of members), so that everyone has its turn once
a round, no list is shuffled, and a new member waits for the next round at most.

Cost: O(1) for everything but `all`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from node.protocol.word import Word

MemberState = Literal["alive", "suspect", "away"]

MEMBERS_MAX = 20_000
"""Members remembered; strangers beyond that are refused, so that nobody fills the memory."""
NEVER_MS = -(1 << 62)
"""A moment before all others."""
SKIPS_MAX = 16
"""Members passed over in one turn because they are away: bounds the cost of a turn."""


class Dice(Protocol):
    """Randomness as it is handed in (`random.Random`)."""

    def random(self) -> float:
        """In [0, 1)."""

    def randrange(self, stop: int, /) -> int:
        """In [0, stop)."""


@dataclass(slots=True)
class Member:
    """What is known of one member. Times are milliseconds of this node's monotonic clock.

    Attributes:
        since_ms: when it entered its state; for `away`, when it was last known to speak.
        judged_ms: when it was found to be away; only what it said later brings it back.
        incarnation, version: the newest that were heard of; run: of that incarnation's process.
        heard_ms: it spoke at that moment or later.
        felt_ms: until then bytes of a message of its came, or were to come, whatever they say.
        crowded: its last answer to a probe was too late behind such bytes.
        as_of_ms: `word` was its word at that moment or later.
        clock_us: its wall clock, read between `told_ms` and `answered_ms`.
        failures: direct probes without an answer in a row.
        back_ms: when it last answered one after such failures.
        store_id, sequence: the store that is remembered, and the greatest sequence seen.
    """

    node: str
    address: str = ""
    state: MemberState = "away"
    since_ms: int = 0
    judged_ms: int = NEVER_MS
    incarnation: int = 0
    version: int = 0
    run: int = 0
    heard_ms: int = NEVER_MS
    felt_ms: int = NEVER_MS
    crowded: bool = False
    as_of_ms: int = NEVER_MS
    clock_us: int = 0
    told_ms: int = NEVER_MS
    answered_ms: int = NEVER_MS
    failures: int = 0
    back_ms: int = NEVER_MS
    word: Word | None = None
    store_id: str = ""
    sequence: int = 0

    @property
    def stamp(self) -> tuple[int, int]:
        """Of the newest word that was heard of."""
        return self.incarnation, self.version

    @property
    def has_newest_word(self) -> bool:
        """Whether `word` is the newest that was heard of."""
        return self.word is not None and self.word.stamp == (self.incarnation, self.version)


class Draw:
    """Names that can be drawn at random and taken out."""

    __slots__ = ("_index", "_names")

    def __init__(self) -> None:
        self._names: list[str] = []
        self._index: dict[str, int] = {}

    def add(self, name: str) -> None:
        """Put a name in, once."""
        if name not in self._index:
            self._index[name] = len(self._names)
            self._names.append(name)

    def discard(self, name: str) -> None:
        """Take a name out; the last one takes its place."""
        index = self._index.pop(name, None)
        if index is None:
            return
        last = self._names.pop()
        if last != name:
            self._names[index] = last
            self._index[last] = index

    def draw(self, rng: Dice) -> str | None:
        """Any name; None of none."""
        return self._names[rng.randrange(len(self._names))] if self._names else None

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._index


class Roster(Mapping[str, Member]):
    """All members but this node, by name.

    Args:
        remembered: never written to; may be shared.
        names: its keys; may be shared.
    """

    def __init__(
        self, remembered: Mapping[str, Member], names: tuple[str, ...], rng: Dice, *, here: str
    ) -> None:
        self._remembered = remembered
        self._names = names
        self._here = here
        self._changed: dict[str, Member] = {}
        self._added: list[str] = []
        self._removed: set[str] = set()
        self._rng = rng
        self._turns = Turns(rng)
        self._relayed = Turns(rng)
        self._count = len(remembered) - (here in remembered)

    def __getitem__(self, node: str) -> Member:
        known = self.find(node)
        if known is None:
            raise KeyError(node)
        return known

    def __iter__(self) -> Iterator[str]:
        gone = self._removed | {self._here}
        yield from (name for name in self._names if name not in gone)
        yield from self._added

    def __len__(self) -> int:
        return self._count

    def find(self, node: str) -> Member | None:
        """A member to look at; never to change."""
        known = self._changed.get(node)
        if known is None and node != self._here and node not in self._removed:
            known = self._remembered.get(node)
        return known

    def change(self, node: str) -> Member:
        """A member whose fields may be set."""
        known = self._changed.get(node)
        if known is None:
            known = self._changed[node] = replace(self[node])
        return known

    def add(self, member: Member) -> None:
        """A new one."""
        assert self.find(member.node) is None, member
        self._changed[member.node] = member
        self._added.append(member.node)
        self._count += 1

    def remove(self, node: str) -> None:
        """One that is given up; it may be added again. Cost: one look at those added."""
        assert self.find(node) is not None, node
        self._changed.pop(node, None)
        if node in self._added:
            self._added.remove(node)
        else:
            self._removed.add(node)
        self._count -= 1

    def next_turns(self, count: int) -> Iterator[Member]:
        """The next members to probe, not away; fewer where many are."""
        return self._round(self._turns, count)

    def next_relayed(self, count: int) -> Iterator[Member]:
        """The next members to tell others about, not away."""
        return self._round(self._relayed, count)

    def slice(self, count: int) -> list[Member]:
        """Members for an exchange: all of a small cluster, else as many from a random place."""
        total = len(self._names) + len(self._added)
        start = self._rng.randrange(total) if total > count else 0
        found = (self._at((start + i) % total) for i in range(min(count, total)))
        return [member for member in found if member is not None]

    def sample(self, count: int, *, without: str) -> list[Member]:
        """Up to `count` different members that are not away, in random order."""
        total = len(self._names) + len(self._added)
        found: dict[str, Member] = {}
        if not total:
            return []
        turns = Turns(self._rng)
        for _ in range(min(total, count + SKIPS_MAX)):
            member = self._at(turns.next(total))
            if member is not None and member.state != "away" and member.node != without:
                found[member.node] = member
                if len(found) == count:
                    break
        return list(found.values())

    def _round(self, turns: "Turns", count: int) -> Iterator[Member]:
        total = len(self._names) + len(self._added)
        seen = 0
        for _ in range(min(total, count + SKIPS_MAX)):
            member = self._at(turns.next(total))
            if member is not None and member.state != "away":
                yield member
                seen += 1
                if seen == count:
                    return

    def _at(self, index: int) -> Member | None:
        if index < len(self._names):
            name = self._names[index]
            return None if name in self._removed else self.find(name)
        return self._changed[self._added[index - len(self._names)]]


class Turns:
    """Numbers below a total, each once a round, in another order every round."""

    __slots__ = ("_at", "_left", "_rng", "_stride", "_total")

    def __init__(self, rng: Dice) -> None:
        self._rng = rng
        self._total = self._at = self._left = self._stride = 0

    def next(self, total: int) -> int:
        """The next number; a round begins anew when the total changes."""
        if self._left == 0 or total != self._total:
            self._total = self._left = total
            self._at = self._rng.randrange(total)
            self._stride = self._rng.randrange(total) | 1
            while math.gcd(self._stride, total) != 1:
                self._stride += 1
        self._left -= 1
        self._at = (self._at + self._stride) % self._total
        return self._at
