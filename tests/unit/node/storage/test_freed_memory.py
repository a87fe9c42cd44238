"""Freed memory goes back to the system when a merge ends, and stays at hand between questions."""

import subprocess
import sys

PIECES = 100_000
PIECE_BYTES = 1_000
# A process of its own: one that has run for a while fills holes of its heap instead of growing.
FREED = f"""
from pathlib import Path
from node.storage.freed_memory import release_freed

def anonymous_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))

before = anonymous_bytes()
pieces = [bytes([1]) * {PIECE_BYTES} for _ in range({PIECES})]
full = anonymous_bytes()
kept = pieces[-1]
del pieces
release_freed()
print(full - before, full - anonymous_bytes(), len(kept))
"""


def test_what_was_freed_leaves_the_process() -> None:
    taken, returned, kept = map(int, _run(FREED).split())
    assert taken > PIECES * PIECE_BYTES // 2
    assert returned > PIECES * PIECE_BYTES * 3 // 4
    assert kept == PIECE_BYTES


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
    assert int(_run(QUESTIONS)) < PAGES_OF_ONE


def _run(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout
