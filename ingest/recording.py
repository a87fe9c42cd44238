"""A rejecter that remembers what it refused, for whoever must account for every record."""

from collections.abc import Callable

import numpy as np

from node.codec.decoded import Rejecter
from node.records import Bools
from zring.morton import Int64s


class RecordingRejecter(Rejecter):
    """A rejecter that keeps which records were refused, why, and how to describe each.

    Attributes:
        found: (positions int64[k], reason, position → message), in the order of refusal.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.found: list[tuple[Int64s, str, Callable[[int], str]]] = []

    def reject(
        self, mask: Bools, reason: str, field: str | None, describe: Callable[[int], str]
    ) -> None:
        """See `Rejecter.reject`."""
        fresh = np.flatnonzero(mask & ~self.bad)
        if len(fresh):
            self.found.append((fresh, reason, describe))
        super().reject(mask, reason, field, describe)

    def reject_row(self, row: int, reason: str, field: str | None, message: str) -> None:
        """See `Rejecter.reject_row`."""
        if not self.bad[row]:
            self.found.append((np.array([row], np.int64), reason, lambda _: message))
        super().reject_row(row, reason, field, message)
