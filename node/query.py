"""What is asked of a cluster and what it answers: values, shared by service, doors and client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from node.records import Key, Rows
from zring.area import Area

TIME_MIN = -(1 << 62)
TIME_MAX = 1 << 62
ROWS_PER_PAGE_MAX = 100_000
"""Rows of one page: some 10 MB of Arrow, 25 MB of GeoJSON; more comes through cursors."""

CoverageState = Literal["complete", "local", "settling", "partial"]
COVERAGE_ORDER: tuple[CoverageState, ...] = ("complete", "local", "settling", "partial")
"""From best to worst; an answer's state is the worst of its parts."""
ReaderChoice = Literal["owner", "asked"]
"""Who reads: the owner of each code, or the node that was asked wherever it has the same."""
WriteLevel = Literal["one", "quorum", "all"]


@dataclass(frozen=True, slots=True)
class Query:
    """A question about one collection.

    Attributes:
        area: box, circle or polygon (`zring.area`); None is the whole domain.
        time_start, time_stop: half-open, microseconds since the epoch.
        sensors: names; None is all.
        filter: CQL2 as JSON over values and `sensor`, `time`, `lon`, `lat`; None is all.
        columns: value names to return; None is all that was measured.
        metadata: with what is known beside it (`node.metadata`), where `columns` is None.
        limit: rows of this page; None is everything, in one answer or stream.
        after: the key of the last row already seen.
        spans: only codes in these half-open intervals (parallel readers); None is all.
        reader: whether owners read, or the node that is asked as far as it is in step.
        timeout_ms: after this the caller has no more use for the answer.
        require: the worst coverage that is acceptable; None accepts all.
    """

    collection: str
    area: Area | None = None
    time_start: int = TIME_MIN
    time_stop: int = TIME_MAX
    sensors: frozenset[str] | None = None
    filter: Mapping[str, Any] | None = None
    columns: tuple[str, ...] | None = None
    limit: int | None = None
    after: Key | None = None
    spans: tuple[tuple[int, int], ...] | None = None
    reader: ReaderChoice = "owner"
    timeout_ms: int = 30_000
    require: CoverageState | None = None
    metadata: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """How complete an answer is (PROTOCOL 6).

    Attributes:
        as_of: microseconds; the answer reflects everything acknowledged before.
        away: node id → since when (microseconds) there has been no contact.
        replicas: node id → spans that a replica answered for because this owner is away, or not
            filled.
        replicas_as_of: the same owners → microseconds: the replica has everything that this
            owner acknowledged before; None where nobody knows.
        alone_since: microseconds; since when the node that answers has had no contact with any
            other. None while it has, and for a cluster of one.
        settling, missing: sorted spans of codes still being handed back, or without any holder.
    """

    state: CoverageState
    as_of: int
    away: Mapping[str, int] = field(default_factory=dict)
    replicas: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)
    settling: Sequence[tuple[int, int]] = ()
    missing: Sequence[tuple[int, int]] = ()
    replicas_as_of: Mapping[str, int | None] = field(default_factory=dict)
    alone_since: int | None = None


@dataclass(frozen=True, slots=True)
class ReaderReport:
    """One reader's share of an answer, for `explain` and metrics."""

    node: str
    spans: int
    rows: int
    rows_read: int
    blocks_read: int
    elapsed_us: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows in key order and what can be said of them.

    `resume` is the key to continue after, None when there is nothing more. `distances_m` is
    float64[n], metres to the position asked for, in answers of `nearest` only.
    """

    rows: Rows
    coverage: Coverage
    resume: Key | None
    readers: Sequence[ReaderReport] = ()
    distances_m: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class AggregateQuery:
    """Statistics of a query's rows per cell and per time step.

    Attributes:
        query: which rows; its `columns` are the values to aggregate (None: all numbers), its
            `limit` bounds the groups.
        level: cells of this level of the domain; None is one group for the whole area.
        step_us: width of a time step, counted from the epoch; None is one step.
    """

    query: Query
    level: int | None = None
    step_us: int | None = None


@dataclass(frozen=True, slots=True)
class AggregateAnswer:
    """Groups as an Arrow table: cell int64 (null without level), time timestamp (null without
    step), count int64 (records), then for each value `<name>_count`, `_mean`, `_min`, `_max`,
    `_sum`; sorted by cell and time."""

    table: Any
    coverage: Coverage
    readers: Sequence[ReaderReport] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """One record that was not taken: its index in the request, the reason in words, the field."""

    index: int
    reason: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class WriteReply:
    """What became of a batch.

    Attributes:
        stored: records durable on at least one node.
        copies_wanted: holders of the records (the smallest number over the batch).
        copies_durable: disks that had each record when the reply was made (the smallest number).
        acknowledged: every record is on as many disks as `w` asked for.
        lacking: nodes that should have had records and are not known to, in their order, each with
            the `reason` of the error that says why (`node.errors`); not those whose copies are
            merely under way behind an acknowledged batch.
    """

    stored: int
    copies_wanted: int
    copies_durable: int
    acknowledged: bool
    lacking: Mapping[str, str] = field(default_factory=dict)
