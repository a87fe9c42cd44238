"""What is under way: this node's own part of it, and everybody's put together."""

import asyncio
from collections.abc import Mapping

from node.errors import NodeError
from node.protocol.cluster_tasks import (
    ClusterTask,
    ClusterTasks,
    TaskKind,
    moves_of_silent,
    plain_to_tasks,
    tasks_to_plain,
)
from node.protocol.flip import moves_from
from node.service.filled import Filling
from node.service.flip import Flipping
from node.service.mover.mover import Mover
from node.service.mover.progress import PeerProgress, Progress
from node.service.parts import Parts
from zring.span import EVERYTHING, Spans, intersect, subtract

TIMEOUT_MS = 2_000
"""A node that does not answer by then is listed as silent: people look at this page."""
_NOT_BEGUN = Progress(phase="waiting", reason="not begun yet").frozen()


class TaskBoard:
    """Gathers what is under way."""

    def __init__(self, parts: Parts, *, mover: Mover, filling: Filling, flipping: Flipping) -> None:
        self._parts = parts
        self._mover = mover
        self._filling = filling
        self._flipping = flipping

    def own(self) -> tuple[ClusterTask, ...]:
        """What this node has under way."""
        statistics = self._mover.statistics()
        tasks = [
            *self._moves(statistics.peers),
            *self._hand_overs(statistics.peers),
            *self._fills(),
        ]
        if statistics.letting_go:
            here = self._parts.node_id
            reason = statistics.letting_go
            tasks.append(ClusterTask("let-go", here, phase="waiting", reason=reason))
        return tuple(tasks)

    async def all(self) -> ClusterTasks:
        """What every node in contact has under way; moves of the others are read in the ring."""
        members, here = self._parts.members, self._parts.node_id
        view = members.view()
        names = sorted(view.standing.contact - {here})
        told = await asyncio.gather(*(self._ask(name) for name in names))
        silent = dict.fromkeys(view.away, "is away")
        tasks = list(self.own())
        for name, answer in zip(names, told, strict=True):
            if isinstance(answer, str):
                silent[name] = f"does not answer ({answer})"
            else:
                tasks.extend(answer)
        tasks += moves_of_silent(members.ring, silent)
        view = members.view()
        state = members.coverage(view, view.readers.route_spans(EVERYTHING)).state
        return ClusterTasks(
            tuple(sorted(tasks, key=lambda task: task.order)), state, dict(sorted(silent.items()))
        )

    def answer(self) -> dict[str, object]:
        """This node's part, for another node."""
        return {"tasks": tasks_to_plain(self.own())}

    async def _ask(self, node: str) -> tuple[ClusterTask, ...] | str:
        parts = self._parts
        try:
            reply = await parts.peers.call(
                parts.members.address_of(node),
                "tasks",
                {},
                deadline_ms=parts.clock.now_ms() + TIMEOUT_MS,
                timeout_ms=TIMEOUT_MS,
            )
            return plain_to_tasks(reply.header.get("tasks"))
        except NodeError as error:
            return str(error)

    def _moves(self, peers: Mapping[str, PeerProgress]) -> list[ClusterTask]:
        parts = self._parts
        turns = self._flipping.turns()
        tasks: list[ClusterTask] = []
        for target, spans in moves_from(
            parts.members.ring, parts.node_id, rules=parts.rules
        ).items():
            turn = turns.get(target)
            reason = turn.reason or "" if turn is not None else ""
            filled = not subtract(spans, parts.members.filled_of(target))
            phase = ("handing over" if not reason else "waiting") if filled else "filling"
            tasks.append(
                self._task("move", target, spans, peers.get(target), phase=phase, reason=reason)
            )
        return tasks

    def _hand_overs(self, peers: Mapping[str, PeerProgress]) -> list[ClusterTask]:
        """Where a job runs or is to run; copies on their way are no task, they are traffic."""
        outstanding = self._parts.members.outstanding
        due = outstanding.holders()
        names = {*due, *(name for name, progress in peers.items() if progress.phase != "idle")}
        tasks: list[ClusterTask] = []
        for name in sorted(names):
            progress = peers.get(name)
            if progress is None or progress.phase == "idle":
                progress = _NOT_BEGUN
            spans = outstanding.owed(name)
            tasks.append(
                self._task(
                    "hand-over",
                    name,
                    spans,
                    progress,
                    phase=progress.phase,
                    reason=progress.reason,
                )
            )
        return tasks

    def _fills(self) -> list[ClusterTask]:
        members, here = self._parts.members, self._parts.node_id
        wanted = subtract(members.holding.held, members.filled_of(here))
        if not wanted:
            return []
        waits_for = tuple(self._filling.waits_for())
        view = members.view()
        if waits_for:
            reason = f"{', '.join(waits_for)} must have compared everything with it"
        elif any(
            intersect(spans, wanted) for node, spans in view.standing.filled.items() if node != here
        ):
            reason = "what is missing is being made durable"
        else:
            reason = "nobody in contact is filled there: bring one back, or accept the loss"
        return [
            ClusterTask(
                "fill", here, spans=wanted, phase="waiting", reason=reason, waits_for=waits_for
            )
        ]

    def _task(
        self,
        kind: TaskKind,
        target: str,
        spans: Spans,
        progress: PeerProgress | None,
        *,
        phase: str,
        reason: str,
    ) -> ClusterTask:
        work = progress or _NOT_BEGUN
        return ClusterTask(
            kind,
            self._parts.node_id,
            target,
            spans,
            phase=phase,
            reason=reason,
            buckets_left=work.buckets_left,
            records_left=work.records_left,
            bytes_left=work.bytes_left,
            bytes_per_s=work.bytes_per_s,
            eta_s=work.eta_s,
            since_us=work.started_us,
        )
