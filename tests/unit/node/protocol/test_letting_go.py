"""Letting go: what every holder has confirmed as it is now, under this ring, with this store."""

import numpy as np

from node.protocol.letting_go import LettingGo
from node.protocol.rules import Rules
from node.storage.bucket_digests import BucketDigests
from zring.domain import DEMO_DOMAIN
from zring.placement import HolderMap, holder_map
from zring.ring import Settings, founding_ring

GRAIN = 4
STORES = {name: (f"store-{name}", 1) for name in "abcd"}


def holders() -> HolderMap:
    """Four quarters, one replica: a and its nearest neighbour hold a's quarter."""
    ring = founding_ring("test", DEMO_DOMAIN, GRAIN, "abcd", Settings(replicas=1))
    return holder_map(ring)


def buckets(*cells: int, total: int = 7) -> BucketDigests:
    count = len(cells)
    return BucketDigests(
        cells=np.array(cells, np.int64),
        days=np.full(count, 3, np.int64),
        totals=np.full(count, total, np.uint64),
        counts=np.ones(count, np.int64),
    )


def open_(
    letting_go: LettingGo, mine: BucketDigests, **changes: tuple[str, int]
) -> dict[str, list[bool]]:
    found = letting_go.unconfirmed(
        "c", mine, holders(), ring_digest=1, stores={**STORES, **changes}
    )
    return {name: mask.tolist() for name, mask in found.items()}


def confirm(letting_go: LettingGo, name: str, mine: BucketDigests, ring_digest: int = 1) -> None:
    letting_go.confirm(name, "c", mine, ring_digest=ring_digest, store=STORES[name])


def test_every_holder_of_the_grain_is_asked_and_nobody_else() -> None:
    held_by = [set(holders().holders_at(cell << (62 - 2 * GRAIN))) for cell in (0, 255)]
    assert held_by[0] != held_by[1] and all(len(names) == 2 for names in held_by)
    found = open_(LettingGo(grain_level=GRAIN), buckets(0, 255))
    assert {name for name, mask in found.items() if mask[0]} == held_by[0]
    assert {name for name, mask in found.items() if mask[1]} == held_by[1]


def test_only_what_was_confirmed_as_it_is_counts() -> None:
    letting_go = LettingGo(grain_level=GRAIN)
    names = holders().holders_at(0)
    for name in names:
        confirm(letting_go, name, buckets(0))
    assert open_(letting_go, buckets(0)) == {}
    assert set(open_(letting_go, buckets(0, total=8))) == set(names), "a record came since"
    confirm(letting_go, names[0], buckets(0, total=8))
    assert set(open_(letting_go, buckets(0, total=8))) == {names[1]}
    assert set(open_(letting_go, buckets(0, 1))) == set(names)


def test_confirmations_add_up() -> None:
    letting_go = LettingGo(grain_level=GRAIN)
    for name in "abcd":
        confirm(letting_go, name, buckets(1))
        confirm(letting_go, name, buckets(0, 2))
    assert open_(letting_go, buckets(0, 1, 2)) == {}
    letting_go.forget("c")
    assert open_(letting_go, buckets(0, 1, 2))


def test_another_ring_voids_what_was_confirmed() -> None:
    letting_go = LettingGo(grain_level=GRAIN)
    careless = LettingGo(grain_level=GRAIN, rules=Rules(ring_voids_confirmations=False))
    for one in (letting_go, careless):
        for name in holders().holders_at(0):
            confirm(one, name, buckets(0), ring_digest=2)
    assert open_(letting_go, buckets(0))
    assert not open_(careless, buckets(0))


def test_another_store_voids_what_the_former_one_confirmed() -> None:
    letting_go = LettingGo(grain_level=GRAIN)
    names = holders().holders_at(0)
    for name in names:
        confirm(letting_go, name, buckets(0))
    assert set(open_(letting_go, buckets(0), **{names[0]: ("another", 1)})) == {names[0]}
    restarted = (STORES[names[0]][0], 2)
    assert set(open_(letting_go, buckets(0), **{names[0]: restarted})) == {names[0]}, "an image?"
    assert open_(letting_go, buckets(0)) == {}
