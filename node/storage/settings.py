"""Limits of the embedded engine: every one by name, with its reason."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def disk_space(path: Path) -> tuple[int, int]:
    """Bytes of the file system that holds `path`: (all that anybody but root may use, still free).

    What is kept back for root is neither used nor free, as `df` counts.
    """
    found = os.statvfs(path)
    used = found.f_blocks - found.f_bfree
    return (used + found.f_bavail) * found.f_frsize, found.f_bavail * found.f_frsize


def no_hook(step: str) -> None:
    """The default of `on_step`: nothing happens."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What one store allows itself; a limit that is reached slows or refuses, never grows."""

    map_bytes_max: int = 256 << 30
    """Address space reserved for the store. The file grows only as it is used, so a generous
    reservation costs nothing and the map never has to be resized under a reader."""
    full_fraction: float = 0.9
    """Part of the map or disk at which writes are refused; the rest is for merging and deleting."""
    keep_fraction: float = 0.8
    """The same for records of areas that the node does not hold (or `full_fraction` where that is
    less): what a long split brings a keeper must not take the room that its own area needs, and
    at the end the room in which it could hand it over."""
    readers_max: int = 64
    """Readers in other processes (copies, inspection); this process needs two."""
    log_rows_merge: int = 262_144
    """Rows in the log that start a merge: enough for each to be written about twice, and 0.2 s of
    work after a crash."""
    log_bytes_merge: int = 32 << 20
    """The same in bytes, for images and long texts."""
    log_entries_merge: int = 4_096
    """The same in entries: single records are cheap to take and dear to read again at a start."""
    log_age_merge_s: float = 600.0
    """Seconds that rows may lie in the log of a node that is never quiet: blocks are smaller, and a
    start reads no log."""
    idle_s: float = 5.0
    """Quiet after which the log is merged whatever it holds, and then runs are joined slice by
    slice: nobody waits for the disk, and later questions meet fewer blocks."""
    idle_join_share: int = 16
    """A slice's runs are joined when those beside the largest hold at least 1/idle_join_share of
    its rows, so that a trickle of records does not rewrite a whole slice each time."""
    runs_max: int = 4
    """Runs of one slice above which they are joined, however small they are."""
    log_rows_max: int = 1_250_000
    """Rows in the log at which writers wait for the merger; with its columns some 120 MB."""
    log_bytes_max: int = 128 << 20
    """The same in bytes."""
    piece_rows_max: int = 131_072
    """Rows of the log that are merged at once: with the slice that they continue some 200,000,
    and some 60 MB while it lasts. `slice_bytes` limits the same in bytes."""
    segment_rows_max: int = 131_072
    """Rows in memory that are sorted together: more would cost the writer's thread 50 ms at a
    time and, for that long, twice the memory."""
    commit_bytes_max: int = 16 << 20
    """Log bytes of one commit: some 20 ms of disk, so that nobody waits long behind the others."""
    block_rows_max: int = 8_192
    """Rows of a block: a small query decodes one or two, and 20,000 rows cost eight, not sixteen,
    times the fixed cost of a block; measured between 4,096 and 8,192."""
    block_bytes_max: int = 1 << 20
    """Bytes of a block before encoding, for images and long texts."""
    slice_rows_max: int = 131_072
    """Rows of a time slice above which it is split (unless they all have the same time)."""
    slice_rows: int = 65_536
    """Rows of the slices that come out of a split: 16 blocks side by side in code."""
    slice_bytes_max: int = 32 << 20
    """Bytes of a time slice above which it is split: what a merge holds in memory and rewrites
    at once when values are images or long texts; less in a small map."""
    run_growth: int = 2
    """A run in a slice is rewritten only together with at least 1/run_growth times its rows, so
    that a row is rewritten a bounded number of times, however much is stored."""
    grain_level: int = 8
    """Level of the finest cells that digest tables tell apart: the cluster's grain level, so that
    comparing two nodes reads tables and hardly any rows. Any other level is as right, but slow."""
    step_blocks_max: int = 64
    """Blocks of one step of a scan: about 3 ms of the event loop."""
    step_rows_max: int = 262_144
    """Rows looked at in one step of a scan."""
    headers_max: int = 2_048
    """Block headers kept in memory once verified (about 4 kB each)."""
    disk_space: Callable[[Path], tuple[int, int]] = disk_space
    """(all, free) bytes of the disk; tests make it small."""
    on_step: Callable[[str], None] = no_hook
    """Called with the name of each step of a commit or merge; tests stop the process there."""

    def fraction(self, *, foreign: bool) -> float:
        """Part of the map or disk at which writes of these records are refused."""
        return min(self.keep_fraction, self.full_fraction) if foreign else self.full_fraction

    @property
    def spare_bytes(self) -> int:
        """The part of the map that writes leave free."""
        return int(self.map_bytes_max * (1 - self.full_fraction))

    @property
    def slice_bytes(self) -> int:
        """`slice_bytes_max`, or what fits beside its successor into the spare part of the map."""
        return min(self.slice_bytes_max, self.spare_bytes // 4)

    def __post_init__(self) -> None:
        assert 0 < self.full_fraction < 1, self.full_fraction
        assert 0 < self.keep_fraction < 1, self.keep_fraction
        assert 0 < self.block_rows_max <= 65_536, self.block_rows_max
        assert 0 < self.slice_rows <= self.slice_rows_max, self.slice_rows
        assert 0 < self.log_rows_merge <= self.log_rows_max, self.log_rows_merge
        assert 0 <= self.grain_level <= 31, self.grain_level
        assert self.piece_rows_max >= 1 and self.segment_rows_max >= 1, self.piece_rows_max
        assert self.run_growth >= 1 and self.step_blocks_max >= 1, self.run_growth
