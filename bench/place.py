"""Where the benchmark keeps its data sets and its servers' files between runs."""

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """The folder of data sets and of loaded reference databases: ZRING_BENCH_CACHE or a temporary
    one per user. Deleting it costs nothing but the time to build it again."""
    chosen = os.environ.get("ZRING_BENCH_CACHE")
    folder = Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"zring-bench-{os.getuid()}"
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    return folder


def test_data_folder() -> Path | None:
    """The folder with real files (ZRING_TEST_DATA), when there is one."""
    chosen = os.environ.get("ZRING_TEST_DATA")
    return Path(chosen) if chosen else None
