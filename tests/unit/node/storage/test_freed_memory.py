"""Freed memory goes back to the system when a merge ends, and stays at hand between questions."""

import subprocess
import sys
from pathlib import Path

from node.storage.freed_memory import release_freed

PIECES = 100_000
PIECE_BYTES = 1_000


def _anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc/self/status")


def test_what_was_freed_leaves_the_process() -> None:
    before = _anonymous_bytes()
    pieces = [bytes([1]) * PIECE_BYTES for _ in range(PIECES)]
    full = _anonymous_bytes()
    assert full - before > PIECES * PIECE_BYTES // 2
    kept = pieces[-1]
    del pieces
    release_freed()
    assert len(kept) == PIECE_BYTES
    assert full - _anonymous_bytes() > PIECES * PIECE_BYTES * 3 // 4


QUESTIONS = """
import resource
import numpy as np
from node.storage.freed_memory import keep_for_questions

keep_for_questions()

def answer():
    return [np.ones(150_000) for _ in range(8)]

answer()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    answer()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES_OF_ONE = 8 * 150_000 * 8 // 4_096


def test_questions_find_the_memory_of_those_before() -> None:
    run = subprocess.run(
        [sys.executable, "-c", QUESTIONS], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(run.stdout) < PAGES_OF_ONE
