"""Freed memory goes back to the system, also below a small object that stays."""

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
