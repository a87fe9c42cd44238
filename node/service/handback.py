"""Sending again what holders have missed, once they answer (the small forerunner of the mover).

For every holder in contact that is owed something, this node reads the cells and time slots in
question from its own store, step by step, and sends them as copies. Identity makes repeats
harmless. What failed again meanwhile stays owed; a broken link ends the job, and the next turn
begins it anew.
"""

from node.errors import NodeError
from node.peer.rows import rows_to_bytes
from node.protocol.hints import Resend
from node.query import TIME_MAX, TIME_MIN
from node.records import Key
from node.service.delivery import split_rows
from node.service.parts import Parts
from node.storage.engine import Scan
from zring.span import intersect

STEP_ROWS_MAX = 20_000
"""Rows of one step: about a megabyte, so that reads and writes come in between."""


class Handback:
    """The hand-back jobs of one node, at most one for each holder."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._at_work: set[str] = set()

    def start_due(self) -> None:
        """Start a job for every holder that is in contact and owed something."""
        members = self._parts.members
        view = members.view()
        known = view.ring.members()
        for holder in members.hints.holders():
            if holder not in known:
                members.hints.forget(holder)
            elif holder in view.standing.contact and holder not in self._at_work:
                self._at_work.add(holder)
                self._parts.tasks.spawn(self._run(holder), name=f"hand-back {holder}")

    @property
    def idle(self) -> bool:
        """Whether nothing is being sent again."""
        return not self._at_work

    async def _run(self, holder: str) -> None:
        try:
            for work in self._parts.members.hints.resends(holder):
                await self._resend(holder, work)
        except NodeError:
            # The holder went away or its disk is full; what is owed stays owed.
            return
        finally:
            self._at_work.discard(holder)

    async def _resend(self, holder: str, work: Resend) -> None:
        parts = self._parts
        spans = intersect(work.spans, parts.members.view().holders.spans_of(holder))
        scan = Scan(
            work.collection,
            time_start=TIME_MIN if work.time_start is None else work.time_start,
            time_stop=TIME_MAX if work.time_stop is None else work.time_stop,
            spans=spans,
            deletions=True,
        )
        after: Key | None = None
        while spans:
            step = parts.engine.scan(scan, after=after, rows_max=STEP_ROWS_MAX)
            for rows in split_rows(step.rows) if len(step.rows) else ():
                await parts.peers.call(
                    parts.members.address_of(holder),
                    "copy",
                    {"collection": work.collection},
                    rows_to_bytes(rows),
                    deadline_ms=parts.clock.now_ms() + parts.limits.peer_timeout_ms,
                )
                parts.counters.copies_resent += len(rows)
            after = step.resume
            if after is None:
                break
        parts.members.hints.resent(holder, work)
