"""64-bit digests, the same on every node and in every process.

Everything is Murmur3 (x64, 128 bit, seed 0), of which the first 64 bits are kept: `mmh3` for
single names and documents, and `hash_words` for millions of fixed-width rows at once, which
computes exactly what `mmh3.hash64` gives for the same bytes.

Digests of sets (buckets of records, cells of buckets) are the sum of their members' digests
modulo 2**64 and their number: independent of order, and cheap to change by one member.

Source: A. Appleby, MurmurHash3 (2011), public domain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mmh3
import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]

_C1 = np.uint64(0x87C37B91114253D5)
_C2 = np.uint64(0x4CF5AD432745937F)
_M1 = np.uint64(0xFF51AFD7ED558CCD)
_M2 = np.uint64(0xC4CEB9FE1A85EC53)
FEW_ROWS = 128
"""Up to so many rows are hashed one by one: that costs less than NumPy's calls."""


def hash_bytes(data: bytes) -> int:
    """64-bit digest of some bytes, unsigned."""
    return int(mmh3.hash64(data, signed=False)[0])


def hash_text(text: str) -> int:
    """64-bit digest of a text's UTF-8 bytes, unsigned."""
    return int(mmh3.hash64(text.encode(), signed=False)[0])


def _rotated(value: UInt64s, bits: int) -> UInt64s:
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


def _final_mix(value: UInt64s) -> UInt64s:
    value = (value ^ (value >> np.uint64(33))) * _M1
    value = (value ^ (value >> np.uint64(33))) * _M2
    return value ^ (value >> np.uint64(33))


def hash_words(words: Sequence[UInt64s]) -> UInt64s:
    """Digest rows of fixed width.

    Args:
        words: k arrays uint64[n]; row i is the 8k little-endian bytes of words[0][i], …
    Returns:
        uint64[n], equal to `mmh3.hash64(row, signed=False)[0]`.
    Cost: about 12 passes over the arrays a word; 6 words: some 10 M rows/s a core. Of few rows,
        which would cost as much as a few hundred, half a µs each.
    """
    rows = len(words[0])
    assert all(word.dtype == np.uint64 and len(word) == rows for word in words)
    if rows <= FEW_ROWS:
        return _hash_few(words)
    h1, h2 = np.zeros(rows, np.uint64), np.zeros(rows, np.uint64)
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is the algorithm
        for index, word in enumerate(words):
            if index % 2 == 0:
                h1 = h1 ^ (_rotated(word * _C1, 31) * _C2)
                if index + 1 < len(words):
                    h1 = (_rotated(h1, 27) + h2) * np.uint64(5) + np.uint64(0x52DCE729)
            else:
                h2 = h2 ^ (_rotated(word * _C2, 33) * _C1)
                h2 = (_rotated(h2, 31) + h1) * np.uint64(5) + np.uint64(0x38495AB5)
        length = np.uint64(8 * len(words))
        h1, h2 = h1 ^ length, h2 ^ length
        h1 = h1 + h2
        h2 = h2 + h1
        return _final_mix(h1) + _final_mix(h2)


def _hash_few(words: Sequence[UInt64s]) -> UInt64s:
    """The same, row by row."""
    data = np.array(words, "<u8").T.tobytes()
    width = 8 * len(words)
    digests = (
        mmh3.hash64(data[start : start + width], signed=False)[0]
        for start in range(0, len(data), width)
    )
    return np.fromiter(digests, np.uint64, len(words[0]))


@dataclass(frozen=True, slots=True)
class SetDigest:
    """The digest of a set: sum of the members' digests modulo 2**64, and how many there are."""

    total: int = 0
    count: int = 0

    def __add__(self, other: "SetDigest") -> "SetDigest":
        """The digest of two disjoint sets together."""
        return SetDigest((self.total + other.total) % (1 << 64), self.count + other.count)

    def __sub__(self, other: "SetDigest") -> "SetDigest":
        """The digest of what is left when a subset is taken away."""
        assert other.count <= self.count, (self, other)
        return SetDigest((self.total - other.total) % (1 << 64), self.count - other.count)


def set_digest(digests: UInt64s) -> SetDigest:
    """The digest of a set of records, from their digests uint64[n] in any order."""
    return SetDigest(int(digests.sum(dtype=np.uint64)), len(digests))
