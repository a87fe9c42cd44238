"""Sending again what holders have missed, once they answer (the small forerunner of the mover).

For every holder in contact that is owed something, this node reads the cells and time slots in
question from its own store, step by step, and sends them as copies. Identity makes repeats
harmless. What failed again meanwhile stays owed; a broken link ends the job, and the next turn
begins it anew.
"""

import asyncio

from node.errors import NodeError
from node.peer.rows import rows_to_bytes
from node.protocol.hints import Resend
from node.protocol.word import spans_to_plain
from node.query import TIME_MAX, TIME_MIN
from node.records import Key
from node.service.delivery import split_rows
from node.service.parts import Parts
from node.storage.engine import Scan
from zring.span import Spans, intersect, subtract

STEP_ROWS_MAX = 20_000
"""Rows of one step: about a megabyte, so that reads and writes come in between."""

SETTLE_TURN_MS = 20


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

        self._say_who_is_in_step()

    async def settle(self, node: str, spans: Spans, *, deadline_ms: int) -> bool:
        """See `node.service.flip.Settling`."""
        parts = self._parts
        while intersect(parts.members.hints.summary().get(node, ()), spans):
            if parts.clock.now_ms() >= deadline_ms:
                return False
            self.start_due()
            await asyncio.sleep(SETTLE_TURN_MS / 1_000)
        return True

    def _say_who_is_in_step(self) -> None:
        """Tell unfilled holders that are owed nothing that they have all that this node has."""
        members = self._parts.members
        view = members.view()
        mine = view.standing.filled.get(self._parts.node_id, ())
        owed = members.hints.summary()
        for node, filled in view.standing.filled.items():
            spans = subtract(intersect(view.holders.spans_of(node), mine), filled)
            same_ring = view.rings[node] == view.ring.digest()
            if spans and same_ring and node not in owed and node not in self._at_work:
                self._at_work.add(node)
                self._parts.tasks.spawn(self._say_in_step(node, spans), name=f"in step {node}")

    async def _say_in_step(self, node: str, spans: Spans) -> None:
        parts = self._parts
        word = parts.members.health.members[node].word
        try:
            assert word is not None
            await parts.peers.call(
                parts.members.address_of(node),
                "in_step",
                {"target_store": word.store_id, "spans": spans_to_plain(spans)},
                deadline_ms=parts.clock.now_ms() + parts.limits.peer_timeout_ms,
            )
        except NodeError:
            return
        finally:
            self._at_work.discard(node)

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
