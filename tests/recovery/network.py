"""Where the nodes of one machine stand, and how links between them are cut: two ways to do it."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from ingest.demo.nodes import NodePlace

ProcessIds = Callable[[], Mapping[str, int]]
"""Name of each running node → its process id."""


class Network(Protocol):
    """Links between nodes; people and programs always reach every node.

    Attributes:
        described: one sentence for the verdict.
    """

    described: str

    def place(self, name: str, folder: Path) -> NodePlace:
        """Make room for a node; before it is started, once for each name."""

    def cut_way(self, source: str, target: str) -> None:
        """Lose everything that one node sends to another, in this direction only."""

    def heal_way(self, source: str, target: str) -> None:
        """Let it through again."""

    def unplug(self, name: str) -> None:
        """Take a node off the network of the nodes, as a pulled cable does."""

    def plug(self, name: str) -> None:
        """Put it back."""

    def close(self) -> None:
        """Remove everything."""


def both_ways(one: frozenset[str], other: frozenset[str]) -> list[tuple[str, str]]:
    """Every (source, target) between two groups, sorted."""
    pairs = itertools.product(sorted(one), sorted(other))
    return sorted({way for a, b in pairs if a != b for way in ((a, b), (b, a))})
