"""Step functions over the codes: a value that stays the same along stretches of the curve."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from zring.morton import Int64s

T = TypeVar("T", bound=Hashable)
U = TypeVar("U", bound=Hashable)
V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Steps(Generic[T]):
    """From code `starts[i]` on, the value is `values[chosen[i]]`.

    Attributes:
        starts: int64[k], rising, the first is 0.
        chosen: int64[k], indices into `values`; neighbours differ.
        values: all different, in the order in which they first appear.
    """

    starts: Int64s
    chosen: Int64s
    values: tuple[T, ...]

    def mapped(self, change: Callable[[T], U]) -> "Steps[U]":
        """Another value in place of each; called once for each different value."""
        return normal_steps(self.starts, self.chosen, [change(value) for value in self.values])

    def joined(self, other: "Steps[U]", combine: Callable[[T, U], V]) -> "Steps[V]":
        """One function of both; `combine` is called once for each pair of values that meet."""
        starts = np.union1d(self.starts, other.starts)
        mine = self.chosen[np.searchsorted(self.starts, starts, side="right") - 1]
        theirs = other.chosen[np.searchsorted(other.starts, starts, side="right") - 1]
        pairs, chosen = np.unique(mine * len(other.values) + theirs, return_inverse=True)
        values = [
            combine(self.values[pair // len(other.values)], other.values[pair % len(other.values)])
            for pair in pairs.tolist()
        ]
        return normal_steps(starts, chosen.reshape(-1), values)


def normal_steps(starts: Int64s, chosen: npt.NDArray[np.int64], values: list[T]) -> Steps[T]:
    """Steps in normal form: equal values become one, neighbours of one value are joined."""
    first_of: dict[T, int] = {}
    for at, value in enumerate(values):
        first_of.setdefault(value, at)
    same = np.array([first_of[value] for value in values], np.int64)[chosen]
    fresh = np.append(True, same[1:] != same[:-1])
    starts, same = starts[fresh], same[fresh]
    used, example, renumbered = np.unique(same, return_index=True, return_inverse=True)
    by_appearance = np.argsort(example)
    rank = np.empty(len(used), np.int64)
    rank[by_appearance] = np.arange(len(used))
    return Steps(
        starts,
        rank[renumbered.reshape(-1)],
        tuple(values[at] for at in used[by_appearance].tolist()),
    )
