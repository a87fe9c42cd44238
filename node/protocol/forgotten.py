"""Members that a person has given up for good: remembered by name, so that nobody revives them.

A tombstone is a name and an incarnation: what is heard of that member up to this incarnation is
not taken for a member any more. Tombstones ride in the words of all members and are merged by the
greater incarnation, so they also reach whoever was away meanwhile and still tells of the dead. A
node that lives after all is told so when it speaks, takes a higher incarnation, and is a member
again like any newcomer.
"""

from collections.abc import Mapping

FORGOTTEN_MAX = 256
"""Tombstones kept: some 8 kB of a word. Of more, those of the lowest incarnations (which started
longest ago) go first, on all nodes alike; whoever still knew such a member brings it back as one
that is away, and it can be forgotten again."""


class Forgotten:
    """The tombstones that a node knows."""

    __slots__ = ("_incarnations", "_told")

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        self._incarnations = dict(known or {})
        self._told: dict[str, int] | None = None

    def merge(self, told: Mapping[str, int]) -> bool:
        """Take up what another one tells; returns whether any of it is news."""
        known = self._incarnations
        if all(known.get(node, -1) >= incarnation for node, incarnation in told.items()):
            return False
        before, self._told = dict(known), None
        for node, incarnation in told.items():
            known[node] = max(incarnation, known.get(node, 0))
        if len(self._incarnations) > FORGOTTEN_MAX:
            newest = sorted(self._incarnations.items(), key=lambda entry: (entry[1], entry[0]))
            self._incarnations = dict(newest[-FORGOTTEN_MAX:])
        return self._incarnations != before

    def incarnation_of(self, node: str) -> int:
        """Up to which incarnation a member is forgotten; 0 for one that is not."""
        return self._incarnations.get(node, 0)

    def covers(self, node: str, incarnation: int) -> bool:
        """Whether what is heard of this incarnation is of a member that was given up."""
        return node in self._incarnations and incarnation <= self._incarnations[node]

    def told(self) -> Mapping[str, int]:
        """Node → incarnation, sorted, for a node's word and its disk; the same object until
        something changes."""
        if self._told is None:
            self._told = dict(sorted(self._incarnations.items()))
        return self._told
