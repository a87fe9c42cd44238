"""Memory that a merge has freed, given back to the system.

A merge of a full log works on some hundred MB for a second. Arrow's pool and the C library keep
what is freed for the next time; a node that stands on a small machine beside other programs
should not hold it between loads.
"""

import ctypes
import sys
from typing import Any

import pyarrow as pa


def release_pooled() -> None:
    """Let Arrow's memory pool give up pages that hold nothing. Takes about a millisecond."""
    pa.default_memory_pool().release_unused()


def release_freed() -> None:
    """Let the pool and the C library give up pages that hold nothing. Some 10 ms for 100 MB."""
    release_pooled()
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)


def _malloc_trim() -> Any:
    """glibc's `malloc_trim`; None with other C libraries, which have no such call.

    glibc gives back by itself only what lies at the end of its heap: one small object that was
    made late (a block's header in a cache) keeps everything below it.
    """
    if not sys.platform.startswith("linux"):
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim


_MALLOC_TRIM = _malloc_trim()
