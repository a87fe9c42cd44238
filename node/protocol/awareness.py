"""How far a node trusts its own ears (Lifeguard's local health).

Somebody whose probes fail while nobody else complains is slow himself: an overloaded machine, a
clogged link. The score rises with failed probes for which not even a helper's "no" came back, and
with suspicions of itself that it has to answer; it falls with every answer. It stretches only the
time that answers are given, not the period: a node that was alone must notice quickly that it no
longer is.

Source: Dadgar, Phillips, Currey: "Lifeguard: local health awareness for more accurate failure
detection", 2018, section IV.
"""

from dataclasses import dataclass

SCORE_MAX = 4
"""Answers are waited for five times as long at most; beyond that a failure takes too long."""


@dataclass(slots=True)
class Awareness:
    """A score from 0 (well) to `SCORE_MAX`."""

    score: int = 0

    def worse(self) -> None:
        """Something that points to this node itself."""
        self.score = min(self.score + 1, SCORE_MAX)

    def better(self) -> None:
        """An answer came in time."""
        self.score = max(self.score - 1, 0)

    def stretched(self, timeout_ms: int) -> int:
        """How long to wait for an answer now."""
        return timeout_ms * (1 + self.score)
