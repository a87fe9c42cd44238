"""One task's rows, page by page: from its owner, else from any other node, each row once.

A page's `next` link carries the key of its last row, so any node can go on where another one
stopped. The next page is fetched while Spark takes the one before.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from analytics.source.options import Access
from analytics.source.selection import Selection, degrees_text, time_to_text
from node.client.channel import Channel
from node.client.client import next_target
from node.client.parameters import collection_path, query_string
from node.client.result import Result, coverage_of
from node.errors import NodeError, PeerRefused, StoreDamaged
from node.query import ReaderChoice
from zring.span import Spans

PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 2.0
WORK_SHARE = 3
"""A node may work on a page for a third of the time that the page may take: what it cannot finish
then leaves time for two others. One that hangs is noticed earlier (`node.client.channel`)."""
WORK_S_MAX = 60.0
"""Far below the longest deadline that a node takes, and far above what a page needs."""
PROBE_S = 0.5
"""How long a node may take to accept a connection before it counts as far away."""


def page_target(
    collection: str,
    selection: Selection,
    spans: Spans | None,
    *,
    columns: Sequence[str] | None,
    reader: ReaderChoice,
    page_rows: int,
    timeout_s: float,
) -> str:
    """Path and query of the first page.

    Args:
        spans: only these codes; None is all.
        columns: values to send; None is all.
        reader: who reads, the owners or the node that is asked.
    """
    box = selection.box
    edges = () if box is None else (box.west, box.south, box.east, box.north)
    question = query_string(
        from_=time_to_text(selection.time_start),
        to=time_to_text(selection.time_stop),
        sensors=None if selection.sensors is None else sorted(selection.sensors),
        filter=selection.filter,
        columns=columns,
        more={
            "bbox": ",".join(map(degrees_text, edges)) or None,
            "spans": ",".join(f"{first}-{stop}" for first, stop in spans or ()) or None,
            "reader": None if reader == "owner" else reader,
            "limit": page_rows,
            "f": "arrow",
            "timeout_ms": max(1, int(min(timeout_s / WORK_SHARE, WORK_S_MAX) * 1_000)),
        },
    )
    return f"{collection_path(collection)}/items?{question}"


def nearest_first(urls: Sequence[str]) -> tuple[str, ...]:
    """The nodes by the time that a connection from here takes; those that refuse one last."""
    return tuple(sorted(urls, key=_connect_s))


def _connect_s(url: str) -> float:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    started_s = time.monotonic()
    try:
        socket.create_connection((parts.hostname, port), timeout=PROBE_S).close()
    except OSError:
        return float("inf")
    return time.monotonic() - started_s


class Pages:
    """Pages of one task from nodes that may come and go; use as a context."""

    def __init__(self, access: Access, urls: Sequence[str]) -> None:
        self._timeout_s = access.timeout_s
        self._channels = [
            Channel(url, timeout_s=access.timeout_s, direct=True, **access.credentials())
            for url in urls
        ]
        self._fetcher = ThreadPoolExecutor(1, "zring-page")

    def __enter__(self) -> "Pages":
        return self

    def __exit__(self, *_: object) -> None:
        self._fetcher.shutdown(cancel_futures=True)
        for channel in self._channels:
            channel.close()

    def first(self, target: str) -> Result:
        """The first page alone."""
        return self._fetch(target)[0]

    def read(self, target: str) -> Iterator[Result]:
        """Every page in key order.

        Raises:
            NodeError: no node could answer in time, or the question is wrong.
        """
        waiting = self._fetcher.submit(self._fetch, target)
        while True:
            page, following = waiting.result()
            if following is None:
                yield page
                return
            waiting = self._fetcher.submit(self._fetch, following)
            yield page

    def _fetch(self, target: str) -> tuple[Result, str | None]:
        deadline_s = time.monotonic() + self._timeout_s
        pause_s, failures = PAUSE_FIRST_S, 0
        while True:
            try:
                return self._ask(target, max(deadline_s - time.monotonic(), 0.001))
            except NodeError as error:
                if not (error.retryable or isinstance(error, PeerRefused | StoreDamaged)):
                    raise
                if time.monotonic() + pause_s >= deadline_s:
                    raise
            # Whoever answers next is asked first from then on.
            self._channels.append(self._channels.pop(0))
            failures += 1
            if failures % len(self._channels) == 0:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _ask(self, target: str, timeout_s: float) -> tuple[Result, str | None]:
        response = self._channels[0].request(
            "GET", target, timeout_s=timeout_s, replaceable=len(self._channels) > 1
        )
        page = Result(response.body, coverage_of(response.headers))
        _ = page.table  # decoded here: what is no Arrow stream is asked of another node
        return page, next_target(response)
