"""Evening out the load of the present owners by moving as little as can be.

The area of every owner is cut into tiles: cells that are small and hold little. The fullest owner
gives tiles to a neighbour that has room, the nearest tiles first, so that the border between them
moves as a front; where no neighbour has room, what it gets too much of is passed on the same way,
towards the nearest owner that has. Nobody gives more than brings it down to `AIM` times the mean,
so what moves is close to what is above that.

Source: the idea of diffusion along a shortest path: G. Cybenko, Dynamic Load Balancing for
Distributed Memory Multiprocessors (1989).
"""

from collections import deque
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from zring.bisection import IMBALANCE_MAX
from zring.load import Load
from zring.morton import CODE_BITS, Int64s, code_to_xy
from zring.ring import Ring
from zring.span import Spans, normalise, spans_to_cells

AIM = 1.2
"""Owners are brought down to this many times the mean, a little below what is allowed: the next
records should not call for the next plan."""
TILE_LEVEL_MIN = 5
"""Tiles are at most this coarse (1/32 of the domain a side), so that fronts can move."""
TILES_PER_OWNER = 64
"""A tile is cut while it holds more than this part of a mean load and grains allow it."""
PAIRS_AT_ONCE = 256
"""Tiles that are compared with all others at once: some megabytes."""
STEPS_PER_OWNER = 16
"""Gifts from one owner to the next before the rest is left as it is."""

Floats = npt.NDArray[np.float64]


def levelled(ring: Ring, load: Load, *, aspect: float) -> Mapping[str, Spans]:
    """Owner → codes that it should get, so that no owner has more than its limit.

    Nothing where that is so already. Few, heavy grains may leave an owner above the limit.

    Args:
        aspect: width of a grain over its height.
    Cost: some hundred tiles an owner; distances between the tiles of neighbours.
    """
    tiles = _Tiles(ring, load, aspect=aspect)
    owners = len(tiles.names)
    mean = tiles.records.sum() / owners
    blocked: set[tuple[int, int]] = set()
    for _ in range(STEPS_PER_OWNER * owners):
        loads = tiles.loads()
        giver = int(loads.argmax())
        if loads[giver] <= IMBALANCE_MAX * mean:
            break
        path = tiles.path_to_room(loads, giver, limit=AIM * mean, blocked=blocked)
        if path is None:
            break
        taker, last = path
        room = AIM * mean - loads[last]
        amount = min(loads[giver] - AIM * mean, room)
        # What is only passed on may be a tile too much; who keeps it must stay within the limit.
        tile = mean / TILES_PER_OWNER
        most = IMBALANCE_MAX * mean - loads[taker] if taker == last else amount + tile
        if tiles.give(giver, taker, amount=amount, most=most):
            blocked.clear()
        else:
            blocked.add((giver, taker))
    return tiles.gains()


class _Tiles:
    """Cells with their owners, as columns."""

    def __init__(self, ring: Ring, load: Load, *, aspect: float) -> None:
        self.names = ring.owners()
        number = {name: index for index, name in enumerate(self.names)}
        before = np.concatenate(([0], np.cumsum(load.records)))
        most = max(1, int(load.records.sum()) // (TILES_PER_OWNER * len(self.names)))

        def records_in(starts: Int64s, bits: Int64s) -> Int64s:
            first = np.searchsorted(load.grains, starts >> ring.grain_bits)
            last = np.searchsorted(load.grains, (starts + (1 << bits)) >> ring.grain_bits)
            return before[last] - before[first]

        found: list[tuple[Int64s, Int64s, Int64s]] = []
        cells = [
            (index << (CODE_BITS - 2 * level), CODE_BITS - 2 * level, number[span.owner])
            for span in ring.spans
            for level, index in spans_to_cells(((span.start, span.stop),))
        ]
        starts, bits, owner = (np.array(column, np.int64) for column in zip(*cells, strict=True))
        coarse = CODE_BITS - 2 * min(TILE_LEVEL_MIN, ring.grain_level)
        while len(starts):
            heavy = (records_in(starts, bits) > most) & (bits > ring.grain_bits)
            large = heavy | (bits > coarse)
            cut, kept = np.flatnonzero(large), np.flatnonzero(~large)
            found.append((starts[kept], bits[kept], owner[kept]))
            quarter = np.tile(np.arange(4, dtype=np.int64), len(cut))
            bits = np.repeat(bits[cut] - 2, 4)
            starts = np.repeat(starts[cut], 4) + np.left_shift(quarter, bits)
            owner = np.repeat(owner[cut], 4)
        self.starts, self.bits, self.owner = (
            np.concatenate(column) for column in zip(*found, strict=True)
        )
        self.records = records_in(self.starts, self.bits)
        self._first_owner = self.owner.copy()
        x, y = code_to_xy(self.starts >> ring.grain_bits)
        side = (1 << ((self.bits - ring.grain_bits) // 2)).astype(np.float64)
        self._low = np.stack((x * aspect, y.astype(np.float64)))
        self._high = self._low + np.stack((side * aspect, side))
        self._touching = self._touching_pairs()

    def loads(self) -> Floats:
        """Records of each owner."""
        return np.bincount(self.owner, weights=self.records, minlength=len(self.names)).astype(
            np.float64
        )

    def path_to_room(
        self, loads: Floats, giver: int, *, limit: float, blocked: set[tuple[int, int]]
    ) -> tuple[int, int] | None:
        """The neighbour through which the nearest owner with room is reached, and that owner."""
        came_from: dict[int, int] = {giver: giver}
        queue = deque((giver,))
        while queue:
            here = queue.popleft()
            for there in self._neighbours(here):
                if there in came_from or (here, there) in blocked:
                    continue
                came_from[there] = here
                if loads[there] < limit:
                    first = there
                    while came_from[first] != giver:
                        first = came_from[first]
                    return first, there
                queue.append(there)
        return None

    def give(self, giver: int, taker: int, *, amount: float, most: float) -> bool:
        """Hand tiles over, those nearest to the taker's area first; False when none fits."""
        mine = np.flatnonzero(self.owner == giver)
        centres = (self._low[:, mine] + self._high[:, mine]) / 2
        theirs = np.flatnonzero(self.owner == taker)
        low, high = self._low[:, theirs], self._high[:, theirs]
        distance = np.concatenate(
            [
                _gaps(some, some, low, high).min(axis=1)
                for some in np.array_split(centres, -(-len(mine) // PAIRS_AT_ONCE), axis=1)
            ]
        )
        order = np.lexsort((self.starts[mine], distance))
        given, taken, reach = 0.0, [], -1.0
        for at in order.tolist():
            records = float(self.records[mine[at]])
            if given >= amount:
                break
            if records and given + records <= most:
                given += records
                taken.append(at)
                reach = float(distance[at])
        # What lies empty on the way goes along, so that the front stays a front.
        empty = [
            at for at in order.tolist() if not self.records[mine[at]] and distance[at] <= reach
        ]
        if not taken or len(taken) + len(empty) == len(mine):
            return False
        self.owner[mine[np.array(taken + empty)]] = taker
        return True

    def gains(self) -> dict[str, Spans]:
        """Owner → what it has now and did not have at first, sorted by owner."""
        gained: dict[str, Spans] = {}
        for index, name in enumerate(self.names):
            new = np.flatnonzero((self.owner == index) & (self._first_owner != index))
            if len(new):
                stops = self.starts[new] + (1 << self.bits[new])
                gained[name] = normalise(
                    zip(self.starts[new].tolist(), stops.tolist(), strict=True)
                )
        return gained

    def _neighbours(self, owner: int) -> list[int]:
        """Owners whose areas touch, if only at a corner; by index."""
        one, other = self._touching
        found = np.unique(self.owner[other[self.owner[one] == owner]])
        return [there for there in found.tolist() if there != owner]

    def _touching_pairs(self) -> tuple[Int64s, Int64s]:
        """Tiles that touch, both ways round; tiles never change, only their owners do."""
        one, other = [], []
        for at in range(0, len(self.starts), PAIRS_AT_ONCE):
            some = slice(at, at + PAIRS_AT_ONCE)
            gaps = _gaps(self._low[:, some], self._high[:, some], self._low, self._high)
            first, second = np.nonzero(gaps == 0)
            one.append(first + at)
            other.append(second)
        return np.concatenate(one), np.concatenate(other)


def _gaps(low: Floats, high: Floats, other_low: Floats, other_high: Floats) -> Floats:
    """Squared distances float64[n, m] of n boxes [2, n] from m others."""
    apart = np.maximum(
        other_low[:, None, :] - high[:, :, None], low[:, :, None] - other_high[:, None, :]
    )
    apart = np.maximum(apart, 0.0)
    squared: Floats = (apart * apart).sum(axis=0)
    return squared
