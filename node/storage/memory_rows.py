"""The rows of one collection in the in-memory engine, with digests that are worked out once."""

import numpy as np

from node.records import (
    Bools,
    Rows,
    concat_rows,
    empty_rows,
    newest_places,
    record_digests,
    sort_order,
)
from zring.digest import UInt64s


class MemoryRows:
    """The newest version of everything, in key order, deletions included.

    Rows are sorted in when somebody looks. A digest is worked out when somebody asks for it and
    follows its row from then on: most rows never change.
    """

    __slots__ = ("_collection", "_digested", "_digests", "_rows", "_unsorted")

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._rows = empty_rows()
        self._digests: UInt64s = np.empty(0, np.uint64)
        self._digested: Bools = np.empty(0, np.bool_)
        self._unsorted: list[Rows] = []

    def add(self, rows: Rows) -> None:
        """More rows, in any order."""
        self._unsorted.append(rows)

    def __len__(self) -> int:
        """Rows, without a look at which of those that were added last are newer versions."""
        return len(self._rows) + sum(map(len, self._unsorted))

    def rows(self) -> Rows:
        """All rows."""
        if self._unsorted:
            added = sum(map(len, self._unsorted))
            self._rows = concat_rows([self._rows, *self._unsorted])
            self._unsorted = []
            self._digests = np.concatenate((self._digests, np.zeros(added, np.uint64)))
            self._digested = np.concatenate((self._digested, np.zeros(added, np.bool_)))
            for choose in (sort_order, newest_places):
                places = choose(self._rows)
                if places is not None:
                    self._rows = self._rows.take(places)
                    self._digests = self._digests[places]
                    self._digested = self._digested[places]
        return self._rows

    def digests(self) -> UInt64s:
        """uint64[n] of all rows."""
        rows = self.rows()
        if not self._digested.all():
            new = np.flatnonzero(~self._digested)
            self._digests[new] = record_digests(self._collection, rows.take(new))
            self._digested[new] = True
        return self._digests

    def keep(self, mask: Bools) -> None:
        """Forget all other rows; bool[n] for the rows as they are now."""
        assert not self._unsorted and len(mask) == len(self._rows), "rows that nobody looked at"
        self._rows = self._rows.where(mask)
        self._digests = self._digests[mask]
        self._digested = self._digested[mask]
