"""Digests: arrays equal mmh3, sets do not depend on order, trees find the differences."""

import mmh3
import numpy as np
import pytest

from zring.digest import (
    SetDigest,
    digests_by_group,
    hash_bytes,
    hash_text,
    hash_words,
    set_digest,
)
from zring.digest_tree import CellDigests, DigestTree, differing_grains


@pytest.mark.parametrize("words", [1, 2, 3, 4, 6, 7])
def test_hash_words_equals_mmh3(words: int) -> None:
    rng = np.random.default_rng(words)
    columns = [rng.integers(0, 1 << 64, 50, dtype=np.uint64) for _ in range(words)]
    rows = np.stack(columns, axis=1).astype("<u8")
    expected = [mmh3.hash64(row.tobytes(), signed=False)[0] for row in rows]
    assert hash_words(columns).tolist() == expected


def test_golden_hashes() -> None:
    assert hash_bytes(b"") == 0
    assert hash_text("65042") == hash_bytes(b"65042") == mmh3.hash64("65042", signed=False)[0]


def test_set_digests_do_not_depend_on_order_and_subtract() -> None:
    digests = np.random.default_rng(3).integers(0, 1 << 64, 100, dtype=np.uint64)
    whole = set_digest(digests)
    assert whole == set_digest(digests[::-1])
    assert whole == set_digest(digests[:40]) + set_digest(digests[40:])
    assert whole - set_digest(digests[40:]) == set_digest(digests[:40])
    assert set_digest(digests[:0]) == SetDigest()
    doubled = set_digest(np.append(digests, digests[:1]))
    assert doubled != whole and doubled.count == 101


def test_groups_equal_sets() -> None:
    rng = np.random.default_rng(4)
    groups = rng.integers(0, 7, 200)
    digests = rng.integers(0, 1 << 64, 200, dtype=np.uint64)
    found, totals, counts = digests_by_group(groups, digests)
    assert found.tolist() == sorted(set(groups.tolist()))
    for group, total, count in zip(found, totals, counts, strict=True):
        assert SetDigest(int(total), int(count)) == set_digest(digests[groups == group])
    assert [len(part) for part in digests_by_group(groups[:0], digests[:0])] == [0, 0, 0]


def tree_of(records: dict[int, list[int]]) -> DigestTree:
    groups = np.array([grain for grain, found in records.items() for _ in found], np.int64)
    digests = np.array([digest for found in records.values() for digest in found], np.uint64)
    return DigestTree.build(CellDigests(*digests_by_group(groups, digests)), grain_level=4)


def test_trees_find_exactly_the_grains_that_differ() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        mine = {
            int(grain): rng.integers(0, 1 << 62, 3).tolist() for grain in rng.choice(256, 30, False)
        }
        theirs = {grain: list(found) for grain, found in mine.items()}
        changed = rng.choice(256, int(rng.integers(0, 5)), replace=False)
        for grain in changed.tolist():
            if grain in theirs and rng.random() < 0.5:
                del theirs[grain]
            else:
                theirs.setdefault(grain, []).append(7)
        expected = sorted(changed.tolist())
        assert differing_grains(tree_of(mine), tree_of(theirs)).tolist() == expected
        assert differing_grains(tree_of(theirs), tree_of(mine)).tolist() == expected


def test_the_root_is_the_digest_of_everything() -> None:
    tree = tree_of({3: [10, 20], 250: [(1 << 62) + 5]})
    assert tree.root() == set_digest(np.array([10, 20, (1 << 62) + 5], np.uint64))
    assert tree_of({}).root() == SetDigest()
    assert differing_grains(tree_of({}), tree_of({})).tolist() == []
    assert differing_grains(tree_of({}), tree_of({9: [1]})).tolist() == [9]
