"""Wait until the nodes have copied and merged what was loaded."""

import time
from collections.abc import Sequence

from rich.console import Console

from node.client import Client

QUIET_S = 1.0
"""Nothing has moved for this long: replicas are there, the log is merged as far as it will be."""
PATIENCE_S = 30.0
"""After this the demo goes on, and its searches share the machine with what is left."""
POLL_S = 0.2
WATCHED = ("zring_records ", "zring_blocks ", "zring_log_records ")


def wait_settled(urls: Sequence[str], console: Console) -> float:
    """Wait until the stores stand still, at most PATIENCE_S; returns the seconds that took."""
    start_s = time.monotonic()
    before: list[str] = []
    since_s = start_s
    with console.status("replicas and blocks: waiting until the nodes have nothing left to do"):
        while time.monotonic() - start_s < PATIENCE_S:
            now = [line for url in urls for line in _watched(url)]
            if now != before:
                before, since_s = now, time.monotonic()
            elif time.monotonic() - since_s >= QUIET_S:
                break
            time.sleep(POLL_S)
    return time.monotonic() - start_s


def _watched(url: str) -> list[str]:
    with Client(url, timeout_s=30.0, direct=True) as client:
        return [line for line in client.metrics().splitlines() if line.startswith(WATCHED)]
