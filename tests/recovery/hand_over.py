"""How records come back after a cut: how many a second, in which order, and at whose cost."""

import re
import time
from collections.abc import Iterable

import numpy as np

from node.errors import NodeError
from tests.recovery.cluster import Cluster
from tests.recovery.truth import Truth
from zring.placement import HolderMap

MOVED = re.compile(r"^zring_records_moved_total (\d+)", re.MULTILINE)
THIRDS = 3
SAMPLES_MIN = 50
"""Fewer answers have no 99th percentile worth telling."""


class MovedRecords:
    """What the movers of all nodes have brought to others, looked at from time to time."""

    def __init__(self, cluster: Cluster, names: Iterable[str]) -> None:
        self._cluster, self._names = cluster, list(names)
        self._known: dict[str, int] = {}
        self._began_s = self._last_s = time.monotonic()
        self._records = 0
        self.look()
        self._records = 0

    def look(self) -> None:
        """Note what was moved since the last look."""
        for name in self._names:
            try:
                with self._cluster.client(name) as client:
                    found = MOVED.search(client.metrics())
            except NodeError:
                continue
            total = int(found[1]) if found else 0
            # A node that was started again counts from nothing.
            more = total - self._known.get(name, 0) if total >= self._known.get(name, 0) else total
            self._known[name] = total
            if more:
                self._records += more
                self._last_s = time.monotonic()

    def text(self) -> str:
        """For the verdict."""
        if not self._records:
            return "handed over    nothing by the movers"
        seconds = self._last_s - self._began_s
        return (
            f"handed over {self._records:>11,}   copies by the movers in {seconds:.1f} s, "
            f"{self._records / seconds:,.0f} a second"
        )


class Backlog:
    """What one node missed while it was cut off: numbers [first, last) that others took.

    The newest and the oldest third are looked at apart from each other.
    """

    def __init__(
        self, truth: Truth, holders: HolderMap, node: str, *, first: int, last: int
    ) -> None:
        held = np.array([node in nodes for nodes in holders.sets])[holders.holders_of(truth.code)]
        here = truth.doors.index(node) if node in truth.doors else -1
        mask = held & truth.acknowledged & (truth.door != here)
        self.numbers = np.flatnonzero(mask)
        self.numbers = self.numbers[(self.numbers >= first) & (self.numbers < last)]
        self._thirds = np.array_split(self.numbers, THIRDS)
        self._began_s = time.monotonic()
        self._done_s: list[float | None] = [None] * THIRDS

    def look(self, cluster: Cluster, node: str, truth: Truth) -> bool:
        """Note what has come; whether all of it is there."""
        with cluster.client(node) as client:
            numbers = truth.find(client.stored(truth.collection)).numbers
        now_s = time.monotonic() - self._began_s
        for at, third in enumerate(self._thirds):
            if self._done_s[at] is None and np.isin(third, numbers).all():
                self._done_s[at] = now_s
        return None not in self._done_s

    @property
    def newest_first(self) -> bool:
        """Whether the newest third was there no later than the oldest."""
        oldest, newest = self._done_s[0], self._done_s[-1]
        return oldest is None or (newest is not None and newest <= oldest)

    def text(self) -> str:
        """For the verdict."""
        told = ["never" if at is None else f"{at:.1f} s" for at in self._done_s]
        return (
            f"backlog     {len(self.numbers):>11,}   missed while cut off; after the heal the "
            f"newest third was there in {told[-1]}, the oldest in {told[0]}"
        )


def percentile_ms(
    taken: Iterable[tuple[float, float]], *, start_s: float, stop_s: float
) -> float | None:
    """The 99th percentile of what took so long (second value) and ended in between (first)."""
    inside = [took_s for ended_s, took_s in list(taken) if start_s <= ended_s < stop_s]
    return float(np.percentile(inside, 99)) * 1e3 if len(inside) >= SAMPLES_MIN else None
