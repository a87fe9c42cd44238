"""Memory that was freed: what a merge used is given back to the system, what a question used is
kept for the next one.

A merge of a full log works on some hundred MB for a second. Arrow's pool and the C library keep
what is freed for the next time; a node that stands on a small machine beside other programs
should not hold it between loads.

A question needs a few MB for a few ms. By itself glibc gives them back at once, and the next
question spends a third of its time on having the system clear them page by page.
"""

import ctypes
import sys
from typing import Any

import pyarrow as pa

KEPT_BYTES = 32 << 20
"""Freed memory that is kept at hand: what a few answers of 100,000 rows take."""
ALONE_BYTES = 16 << 20
"""Larger pieces are taken from the system and given back one by one."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_for_questions() -> None:
    """Let the C library keep what questions free; once, when the process starts."""
    if _MALLOPT is not None:
        _MALLOPT(_M_TRIM_THRESHOLD, KEPT_BYTES)
        _MALLOPT(_M_MMAP_THRESHOLD, ALONE_BYTES)


def release_pooled() -> None:
    """Let Arrow's memory pool give up pages that hold nothing. Takes about a millisecond."""
    pa.default_memory_pool().release_unused()


def release_freed() -> None:
    """Let the pool and the C library give up pages that hold nothing. Some 10 ms for 100 MB."""
    release_pooled()
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)


def _glibc(name: str, *arguments: Any) -> Any:
    """A call of glibc that returns an int; None with other C libraries, which do not have it.

    `malloc_trim` is needed because glibc gives back by itself only what lies at the end of its
    heap: one small object that was made late (a block's header in a cache) keeps everything
    below it.
    """
    if not sys.platform.startswith("linux"):
        return None
    call = getattr(ctypes.CDLL(None), name, None)
    if call is not None:
        call.argtypes, call.restype = list(arguments), ctypes.c_int
    return call


_MALLOC_TRIM = _glibc("malloc_trim", ctypes.c_size_t)
_MALLOPT = _glibc("mallopt", ctypes.c_int, ctypes.c_int)
