"""Random numbers as a function of counters: the same (seed, stream, counters) give the same.

Source: the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
generators, OOPSLA 2014).
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

_GOLDEN = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


def uniform(seed: int, stream: int, first: Int64s, second: Int64s) -> Floats:
    """float64 in [0, 1) of the broadcast shape of the two counters."""
    start = np.uint64((seed * 0xD1342543DE82EF95 + stream * _GOLDEN) & _WORD)
    rows = first.astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
    columns = second.astype(np.uint64) * np.uint64(0x94D049BB133111EB)
    word = rows + columns + start
    word ^= word >> np.uint64(30)
    word *= np.uint64(0xBF58476D1CE4E5B9)
    word ^= word >> np.uint64(27)
    word *= np.uint64(0x94D049BB133111EB)
    word ^= word >> np.uint64(31)
    return (word >> np.uint64(11)) * (1.0 / (1 << 53))
