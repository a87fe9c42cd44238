"""One question to several owners at once: each answers for its own codes, the client joins.

Asked through one node, an answer that several nodes have would be packed, sent, unpacked and
packed again there before it comes here. So where the ring gives every owner of a box one run of
codes, each is asked for its run. Which node answers for which codes never changes the answer:
the runs together are all codes, and a node forwards what it does not own. With a ring of
scattered areas one node is asked for everything instead, as for anything but plain boxes.

Groups per cell are asked for in the same way where every run is made of whole cells of that
level: then no cell has a part at two owners, and the groups of the owners follow each other.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Lock

from node.client.result import Result
from node.client.routing import Box, RingView
from zring.morton import AXIS_BITS, CODE_BITS, CODE_STOP

OWNERS_MAX = 8
"""Requests of one question; wider ones are spread by the node that is asked."""

AskOwner = Callable[[str, str], Result]
"""(URL, `spans` parameter) → its part of the answer, all pages of it."""


class FanOut:
    """Asks owners side by side; its threads live as long as the client."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def ask(
        self, view: RingView, box: Box | None, ask: AskOwner, *, level: int | None = None
    ) -> list[Result] | None:
        """Parts in key order; None where one node should be asked for the whole.

        Args:
            level: of the cells that no two owners may share.
        Raises:
            NodeError: what one of the owners answered.
        """
        runs = owner_runs(view, box, level=level)
        if not 2 <= len(runs) <= OWNERS_MAX:
            return None
        others = [self._pool().submit(ask, url, spans) for url, spans in runs[1:]]
        try:
            first = ask(*runs[0])
        finally:
            # Nobody is left asking when this returns: their connections go back to the pool.
            wait(others)
        return [first, *(part.result() for part in others)]

    def close(self) -> None:
        """End the threads; a later question starts new ones."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(OWNERS_MAX, "zring-client")
            return self._threads


def owner_runs(
    view: RingView, box: Box | None, *, level: int | None = None
) -> list[tuple[str, str]]:
    """(URL, spans) of each owner of a box, in key order; none where areas are scattered, an
    owner is away, or a run begins or ends within a cell of `level`."""
    owners = range(len(view.names)) if box is None else view.box_owners(box)
    runs = []
    for owner in owners:
        places = [place for place, known in enumerate(view.owners) if known == owner]
        url = view.urls.get(view.names[owner])
        if url is None or places[-1] - places[0] + 1 != len(places):
            return []
        runs.append((view.starts[places[0]], view.stop_of(places[-1]), url))
    if level is not None:
        cell = 1 << (CODE_BITS - 2 * level) if 0 <= level <= AXIS_BITS else CODE_STOP + 1
        if any(start % cell or stop % cell for start, stop, _ in runs):
            return []
    return [(url, f"{start}-{stop}") for start, stop, url in sorted(runs)]
