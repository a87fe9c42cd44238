"""Writing: any node takes any record of the domain, alone if it must.

Each batch is taken first by one node that stores it and from then on owes the other holders
their copies (the *spreader*): this node where it is a holder, else the owner, else a replica,
else this node as keeper. So whoever owes a record also has it, and a crash forgets nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import msgpack
import numpy as np

from node.errors import DeadlineExceeded, NodeError, StoreFull, Unavailable, reason_of
from node.peer.rows import rows_to_bytes
from node.peer.transport import Message
from node.protocol.acknowledge import Tally, merge_replies, spreader
from node.protocol.expiry import kept_from_us
from node.protocol.hlc import next_version
from node.protocol.outstanding import Place, places_of
from node.query import TIME_MIN, WriteLevel, WriteReply
from node.records import Rows, concat_rows
from node.service.arrivals import Arrivals
from node.service.delivery import Delivery, Parcel, split_rows
from node.service.gate import Gate
from node.service.members import META_VERSION, View
from node.service.parts import Parts
from zring.span import contains

_Outcome = tuple[str, Rows, WriteReply | NodeError]
"""Who was to spread which rows, and what came of it."""
_Arrived = Callable[[str, Rows], object]
"""Told of the rows of a collection that are on the disk now."""
OWNER_WAIT_MS = 500
"""A replica that took a batch waits this long for the owner, who answers the next read."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be written."""

    collection: str
    rows: Rows
    w: WriteLevel
    deadline_ms: int

    def part(self, rows: Rows) -> "Batch":
        """The same for some of the rows."""
        return replace(self, rows=rows)


class Writer:
    """Takes batches at the node that was asked, and at the spreader."""

    def __init__(self, parts: Parts, delivery: Delivery, gate: Gate, arrivals: Arrivals) -> None:
        self._parts = parts
        self._arrivals = arrivals
        self._gate = gate
        self._delivery = delivery
        stored = parts.engine.read_meta(META_VERSION)
        self._last_version = 0 if stored is None else int(msgpack.unpackb(stored))

    async def write(self, batch: Batch) -> WriteReply:
        """Route a batch to its spreaders; see `Service.write`."""
        self._parts.counters.writes += 1
        self._parts.counters.served += 1
        if not len(batch.rows):
            return WriteReply(stored=0, copies_wanted=0, copies_durable=0, acknowledged=True)
        return await self._route(batch)

    async def _route(self, batch: Batch) -> WriteReply:
        records = len(batch.rows)
        replies: list[WriteReply] = []
        failed: dict[str, str] = {}
        error: NodeError | None = None
        waiting = batch
        while len(waiting.rows):
            outcomes = await self._round(waiting, frozenset(failed))
            again = []
            for node, rows, outcome in outcomes:
                if isinstance(outcome, WriteReply):
                    replies.append(outcome)
                    continue
                error = outcome
                if node == self._parts.node_id and node in failed:
                    continue  # the last resort has failed as well
                failed[node] = reason_of(outcome)
                again.append(rows)
            if not again:
                break
            waiting = waiting.part(concat_rows(again))
        reply = merge_replies(replies, records=records)
        if not reply.stored:
            self._parts.counters.writes_refused += 1
            raise error or Unavailable("no node could store the batch; send it again")
        if reply.stored < records:
            reply = replace(reply, lacking=dict(sorted((failed | dict(reply.lacking)).items())))
        return reply

    async def write_correction(self, batch: Batch) -> WriteReply:
        """The same with a version above all others (`?replace=true`).

        Raises:
            Unavailable: this node's clock is too far ahead of its peers'.
        """
        parts = self._parts
        version = next_version(
            now_us=parts.clock.now_us(),
            last=self._last_version,
            peers_us=parts.members.health.clocks_us(),
        )
        self._last_version = version
        await parts.engine.write([], meta={META_VERSION: msgpack.packb(version)})
        versions = np.full(len(batch.rows), version, np.int64)
        return await self.write(batch.part(replace(batch.rows, version=versions)))

    async def spread(self, batch: Batch) -> WriteReply:
        """Store a batch here, send the other holders their copies, wait for what `w` asks.

        Raises:
            Overloaded, StoreFull: nothing was stored here.
        """
        await self._delivery.wait_room(deadline_ms=batch.deadline_ms)
        if await self._gate.wait(batch.rows.code, deadline_ms=batch.deadline_ms):
            return await self._route(batch)  # it may be for another node to spread now
        parts = self._parts
        with self._gate.passing(batch.rows.code):
            try:
                stored = await self._store(batch.collection, batch.rows)
            except asyncio.CancelledError:
                # The commit goes on without its caller, and so must what follows from it.
                self._go_on(batch.collection, batch.rows, self._arrivals.own)
                raise
            # Copies go by the ring of now, and after the rows are here: whoever has a copy can
            # then tell that others lack it, whatever becomes of this node.
            line = self._arrivals.own(batch.collection, stored)
            view = parts.members.view()
            sets, by_node = _shares(view, batch.rows, here=parts.node_id)
            tally = Tally(sets, here=parts.node_id, w=batch.w)
            tally.stored(parts.node_id)
            parcels = self._send(batch, by_node, view, tally, line=line)
        await self._wait(tally, parcels, deadline_ms=batch.deadline_ms)
        for node, sent in parcels.items():
            for parcel in sent:
                if not parcel.arrived.done() and parts.rules.owed_before_acknowledged:
                    self._delivery.acknowledge(node, parcel)
        return tally.reply(len(batch.rows))

    async def store_copy(
        self, collection: str, rows: Rows, absent: Sequence[str], message: Message
    ) -> None:
        """Store what another node took; absent holders of the rows are owed it by this one too,
        and every holder is where the process that sent it is gone: nobody else may know of it.

        Raises:
            StoreFull: nothing was stored.
        """
        parts = self._parts
        owed: dict[str, Sequence[Place]] = {}
        if absent:
            _, by_node = _shares(parts.members.view(), rows, here=parts.node_id)
            for node in sorted(set(absent) & set(by_node)):
                owed[node] = places_of(collection, by_node[node])

        def arrived(collection: str, stored: Rows) -> None:
            self._arrivals.copied(collection, rows, stored, message)

        try:
            arrived(collection, await self._store(collection, rows))
        except asyncio.CancelledError:
            self._go_on(collection, rows, arrived)
            raise
        finally:
            for node, places in owed.items():
                parts.members.outstanding.fail(node, places)
        sender, instance = str(message.header.get("from", "")), message.header.get("instance")
        if instance is not None and instance != parts.members.store_at(sender)[1]:
            self._owe(collection, rows)

    def _go_on(self, collection: str, rows: Rows, arrived: _Arrived) -> None:
        """Finish a write whose caller has gone."""

        async def finish() -> None:
            with suppress(NodeError):  # what is on the disk all the same is owed as well
                arrived(collection, await self._store(collection, rows))
            self._owe(collection, rows)

        if self._parts.tasks.running:
            self._parts.tasks.spawn(finish(), name="write without a caller")

    def _owe(self, collection: str, rows: Rows) -> None:
        """Rows that are here are owed to every other holder."""
        _, by_node = _shares(self._parts.members.view(), rows, here=self._parts.node_id)
        for node, share in by_node.items():
            self._parts.members.outstanding.fail(node, places_of(collection, share))

    async def _store(self, collection: str, rows: Rows) -> Rows:
        """Make rows durable and return them; those that have expired count as had."""
        parts = self._parts
        kept_us = kept_from_us(parts.members.ring.settings, collection)
        if kept_us > TIME_MIN and parts.rules.expired_refused:
            kept = rows.time >= kept_us
            parts.counters.records_expired += len(rows) - int(kept.sum())
            rows = rows.where(kept)
        foreign = not contains(parts.members.holding.held, rows.code).all()
        await parts.engine.write([(collection, rows)], foreign=foreign)
        parts.counters.records_stored += len(rows)
        # By the ring in force now: what came for a holder may be a former holder's by then.
        kept = ~contains(parts.members.holding.held, rows.code)
        parts.counters.records_kept += int(kept.sum())
        return rows

    async def _round(self, batch: Batch, failed: frozenset[str]) -> list[_Outcome]:
        """Hand every record to the spreader that comes next."""
        view = self._parts.members.view()
        targets = [
            spreader(
                holders,
                here=self._parts.node_id,
                contact=view.standing.contact,
                failed=failed,
            )
            for holders in view.holders.sets
        ]
        names = sorted(set(targets))
        groups: list[tuple[str, Rows]]
        if len(names) == 1:
            groups = [(names[0], batch.rows)]
        else:
            of_set = np.array([names.index(target) for target in targets])
            at = of_set[view.holders.holders_of(batch.rows.code)]
            groups = [(name, batch.rows.where(at == index)) for index, name in enumerate(names)]
            groups = [(name, rows) for name, rows in groups if len(rows)]
        if len(groups) == 1:
            name, rows = groups[0]
            outcomes = [(name, rows, await self._take(name, batch.part(rows)))]
        else:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._take(name, batch.part(rows))) for name, rows in groups
                ]
            outcomes = [
                (name, rows, task.result())
                for (name, rows), task in zip(groups, tasks, strict=True)
            ]
        return [
            part for outcome in outcomes for part in await self._without_foreign(batch, outcome)
        ]

    async def _without_foreign(self, batch: Batch, outcome: _Outcome) -> list[_Outcome]:
        """Where this node is too full to keep records for others: those that belong here alone."""
        name, rows, error = outcome
        if name != self._parts.node_id or not isinstance(error, StoreFull):
            return [outcome]
        held = contains(self._parts.members.holding.held, rows.code)
        if held.all() or not held.any():
            return [outcome]
        mine, others = rows.where(held), rows.where(~held)
        return [(name, mine, await self._take(name, batch.part(mine))), (name, others, error)]

    async def _take(self, node: str, batch: Batch) -> WriteReply | NodeError:
        try:
            if node == self._parts.node_id:
                return await self.spread(batch)
            replies = [
                await self._store_at(node, batch.part(rows)) for rows in split_rows(batch.rows)
            ]
            return merge_replies(replies, records=len(batch.rows))
        except NodeError as error:
            return error

    async def _store_at(self, node: str, batch: Batch) -> WriteReply:
        parts = self._parts
        left_ms = batch.deadline_ms - parts.clock.now_ms()
        if left_ms <= 0:
            raise DeadlineExceeded("the time given passed before the batch was stored everywhere")
        reply = await parts.peers.call(
            parts.members.address_of(node),
            "store",
            {"collection": batch.collection, "w": batch.w},
            rows_to_bytes(batch.rows),
            deadline_ms=batch.deadline_ms,
            # Half of what is left stays for the next holder in line.
            timeout_ms=min(parts.limits.peer_timeout_ms, max(1, left_ms // 2)),
        )
        return header_to_reply(reply)

    def _send(
        self, batch: Batch, by_node: dict[str, Rows], view: View, tally: Tally, *, line: int
    ) -> dict[str, list[Parcel]]:
        """Send copies to the holders in contact; the absent ones are owed theirs from now on."""
        parcels: dict[str, list[Parcel]] = {}
        absent = tuple(node for node in by_node if node not in view.standing.contact)
        for node, rows in by_node.items():
            places = places_of(batch.collection, rows)
            if node in view.standing.contact:
                parcels[node] = self._delivery.send(
                    node, batch.collection, rows, places, absent, line=line
                )
                tally.sent(node)
            else:
                tally.absent(node)
                self._parts.members.outstanding.fail(node, places)
        return parcels

    async def _wait(
        self, tally: Tally, parcels: dict[str, list[Parcel]], *, deadline_ms: int
    ) -> None:
        clock = self._parts.clock
        while True:
            for node in tally.pending():
                outcomes = [parcel.arrived for parcel in parcels[node]]
                if all(outcome.done() for outcome in outcomes):
                    trouble = next(filter(None, (outcome.result() for outcome in outcomes)), None)
                    if trouble is None:
                        tally.stored(node)
                    else:
                        tally.failed(node, trouble)
            if tally.settled():
                return
            if tally.enough():
                deadline_ms = min(deadline_ms, clock.now_ms() + OWNER_WAIT_MS)
            left_ms = deadline_ms - clock.now_ms()
            if left_ms <= 0:
                return
            out = [
                parcel.arrived
                for node in tally.pending()
                for parcel in parcels[node]
                if not parcel.arrived.done()
            ]
            await asyncio.wait(out, timeout=left_ms / 1_000, return_when=asyncio.FIRST_COMPLETED)


def reply_to_header(reply: WriteReply) -> dict[str, object]:
    """A spreader's answer as plain values."""
    return {
        "stored": reply.stored,
        "wanted": reply.copies_wanted,
        "durable": reply.copies_durable,
        "acknowledged": reply.acknowledged,
        "lacking": dict(reply.lacking),
    }


def header_to_reply(message: Message) -> WriteReply:
    """Undo `reply_to_header`."""
    header = message.header
    return WriteReply(
        stored=int(header["stored"]),
        copies_wanted=int(header["wanted"]),
        copies_durable=int(header["durable"]),
        acknowledged=bool(header["acknowledged"]),
        lacking={str(node): str(reason) for node, reason in header.get("lacking", {}).items()},
    )


def _shares(view: View, rows: Rows, *, here: str) -> tuple[list[tuple[str, ...]], dict[str, Rows]]:
    """The holder sets that occur, and for each other holder (sorted) its rows."""
    holders = view.holders
    chosen = holders.holders_of(rows.code)
    used = np.flatnonzero(np.bincount(chosen, minlength=len(holders.sets))).tolist()
    sets = [holders.sets[index] for index in used]
    nodes = sorted({node for set_ in sets for node in set_} - {here})
    by_node: dict[str, Rows] = {}
    for node in nodes:
        if all(node in set_ for set_ in sets):
            by_node[node] = rows
        else:
            has = np.array([node in set_ for set_ in holders.sets])
            by_node[node] = rows.where(has[chosen])
    return sets, by_node
