"""Copies on their way to other holders: one bounded queue and one courier task per peer.

A copy is sent right away; what waits behind one that is under way is sent together. A copy
that fails is not tried again here: it is owed, and the mover brings it once the holder answers
(`node.service.mover`).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from node.errors import NodeError, Overloaded, reason_of
from node.peer.packing import pack
from node.peer.rows import rows_to_bytes
from node.protocol.outstanding import Place
from node.records import Rows, concat_rows
from node.service.links import Links
from node.service.parts import Parts

MESSAGE_BYTES_MAX = 16 << 20
"""Rows of one message; a fraction of a second on any link, and well below a request's limit."""


@dataclass(slots=True)
class Parcel:
    """Rows for one holder.

    Attributes:
        places: what these rows touch, for `Outstanding`.
        absent: holders without contact: whoever gets a copy owes it to them as well, so that
            they get theirs even when the node that took the rows never returns.
        late: the batch was acknowledged before this copy was confirmed.
        line: of the batch in this node's arrival log.
        arrived: done once it is known whether the holder has the rows on its disk: None, or
            the reason why that is not certain.
    """

    collection: str
    rows: Rows
    places: Sequence[Place]
    absent: Sequence[str]
    size: int
    arrived: asyncio.Future[str | None]
    late: bool = False
    line: int = 0


@dataclass(slots=True)
class _Courier:
    queue: deque[Parcel] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Delivery:
    """The couriers of one node."""

    def __init__(self, parts: Parts, links: Links) -> None:
        self._parts = parts
        self._links = links
        self._couriers: dict[str, _Courier] = {}
        self._room = asyncio.Event()
        self.bytes_queued = 0

    def send(
        self,
        node: str,
        collection: str,
        rows: Rows,
        places: Sequence[Place],
        absent: Sequence[str] = (),
        *,
        line: int,
    ) -> list[Parcel]:
        """Queue rows for a holder, large ones in several parcels."""
        courier = self._couriers.get(node)
        if courier is None:
            courier = self._couriers[node] = _Courier()
            self._parts.tasks.spawn(self._run(node, courier), name=f"courier {node}")
        parcels = []
        for chunk in split_rows(rows, bytes_max=self._message_bytes(node)):
            arrived: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
            parcel = Parcel(collection, chunk, places, absent, chunk.nbytes(), arrived, line=line)
            courier.queue.append(parcel)
            self.bytes_queued += parcel.size
            parcels.append(parcel)
        courier.wake.set()
        return parcels

    async def wait_room(self, *, deadline_ms: int) -> None:
        """Wait while the queues are over their limit: a slow peer slows its writers.

        Raises:
            Overloaded: there is no room before the deadline; nothing was stored.
        """
        most = self._parts.limits.write_queue_bytes_max
        while self.bytes_queued >= most:
            self._room.clear()
            left_ms = deadline_ms - self._parts.clock.now_ms()
            try:
                async with asyncio.timeout(max(left_ms, 0) / 1_000):
                    await self._room.wait()
            except TimeoutError:
                raise Overloaded(
                    f"write_queue_bytes_max={most} bytes wait for other nodes; "
                    "slow down and send the batch again"
                ) from None

    def acknowledge(self, node: str, parcel: Parcel) -> None:
        """The batch is acknowledged while this copy is out: from now on it is owed."""
        parcel.late = True
        self._parts.members.outstanding.acknowledge(node, parcel.places)

    async def _run(self, node: str, courier: _Courier) -> None:
        while True:
            await courier.wake.wait()
            parcels = self._take(courier, bytes_max=self._message_bytes(node))
            if not parcels:
                courier.wake.clear()
                continue
            trouble = await self._deliver(node, parcels)
            self._settle(node, parcels, trouble)

    def _message_bytes(self, node: str) -> int:
        budget = self._links.budget(node)
        return budget.step_bytes if budget.rate else MESSAGE_BYTES_MAX

    def _take(self, courier: _Courier, *, bytes_max: int) -> list[Parcel]:
        """The oldest parcels of one collection that fit into one message."""
        taken: list[Parcel] = []
        size = 0
        while courier.queue:
            parcel = courier.queue[0]
            fits = size + parcel.size <= bytes_max
            if taken and not (
                fits
                and parcel.collection == taken[0].collection
                and parcel.absent == taken[0].absent
            ):
                break
            taken.append(courier.queue.popleft())
            size += parcel.size
        return taken

    async def _deliver(self, node: str, parcels: list[Parcel]) -> str | None:
        """Send them; returns the reason why they may not have arrived."""
        rows = concat_rows([parcel.rows for parcel in parcels])
        budget = self._links.budget(node)
        body, packing = pack(rows_to_bytes(rows), wanted=bool(budget.rate))
        budget.spend(len(body), now_ms=self._parts.clock.now_ms())
        try:
            await self._parts.peers.call(
                self._parts.members.address_of(node),
                "copy",
                {
                    "collection": parcels[0].collection,
                    "absent": list(parcels[0].absent),
                    "lines": [[parcel.line, len(parcel.rows)] for parcel in parcels],
                    "instance": self._parts.members.instance,
                    **packing,
                },
                body,
                deadline_ms=self._parts.clock.now_ms() + self._parts.limits.peer_timeout_ms,
            )
        except NodeError as error:
            self._parts.counters.copies_failed += len(rows)
            return reason_of(error)
        self._parts.counters.copies_sent += len(rows)
        return None

    def _settle(self, node: str, parcels: list[Parcel], trouble: str | None) -> None:
        outstanding = self._parts.members.outstanding
        for parcel in parcels:
            if trouble is not None:
                outstanding.fail(node, parcel.places)
            if parcel.late:
                outstanding.confirm(node, parcel.places)
            if not parcel.arrived.done():
                parcel.arrived.set_result(trouble)
            self.bytes_queued -= parcel.size
        self._room.set()


def split_rows(rows: Rows, *, bytes_max: int = MESSAGE_BYTES_MAX) -> list[Rows]:
    """The rows in pieces of at most about `bytes_max` bytes."""
    pieces = -(-rows.nbytes() // bytes_max)
    if pieces <= 1:
        return [rows]
    count = -(-len(rows) // pieces)
    return [rows.slice(start, start + count) for start in range(0, len(rows), count)]
