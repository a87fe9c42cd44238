"""What is under way in a cluster, as its nodes tell each other: one value for each task.

As plain values a task is a list. Places are append-only and those beyond the last are ignored:

    0 kind (index in `KINDS`), 1 node, 2 target, 3 spans (as in a node's word), 4 phase, 5 reason,
    6 buckets left, 7 records left, 8 bytes left, 9 bytes a second, 10 seconds left or nil,
    11 since (microseconds) or nil, 12 nodes that are waited for
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from node.errors import BadRequest
from node.protocol.word import plain_to_spans, spans_to_plain
from node.query import CoverageState
from zring.ring import Ring
from zring.span import Spans, normalise

TaskKind = Literal["move", "hand-over", "fill", "let-go"]
KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
TASKS_MAX = 20_000
"""Tasks that one node may tell of: one for each other member, and moves besides."""
_TEXT_LENGTH_MAX = 500


@dataclass(frozen=True, slots=True)
class ClusterTask:
    """One thing that is not finished.

    Attributes:
        kind: `move`: `node` hands codes over to their next owner; `hand-over`: `node` compares
            with `target` and sends what it lacks; `fill`: `node` is not filled there yet;
            `let-go`: `node` still has what it does not hold.
        spans: the codes; of a hand-over those in which the target may lack something.
        phase: a word; reason: what it waits for, "" while it goes on.
        buckets_left, records_left, bytes_left: of what is known to differ by now.
        since_us: when the work began; None while it has not.
        waits_for: nodes whose word or work it waits for.
    """

    kind: TaskKind
    node: str
    target: str = ""
    spans: Spans = ()
    phase: str = ""
    reason: str = ""
    buckets_left: int = 0
    records_left: int = 0
    bytes_left: int = 0
    bytes_per_s: int = 0
    eta_s: int | None = None
    since_us: int | None = None
    waits_for: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[int, str, str]:
        """Moves first, then by node and target."""
        return KINDS.index(self.kind), self.node, self.target


@dataclass(frozen=True, slots=True)
class ClusterTasks:
    """Everything that is under way, as far as it could be asked.

    Attributes:
        tasks: in `order`.
        silent: member → why it did not tell.
        state: what an answer over the whole domain would say now.
    """

    tasks: tuple[ClusterTask, ...]
    state: CoverageState
    silent: Mapping[str, str] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Nothing is under way, everybody said so, and every answer would be complete."""
        return not self.tasks and not self.silent and self.state == "complete"


def moves_of_silent(ring: Ring, silent: Mapping[str, str]) -> list[ClusterTask]:
    """Moves that wait for an old owner who cannot be asked, read from the ring."""
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for span in ring.spans:
        if span.next is not None and span.next != span.owner and span.owner in silent:
            spans.setdefault((span.owner, span.next), []).append((span.start, span.stop))
    return [
        ClusterTask(
            "move",
            owner,
            target,
            normalise(pairs),
            phase="waiting",
            reason=f"the old owner {silent[owner]}: bring it back, abort the move or remove it",
            waits_for=(owner,),
        )
        for (owner, target), pairs in sorted(spans.items())
    ]


def tasks_to_plain(tasks: Iterable[ClusterTask]) -> list[list[Any]]:
    """Tasks as values that msgpack packs."""
    return [
        [
            KINDS.index(task.kind),
            task.node,
            task.target,
            spans_to_plain(task.spans),
            task.phase,
            task.reason[:_TEXT_LENGTH_MAX],
            task.buckets_left,
            task.records_left,
            task.bytes_left,
            task.bytes_per_s,
            task.eta_s,
            task.since_us,
            list(task.waits_for),
        ]
        for task in tasks
    ]


def plain_to_tasks(plain: object) -> tuple[ClusterTask, ...]:
    """Undo `tasks_to_plain`.

    Raises:
        BadRequest: a place is absent, of another type, or too large.
    """
    if not isinstance(plain, list | tuple) or len(plain) > TASKS_MAX:
        raise BadRequest("a node's tasks are no list, or too many", field="tasks")
    return tuple(_plain_to_task(places) for places in plain)


def _plain_to_task(places: object) -> ClusterTask:
    if not isinstance(places, list | tuple) or len(places) < 13:
        raise BadRequest("a node's task is no list of 13 places", field="tasks")
    kind = places[0]
    if type(kind) is not int or not 0 <= kind < len(KINDS):
        raise BadRequest(f"task of the unknown kind {str(kind)[:20]}", field="tasks")
    texts = (places[1], places[2], places[4], places[5])
    if not all(isinstance(text, str) and len(text) <= _TEXT_LENGTH_MAX for text in texts):
        raise BadRequest("a task's text is none, or too long", field="tasks")
    counts, moments = places[6:10], places[10:12]
    if not all(type(count) is int and count >= 0 for count in counts) or not all(
        moment is None or (type(moment) is int and moment >= 0) for moment in moments
    ):
        raise BadRequest("a task's count is none", field="tasks")
    names = places[12]
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise BadRequest("a task waits for what is no list of nodes", field="tasks")
    node, target, phase, reason = texts
    buckets_left, records_left, bytes_left, bytes_per_s = counts
    return ClusterTask(
        KINDS[kind],
        node,
        target,
        plain_to_spans(places[3]),
        phase=phase,
        reason=reason,
        buckets_left=buckets_left,
        records_left=records_left,
        bytes_left=bytes_left,
        bytes_per_s=bytes_per_s,
        eta_s=moments[0],
        since_us=moments[1],
        waits_for=tuple(names),
    )
