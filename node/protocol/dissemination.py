"""Rumours: small news that ride on probes and their answers, each a bounded number of times.

A rumour is told about `times × log10(members + 1)` times by every node that has it, those told
least first, and forgotten then: with high probability everyone has heard it (SWIM, section 4.1).
A newer rumour of the same node replaces an older one.

Cost: O(1) for each rumour told, whatever the number of members.
"""

import math
from dataclasses import dataclass, field

ALIVE, SUSPECT, AWAY = 0, 1, 2
"""Ranks: of two rumours of one incarnation the higher rank is the newer."""

RUMOURS_MAX = 4_096
"""Rumours waiting to be told; when a large cluster changes at once, the oldest go first, and the
exchange brings what was not told."""


@dataclass(frozen=True, slots=True)
class Rumour:
    """What is said of a member by others.

    Attributes:
        run: random number of its process; 0 where it is not known.
        rank: `ALIVE`, `SUSPECT` or `AWAY`.
        source: who suspects it; "" in other rumours.
    """

    node: str
    address: str
    incarnation: int
    version: int
    run: int = 0
    rank: int = ALIVE
    source: str = ""


@dataclass(slots=True)
class Dissemination:
    """The rumours that this node passes on."""

    times: int
    _rounds: list[dict[str, Rumour]] = field(default_factory=lambda: [{}])
    _round_of: dict[str, int] = field(default_factory=dict)

    def add(self, rumour: Rumour) -> None:
        """Begin to tell, in place of what was told of the same node before."""
        before = self._round_of.pop(rumour.node, None)
        if before is not None:
            del self._rounds[before][rumour.node]
        elif len(self._round_of) >= RUMOURS_MAX:
            self._drop_one()
        self._rounds[0][rumour.node] = rumour
        self._round_of[rumour.node] = 0

    def take(self, count: int, member_count: int) -> list[Rumour]:
        """Up to `count` rumours to tell now, those told least first."""
        if not self._round_of or not count:
            return []
        times_max = max(1, math.ceil(self.times * math.log10(member_count + 1)))
        taken: list[tuple[int, Rumour]] = []
        for index, rumours in enumerate(self._rounds):
            for rumour in rumours.values():
                if len(taken) == count:
                    break
                taken.append((index, rumour))
        for index, rumour in taken:
            del self._rounds[index][rumour.node]
            if index + 1 >= times_max:
                del self._round_of[rumour.node]
                continue
            if index + 1 == len(self._rounds):
                self._rounds.append({})
            self._rounds[index + 1][rumour.node] = rumour
            self._round_of[rumour.node] = index + 1
        return [rumour for _, rumour in taken]

    def drop(self, node: str) -> None:
        """Tell nothing of one node any more."""
        index = self._round_of.pop(node, None)
        if index is not None:
            del self._rounds[index][node]

    def clear(self) -> None:
        """Tell nothing of all that any more."""
        self._rounds = [{}]
        self._round_of.clear()

    def __len__(self) -> int:
        return len(self._round_of)

    def _drop_one(self) -> None:
        rumours = next(rumours for rumours in reversed(self._rounds) if rumours)
        node = next(iter(rumours))
        del rumours[node], self._round_of[node]
