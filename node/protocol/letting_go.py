"""When a node may delete what it does not hold: the confirmations of the holders (PROTOCOL 5).

A confirmation is a holder's word, under one ring, that it durably has everything that this node
had in some buckets (grain × day) at one moment, known by their digests. Rules:

1. Only holders under the ring in force confirm; a change of the ring voids what was confirmed,
   and another store of a holder voids what its former one confirmed, as does another process
   with the same store: it may have begun with an old image of it, which nobody has found out yet.
2. A bucket may go when **every** holder of its grain has confirmed the content that it has now.
   The store checks that content, and the ring, once more in the transaction that deletes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from node.protocol.comparison import keys_of
from node.protocol.rules import ALL_RULES, Rules
from node.protocol.word import StoreAt
from node.records import Bools
from node.storage.bucket_digests import BucketDigests
from zring.digest import UInt64s
from zring.morton import CODE_BITS, Int64s
from zring.placement import HolderMap

CONFIRMED_MAX = 1 << 20
"""Buckets of one collection that one holder's confirmations are kept for: 24 MB. What is beyond
is confirmed again once the first have gone."""


@dataclass(frozen=True, slots=True)
class _Confirmed:
    """Buckets of one collection by key, rising, with the digests that one store confirmed."""

    store: StoreAt
    keys: Int64s
    totals: UInt64s
    counts: Int64s

    def covers(self, keys: Int64s, totals: UInt64s, counts: Int64s) -> Bools:
        """Which buckets were confirmed with exactly this content."""
        if not len(self.keys):
            return np.zeros(len(keys), np.bool_)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return (self.keys[at] == keys) & (self.totals[at] == totals) & (self.counts[at] == counts)


class LettingGo:
    """What the holders have confirmed of this node's buckets of grain × day."""

    __slots__ = ("_confirmed", "_grain_level", "_ring", "_rules")

    def __init__(self, *, grain_level: int, rules: Rules = ALL_RULES) -> None:
        self._grain_level = grain_level
        self._rules = rules
        self._ring = 0
        self._confirmed: dict[tuple[str, str], _Confirmed] = {}

    def confirm(
        self,
        holder: str,
        collection: str,
        buckets: BucketDigests,
        *,
        ring_digest: int,
        store: StoreAt,
    ) -> None:
        """A holder's store has all that these buckets held; both went by the same ring."""
        self._follow(ring_digest)
        keys = keys_of(buckets.days, buckets.cells, self._grain_level)
        known = self._confirmed.get((holder, collection))
        if known is not None and known.store == store:
            kept = ~np.isin(known.keys, keys)
            keys = np.concatenate((keys, known.keys[kept]))
            totals = np.concatenate((buckets.totals, known.totals[kept]))
            counts = np.concatenate((buckets.counts, known.counts[kept]))
        else:
            totals, counts = buckets.totals, buckets.counts
        order = np.argsort(keys, kind="stable")[-CONFIRMED_MAX:]
        self._confirmed[holder, collection] = _Confirmed(
            store, keys[order], totals[order], counts[order]
        )

    def forget(self, collection: str) -> None:
        """Nothing is left to let go of in a collection."""
        for key in [key for key in self._confirmed if key[1] == collection]:
            del self._confirmed[key]

    def unconfirmed(
        self,
        collection: str,
        buckets: BucketDigests,
        holders: HolderMap,
        *,
        ring_digest: int,
        stores: Mapping[str, StoreAt],
    ) -> Mapping[str, Bools]:
        """Holder → which buckets it holds and has not confirmed as they are; sorted, no empty ones.

        Args:
            buckets: of grain level and by day, what this node has now.
            stores: holder → the store, and the process with it, that it has now.
        """
        self._follow(ring_digest)
        keys = keys_of(buckets.days, buckets.cells, self._grain_level)
        chosen = holders.holders_of(buckets.cells << (CODE_BITS - 2 * self._grain_level))
        found: dict[str, Bools] = {}
        for holder in sorted({node for set_ in _sets(holders, chosen) for node in set_}):
            holds = np.fromiter((holder in set_ for set_ in holders.sets), np.bool_)[chosen]
            known = self._confirmed.get((holder, collection))
            if known is not None and known.store == stores.get(holder):
                holds &= ~known.covers(keys, buckets.totals, buckets.counts)
            if holds.any():
                found[holder] = holds
        return found

    def _follow(self, ring_digest: int) -> None:
        if ring_digest != self._ring and self._rules.ring_voids_confirmations:
            self._confirmed.clear()
        self._ring = ring_digest


def _sets(holders: HolderMap, chosen: Int64s) -> Sequence[tuple[str, ...]]:
    return [holders.sets[index] for index in np.unique(chosen).tolist()]
