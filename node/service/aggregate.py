"""Statistics per cell and time step: readers send groups, not rows.

Where keepers are read as well, groups of two readers could count a record twice; then the rows
themselves are joined here and grouped afterwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from node.errors import BadRequest, TooLarge
from node.peer.rows import batch_to_bytes, bytes_to_batch
from node.query import AggregateAnswer, AggregateQuery, Query, ReaderReport
from node.records import FIXED_NAMES, empty_rows
from node.service.groups import join_partials, partial_to_table, rows_to_partial
from node.service.parts import Parts
from node.service.read import Run, deadline_of, share_to_header
from node.service.reading import Reading
from node.service.scatter import Ask, Scatter
from node.service.selection import project, query_to_header, select
from zring.morton import AXIS_BITS


@dataclass(frozen=True, slots=True)
class Partial:
    """Groups of one reader and what they cost."""

    batch: pa.RecordBatch
    report: ReaderReport


class Aggregator:
    """Answers aggregate queries."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def aggregate(self, wanted: AggregateQuery) -> AggregateAnswer:
        """See `Service.aggregate`."""
        check_aggregate(wanted)
        parts = self._parts
        query = replace(wanted.query, limit=None, after=None)
        deadline_ms = deadline_of(parts, query)
        scatter = Scatter(parts, parts.members.view(), query, deadline_ms=deadline_ms)
        partials: list[Partial] = []

        async def ask(share: Ask) -> Partial:
            return await self._ask(wanted, share, deadline_ms=deadline_ms)

        changed = True
        while changed and not scatter.overlapping:
            partials = [answer.result for answer in await scatter.gather(scatter.asks(), ask)]
            changed = scatter.renew()
        if scatter.overlapping:
            partials = await self._from_rows(wanted, Run(parts, scatter, query))
        batch = join_partials([partial.batch for partial in partials] or [_no_groups(wanted)])
        most = wanted.query.limit
        if most is not None and len(batch) > most:
            raise TooLarge(
                f"the answer has {len(batch)} groups, more than limit={most}; "
                "take larger cells, longer steps or a smaller area"
            )
        table = partial_to_table(batch, level=wanted.level, step_us=wanted.step_us)
        reports = tuple(partial.report for partial in partials)
        return AggregateAnswer(table, scatter.coverage(), reports)

    async def partial(self, wanted: AggregateQuery, *, deadline_ms: int) -> Partial:
        """Groups of what this node reads for a query (its `spans` are this node's share)."""
        query = wanted.query
        selection = select(query, query.spans, columns=columns_to_read(query), grouped=True)
        reading = Reading(self._parts, query, selection, deadline_ms=deadline_ms)
        batches: list[pa.RecordBatch] = []
        count = 0
        async for rows in reading.pages():
            batches.append(
                rows_to_partial(
                    project(rows, query),
                    level=wanted.level,
                    step_us=wanted.step_us,
                    names=query.columns,
                )
            )
            count += len(rows)
        return Partial(join_partials(batches), reading.report(count))

    async def _ask(self, wanted: AggregateQuery, share: Ask, *, deadline_ms: int) -> Partial:
        parts, query = self._parts, wanted.query
        if share.node == parts.node_id:
            mine = replace(query, spans=share.spans_asked(query))
            return await self.partial(replace(wanted, query=mine), deadline_ms=deadline_ms)
        reply = await parts.peers.call(
            parts.members.address_of(share.node),
            "aggregate",
            {
                **query_to_header(query),
                **share_to_header(share, query),
                "level": wanted.level,
                "step_us": wanted.step_us,
            },
            deadline_ms=deadline_ms,
        )
        share.check_store(reply.header)
        return Partial(bytes_to_batch(reply.body), header_to_report(share, reply.header))

    async def _from_rows(self, wanted: AggregateQuery, run: Run) -> list[Partial]:
        batches = []
        run.query = replace(run.query, columns=columns_to_read(run.query))
        async for rows, _ in run.rounds():
            batches.append(
                rows_to_partial(
                    project(rows, wanted.query),
                    level=wanted.level,
                    step_us=wanted.step_us,
                    names=wanted.query.columns,
                )
            )
        here = ReaderReport(self._parts.node_id, 0, 0, 0, 0, 0)
        return [Partial(join_partials(batches), run.reports[-1] if run.reports else here)]


def partial_to_message(partial: Partial) -> tuple[dict[str, Any], memoryview]:
    """Header and body of a reader's answer."""
    report = partial.report
    header = {
        "rows": report.rows,
        "rows_read": report.rows_read,
        "blocks_read": report.blocks_read,
        "elapsed_us": report.elapsed_us,
    }
    return header, batch_to_bytes(partial.batch)


def header_to_report(share: Ask, header: Mapping[str, Any]) -> ReaderReport:
    """What a reader says of its work."""
    return ReaderReport(
        share.node,
        len(share.spans),
        int(header["rows"]),
        int(header["rows_read"]),
        int(header["blocks_read"]),
        int(header["elapsed_us"]),
    )


def columns_to_read(query: Query) -> tuple[str, ...] | None:
    """Value names that grouping needs: those asked for and those of the filter."""
    names = select(query, None).scan.columns
    return None if names is None else tuple(name for name in names if name not in FIXED_NAMES)


def check_aggregate(wanted: AggregateQuery) -> None:
    """Refuse levels and steps that mean nothing.

    Raises:
        BadRequest: names the field and its range.
    """
    for name, number in (("level", wanted.level), ("step", wanted.step_us)):
        if number is not None and type(number) is not int:
            raise BadRequest(f"{name}={number!r} is no whole number", field=name)
    if wanted.level is not None and not 0 <= wanted.level <= AXIS_BITS:
        raise BadRequest(f"level={wanted.level} is not between 0 and {AXIS_BITS}", field="level")
    if wanted.step_us is not None and wanted.step_us < 1:
        raise BadRequest(f"step of {wanted.step_us} µs is not above 0", field="step")


def _no_groups(wanted: AggregateQuery) -> pa.RecordBatch:
    return rows_to_partial(
        empty_rows(), level=wanted.level, step_us=wanted.step_us, names=wanted.query.columns
    )
