"""Messages of the mover to one peer, at the rate that its link allows."""

import asyncio
from typing import Any

import numpy as np

from node.errors import BadRequest, NodeError, PeerRefused
from node.peer.columns import (
    DIGEST_TYPES,
    OFFER_TYPES,
    PIECE_TYPES,
    RANGE_TYPES,
    bytes_to_columns,
    columns_to_bytes,
)
from node.peer.packing import pack
from node.peer.rows import rows_to_bytes
from node.peer.transport import Message
from node.protocol.comparison import Pieces
from node.protocol.hash_ranges import Window as HashWindow
from node.protocol.throttle import BUSY_STEP_BYTES_MAX, Foreground, LinkBudget
from node.records import Bools, Rows, content_hashes
from node.service.mover.progress import Progress
from node.service.mover.region import Region, region_to_plain
from node.service.parts import Parts
from node.storage.bucket_digests import BucketDigests
from zring.digest import UInt64s
from zring.morton import Int64s
from zring.span import Span, contains

TIMEOUT_SHARE = 4
"""The mover waits this many times as long as others: a peer may first have to merge its log, and
nobody waits for the mover."""
ROW_BYTES = 100
"""Of a record in a store's columns, roughly."""


class Link:
    """One peer, for the length of one job."""

    def __init__(
        self,
        parts: Parts,
        peer: str,
        *,
        budget: LinkBudget,
        foreground: Foreground,
        progress: Progress,
    ) -> None:
        self._parts = parts
        self._budget = budget
        self._foreground = foreground
        self._busy_there = False
        self.peer = peer
        self.progress = progress

    @property
    def step_bytes(self) -> int:
        """How much one message should carry now."""
        step = self._budget.step_bytes
        return min(step, BUSY_STEP_BYTES_MAX) if self.is_busy() else step

    @property
    def step_rows(self) -> int:
        """The rows of such a message."""
        return max(1, self.step_bytes // ROW_BYTES)

    @property
    def has_rate(self) -> bool:
        """Whether its rate is limited: it is slow, and probably long."""
        return bool(self._budget.rate)

    def is_busy(self) -> bool:
        """Whether people are being served, here or at the peer when it last answered."""
        foreground, now_ms = self._foreground, self._parts.clock.now_ms()
        here = foreground.busy(self._parts.counters.served, now_ms=now_ms)
        return foreground.rest_share > 0 and (here or self._busy_there)

    async def digests(
        self, region: Region, *, level: int, by_day: bool = True, parents: Pieces | None = None
    ) -> BucketDigests:
        """The peer's digests of a region; with `parents` only below these (day, cell) pairs."""
        header = {**region_to_plain(region), "level": level, "by_day": by_day}
        body = b""
        if parents is not None:
            header["parents"] = parents.level
            body = columns_to_bytes((parents.days, parents.cells), PIECE_TYPES)
        reply = await self._call("digests", header, body)
        return bytes_to_digests(reply.body)

    async def ranges(
        self, region: Region, span: Span, window: HashWindow
    ) -> tuple[UInt64s, Int64s] | None:
        """The peer's digests of one large bucket of a region by ranges of hashes; None where it is
        of a version that has none."""
        header = {
            **region_to_plain(region),
            "span": list(span),
            "time": [window.time_start, window.time_stop],
            "bits": window.bits,
        }
        try:
            reply = await self._call("ranges", header, b"")
        except BadRequest as error:
            if error.field != "kind":
                raise
            return None
        totals, counts = bytes_to_columns(reply.body, RANGE_TYPES)
        if len(totals) != 1 << window.bits:
            raise PeerRefused(f"{self.peer} answered {len(totals)} ranges for 2**{window.bits}")
        return totals, counts.astype(np.int64)

    async def offer(self, collection: str, rows: Rows) -> Bools:
        """bool[n]: which rows the peer lacks or has an older version of."""
        body = offer_to_bytes(rows)
        reply = await self._call("offer", {"collection": collection}, body)
        bits = np.unpackbits(np.frombuffer(reply.body, np.uint8))
        if not 0 <= len(bits) - len(rows) < 8:
            raise PeerRefused(f"{self.peer} answered {len(rows)} offers with {len(bits)} bits")
        return bits[: len(rows)].astype(np.bool_)

    async def copy(self, collection: str, rows: Rows) -> None:
        """Records that the peer lacks; they are on its disk when this returns.

        Other holders that may lack them are named, whether they cannot be reached or are full, or
        it is not their turn yet: the peer owes them these records from now on too, so that they
        get them should this node go away before.
        """
        members = self._parts.members
        view, owed = members.view(), members.outstanding.summary()
        absent = [
            node
            for node in view.holders.nodes
            if node not in view.standing.contact
            or (node != self.peer and contains(owed.get(node, ()), rows.code).any())
        ]
        body, packing = pack(rows_to_bytes(rows), wanted=bool(self._budget.rate))
        header = {
            "collection": collection,
            "absent": absent,
            "moved": True,
            "instance": self._parts.members.instance,
            **packing,
        }
        await self._call("copy", header, body)
        self._parts.counters.records_moved += len(rows)
        self.progress.moved(len(rows), len(body), now_ms=self._parts.clock.now_ms())

    async def tell(self, kind: str, header: dict[str, Any]) -> None:
        """A message whose answer says nothing."""
        await self._call(kind, header, b"")

    async def pace(self, worked_ms: int) -> None:
        """Wait until the link has room, and rest while people are being served."""
        parts = self._parts
        now_ms, busy = parts.clock.now_ms(), self.is_busy()
        wait_ms = max(
            self._budget.wait_ms(now_ms=now_ms), self._foreground.rest_ms(worked_ms, busy=busy)
        )
        if wait_ms:
            self.progress.phase = "waiting"
            self.progress.reason = "others are being served" if busy else "the link's rate"
            await asyncio.sleep(wait_ms / 1_000)
            self.progress.phase, self.progress.reason = "sending", ""

    async def _call(self, kind: str, header: dict[str, Any], body: bytes | memoryview) -> Message:
        parts = self._parts
        # Several messages may wait for their turn: whoever wakes first takes it.
        while wait_ms := self._budget.wait_ms(now_ms=parts.clock.now_ms()):  # noqa: ASYNC110
            await asyncio.sleep(wait_ms / 1_000)
        self._budget.spend(len(body), now_ms=parts.clock.now_ms())
        timeout_ms = TIMEOUT_SHARE * parts.limits.peer_timeout_ms
        began_ms = parts.clock.now_ms()
        try:
            reply = await parts.peers.call(
                parts.members.address_of(self.peer),
                kind,
                header,
                body,
                deadline_ms=began_ms + timeout_ms,
                timeout_ms=timeout_ms,
            )
        except NodeError:
            self._budget.failed()
            raise
        self._budget.took(len(body), parts.clock.now_ms() - began_ms)
        parts.counters.mover_bytes_sent += len(body)
        parts.counters.mover_bytes_received += len(reply.body)
        parts.members.check_store(self.peer, reply.header)
        self._busy_there = bool(reply.header.get("busy"))
        return reply


def digests_to_bytes(digests: BucketDigests) -> bytes:
    """Digests as columns of numbers."""
    return columns_to_bytes(
        (digests.days, digests.cells, digests.totals, digests.counts), DIGEST_TYPES
    )


def bytes_to_digests(body: bytes | memoryview) -> BucketDigests:
    """Undo `digests_to_bytes`."""
    days, cells, totals, counts = bytes_to_columns(body, DIGEST_TYPES)
    return BucketDigests(
        cells=cells.astype(np.int64),
        days=days.astype(np.int64),
        totals=totals,
        counts=counts.astype(np.int64),
    )


def offer_to_bytes(rows: Rows) -> bytes:
    """Identity, version and content of each row."""
    versions = (rows.version << 1) | rows.deleted
    return columns_to_bytes(
        (rows.code, rows.time, rows.sensor_hash, versions, content_hashes(rows)), OFFER_TYPES
    )
