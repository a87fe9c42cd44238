"""How long a member stays suspect before it counts as away.

The time grows with the logarithm of the cluster, because the suspicion has to reach its subject
and the answer has to come back. It begins long and is cut short by every further member that
suspects independently, so that one node with a bad ear cannot send others away.

Source: Lifeguard (see `awareness`), section IV-B.
"""

import math
from dataclasses import dataclass, field

from node.config import LinkPreset

CONFIRMATIONS_WANTED = 2
"""Independent suspicions besides the first after which the shortest time holds."""


def shortest_ms(link: LinkPreset, member_count: int) -> int:
    """The time that every suspect has to answer."""
    return int(link.suspicion_periods * max(1.0, math.log10(member_count + 1)) * link.period_ms)


@dataclass(slots=True)
class Suspicion:
    """One running suspicion.

    Attributes:
        since_ms: when it began here; a word that was said later ends it.
        sources: who suspects, at most `CONFIRMATIONS_WANTED` + 1 of them.
    """

    since_ms: int
    shortest_ms: int
    longest_ms: int
    wanted: int
    sources: set[str] = field(default_factory=set)

    @classmethod
    def begin(cls, link: LinkPreset, *, member_count: int, source: str, now_ms: int) -> "Suspicion":
        """A suspicion that `source` told, or this node's own.

        Where there are not enough others to confirm anything, the shortest time holds at once.
        """
        wanted = CONFIRMATIONS_WANTED if member_count - 2 >= CONFIRMATIONS_WANTED else 0
        shortest = shortest_ms(link, member_count)
        longest = shortest * link.suspicion_stretch if wanted else shortest
        return cls(now_ms, shortest, longest, wanted, {source})

    def confirm(self, source: str) -> bool:
        """Another member suspects as well; whether that is news worth passing on."""
        if source in self.sources or len(self.sources) > self.wanted:
            return False
        self.sources.add(source)
        return True

    def due_ms(self, *, alone: bool = False) -> int:
        """When the member counts as away; `alone`: nobody can confirm anything."""
        if alone or not self.wanted:
            return self.since_ms + self.shortest_ms
        share = math.log(len(self.sources)) / math.log(self.wanted + 1)
        span = self.longest_ms - self.shortest_ms
        return self.since_ms + max(self.shortest_ms, int(self.longest_ms - share * span))
