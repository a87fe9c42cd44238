"""Digests: arrays equal mmh3, sets do not depend on order, trees find the differences."""

import mmh3
import numpy as np
import pytest

from zring.digest import (
    FEW_ROWS,
    SetDigest,
    hash_bytes,
    hash_text,
    hash_words,
    set_digest,
)


@pytest.mark.parametrize("words", [1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize("rows", [0, 1, FEW_ROWS, FEW_ROWS + 1])
def test_hash_words_equals_mmh3(words: int, rows: int) -> None:
    rng = np.random.default_rng(words)
    columns = [rng.integers(0, 1 << 64, rows, dtype=np.uint64) for _ in range(words)]
    stacked = np.stack(columns, axis=1).astype("<u8")
    expected = [mmh3.hash64(row.tobytes(), signed=False)[0] for row in stacked]
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
