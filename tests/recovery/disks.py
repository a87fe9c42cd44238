"""What lies on the disks, compared with what should: the listing of every node's own store."""

from collections.abc import Iterable, Mapping

import numpy as np

from tests.recovery.cluster import Cluster
from tests.recovery.truth import Truth
from tests.recovery.verdict import StoreCount, Stores
from zring.morton import Int64s
from zring.placement import HolderMap

LISTING_TIMEOUT_S = 300.0


def look_at_stores(
    cluster: Cluster, names: Iterable[str], truth: Truth, holders: HolderMap
) -> Stores:
    """Count records on every disk."""
    count = len(truth)
    numbers: dict[str, Int64s] = {}
    strangers: dict[str, int] = {}
    stored = np.zeros(count, np.bool_)
    digests = np.zeros(count, np.uint64)
    altered: dict[str, int] = {}
    for name in names:
        with cluster.client(name, timeout_s=LISTING_TIMEOUT_S) as client:
            table = client.stored(truth.collection)
        found = truth.find(table)
        numbers[name], strangers[name] = found.numbers, found.strangers
        altered[name] = found.strangers + int(table["deleted"].to_numpy().sum())
        if not found.strangers:
            # Equal digests are equal values: each node is compared with those before it.
            digest = table["digest"].to_numpy()
            known = stored[found.numbers]
            altered[name] += int((digests[found.numbers][known] != digest[known]).sum())
            digests[found.numbers] = digest
        stored[found.numbers] = True
    held = _held(truth, holders, numbers)
    return Stores(
        stored=int(stored.sum()),
        lost=int((truth.acknowledged & ~stored).sum()),
        nodes={
            name: _count(found, held[name] & stored, altered[name], count)
            for name, found in numbers.items()
        },
    )


def _held(
    truth: Truth, holders: HolderMap, names: Iterable[str]
) -> Mapping[str, np.ndarray]:  # of bool, for each record
    sets = holders.holders_of(truth.code)
    return {
        name: np.array([name in nodes for nodes in holders.sets], np.bool_)[sets] for name in names
    }


def _count(found: Int64s, expected: np.ndarray, altered: int, count: int) -> StoreCount:
    times = np.bincount(found, minlength=count)
    present = times > 0
    return StoreCount(
        records=int(present.sum()),
        expected=int(expected.sum()),
        missing=int((expected & ~present).sum()),
        misplaced=int((present & ~expected).sum()),
        twice=int((times > 1).sum()),
        altered=altered,
    )
