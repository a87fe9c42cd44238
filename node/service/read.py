"""Range queries: who reads, what comes back, joined in key order and cut to a page.

When this node reads everything itself, nothing but the engine stands between the question and
the answer. Otherwise readers are asked at the same time, each for one page; the pages are
joined up to the smallest key that all have reached. Where keepers are read as well, deletions
come along, the newest version of each record is chosen here, and only then is it filtered
(PROTOCOL 6.1).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from node.errors import BadRequest, CoverageTooLow, TooLarge
from node.peer.rows import bytes_to_rows
from node.protocol.coverage import is_worse
from node.protocol.paging import join_pages, limit_page, rows_up_to
from node.protocol.routing import Route
from node.query import Answer, Coverage, Query, ReaderReport
from node.records import Key, Rows, concat_rows, empty_rows
from node.service.local import Page, read_page
from node.service.members import View
from node.service.parts import Parts
from node.service.scatter import Answered, Ask, Scatter, check_coverage, plan_route
from node.service.selection import project, query_to_header, select

PAGE_BYTES_MAX = 32 << 20
"""One reader's page: large enough to hide a round trip, small enough to hold a few of them."""
_NO_DETOUR = Route(readers=())
_NO_ROWS = empty_rows()
TIMEOUT_FACTOR_MAX = 10
"""A query may ask for this many times the default deadline."""


class Reader:
    """Answers range queries at the node that was asked."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def read(self, query: Query) -> Answer:
        """One page, or everything when the query has no limit. See `Service.read`."""
        deadline_ms = deadline_of(self._parts, query)
        members, here = self._parts.members, self._parts.node_id
        while True:
            view = members.view()
            if view.readers.only_reader == here and not view.away:
                route = _NO_DETOUR
            else:
                route = plan_route(view.ring.domain, view.readers, query, here=here)
                readers = [node for node, _ in route.readers]
                if route.missing or route.keepers or readers != [here]:
                    return await self._read_there(query, view, route, deadline_ms)
            answer = await self._read_here(query, route, deadline_ms)
            if members.ring is view.ring:
                return answer
            # Another ring came into force: this node may have let go of what it was to read.

    async def _read_there(self, query: Query, view: View, route: Route, deadline_ms: int) -> Answer:
        """Several readers, or one that is not here."""
        parts: list[Rows] = []
        count = 0
        scatter = Scatter(self._parts, view, query, deadline_ms=deadline_ms, route=route)
        run = Run(self._parts, scatter, query)
        end: Key | None = None
        async for rows, resume in run.rounds():
            end = resume
            parts.append(rows)
            count += len(rows)
            if query.limit is not None and count >= query.limit:
                break
            self._check_size(count)
        rows, resume = limit_page(concat_rows(parts), end, query.limit)
        return Answer(project(rows, query), run.scatter.coverage(), resume, tuple(run.reports))

    async def stream(self, query: Query) -> AsyncIterator[Answer]:
        """Everything in bounded parts. See `Service.stream`."""
        scatter = Scatter(
            self._parts,
            self._parts.members.view(),
            query,
            deadline_ms=deadline_of(self._parts, query),
        )
        run = Run(self._parts, scatter, query)
        first: Coverage | None = None
        count = 0
        async for rows, resume in run.rounds():
            coverage = run.scatter.coverage()
            first = first or coverage
            if self._parts.rules.worse_streams_aborted and is_worse(coverage, first):
                raise CoverageTooLow(
                    f"the answer became {coverage.state} (away: {', '.join(coverage.away)}) after "
                    f"it had begun as {first.state} (away: {', '.join(first.away)}); ask again"
                )
            count += len(rows)
            self._check_size(count)
            yield Answer(project(rows, query), coverage, resume, tuple(run.reports))

    async def _read_here(self, query: Query, route: Route, deadline_ms: int) -> Answer:
        """This node is the reader of every code in the area, so its box needs no spans."""
        parts = self._parts
        coverage = parts.members.coverage(parts.members.view(), route)
        if query.require is not None:
            check_coverage(coverage, query.require)
        started_us = parts.clock.now_us()
        page = await read_page(
            parts,
            select(query, query.spans),
            after=query.after,
            limit=query.limit,
            bytes_max=None,
            deadline_ms=deadline_ms,
        )
        if query.limit is None:
            self._check_size(len(page.rows))
        parts.counters.rows_read += page.rows_read
        elapsed_us = parts.clock.now_us() - started_us
        report = ReaderReport(
            parts.node_id, 1, len(page.rows), page.rows_read, page.blocks_read, elapsed_us
        )
        return Answer(project(page.rows, query), coverage, page.resume, (report,))

    def _check_size(self, rows: int) -> None:
        most = self._parts.limits.response_rows_max
        if rows > most:
            raise TooLarge(
                f"the answer has more than response_rows_max={most} rows; "
                "ask for a smaller area or time, or give a limit and follow the pages"
            )


@dataclass(slots=True)
class _Source:
    """One reader during a query: its rows that could not be given out yet, and where it stands."""

    ask: Ask
    rows: Rows
    resume: Key | None
    begun: bool = False

    @property
    def is_dry(self) -> bool:
        """Whether it must be asked again before more can be given out."""
        return not self.begun or (self.resume is not None and not len(self.rows))


@dataclass(slots=True)
class Run:
    """The rounds of a query that has several readers."""

    parts: Parts
    scatter: Scatter
    query: Query
    reports: list[ReaderReport] = field(default_factory=list)

    async def rounds(self) -> AsyncIterator[tuple[Rows, Key | None]]:
        """Rows that are certain, in key order, and the key after which the next ones follow."""
        after = self.query.after
        sources = [_Source(ask, _NO_ROWS, None) for ask in self.scatter.asks()]
        if not sources:
            yield _NO_ROWS, None
            return
        while True:
            dry = [source.ask for source in sources if source.is_dry]
            overlapping = self.scatter.overlapping
            answered = await self.scatter.gather(dry, self._asker(after))
            if self.scatter.renew() or (self.scatter.overlapping and not overlapping):
                # The ring changed, so that others may have to read; or keepers joined in on the
                # way, and what was filtered or read without deletions cannot be compared with
                # them. Either way this round is read again.
                sources = [_Source(ask, _NO_ROWS, None) for ask in self.scatter.asks()]
                continue
            sources = [source for source in sources if not source.is_dry]
            sources += [self._source(answer) for answer in answered]
            rows, cut = join_pages(
                [(source.rows, source.resume) for source in sources],
                overlapping=self.scatter.overlapping,
            )
            if self._newest_first:
                rows = rows.where(~rows.deleted)
                rows = select(self.query, None).wanted(rows)
            for source in sources:
                source.rows = (
                    _NO_ROWS
                    if cut is None
                    else source.rows.slice(rows_up_to(source.rows, cut), len(source.rows))
                )
            yield rows, cut
            if cut is None:
                return
            after = cut

    @property
    def _newest_first(self) -> bool:
        """Whether the newest version is to be chosen here, before filtering."""
        return self.scatter.overlapping and self.parts.rules.newest_before_filter

    def _source(self, answer: Answered[Page]) -> _Source:
        page = answer.result
        self.parts.counters.rows_read += page.rows_read
        self.reports.append(report_of(answer))
        return _Source(answer.ask, page.rows, page.resume, begun=True)

    def _asker(self, after: Key | None) -> Callable[[Ask], Awaitable[Page]]:
        async def ask(share: Ask) -> Page:
            return await ask_page(
                self.parts,
                self.query,
                share,
                after=after,
                deletions=self._newest_first,
                deadline_ms=self.scatter.deadline_ms,
            )

        return ask


def report_of(answer: Answered[Page]) -> ReaderReport:
    """What `explain` shows of one reader's page."""
    page = answer.result
    return ReaderReport(
        answer.ask.node,
        len(answer.ask.spans),
        len(page.rows),
        page.rows_read,
        page.blocks_read,
        page.elapsed_us,
    )


async def ask_page(
    parts: Parts,
    query: Query,
    share: Ask,
    *,
    after: Key | None,
    deletions: bool,
    deadline_ms: int,
) -> Page:
    """One page of one reader, here or there."""
    started_us = parts.clock.now_us()
    if share.node == parts.node_id:
        page = await read_page(
            parts,
            select(query, share.spans_asked(query), deletions=deletions),
            after=after,
            limit=query.limit,
            bytes_max=PAGE_BYTES_MAX,
            deadline_ms=deadline_ms,
        )
    else:
        reply = await parts.peers.call(
            parts.members.address_of(share.node),
            "scan",
            {
                **query_to_header(query),
                **share_to_header(share, query),
                "after": None if after is None else list(after),
                "limit": query.limit,
                "deletions": deletions,
            },
            deadline_ms=deadline_ms,
        )
        share.check_store(reply.header)
        page = header_to_page(reply.header, bytes_to_rows(reply.body))
    elapsed_us = parts.clock.now_us() - started_us
    return Page(page.rows, page.resume, page.rows_read, page.blocks_read, elapsed_us)


def share_to_header(share: Ask, query: Query) -> dict[str, Any]:
    """The spans that a reader is asked to keep to, as plain values, and those of which it must
    have all that there is: of what it reads as a keeper it may have anything."""
    spans = share.spans_asked(query)
    return {
        "spans": None if spans is None else [list(span) for span in spans],
        "relied_on": [] if share.keeper else [list(span) for span in share.spans],
    }


def page_to_header(page: Page) -> dict[str, Any]:
    """What a reader says beside its rows."""
    return {
        "resume": None if page.resume is None else list(page.resume),
        "rows_read": page.rows_read,
        "blocks_read": page.blocks_read,
    }


def header_to_page(header: Mapping[str, Any], rows: Rows) -> Page:
    """Undo `page_to_header`."""
    resume = header["resume"]
    return Page(
        rows,
        None if resume is None else Key(*resume),
        int(header["rows_read"]),
        int(header["blocks_read"]),
    )


def deadline_of(parts: Parts, query: Query) -> int:
    """The deadline of a query on the node's monotonic clock, in milliseconds.

    Raises:
        BadRequest: it asks for no time or for too much.
    """
    most = TIMEOUT_FACTOR_MAX * parts.limits.query_timeout_ms
    if not 1 <= query.timeout_ms <= most:
        raise BadRequest(
            f"timeout_ms={query.timeout_ms} is not between 1 and {most}", field="timeout_ms"
        )
    if query.limit is not None and query.limit < 1:
        raise BadRequest(f"limit={query.limit} is below 1", field="limit")
    return parts.clock.now_ms() + query.timeout_ms
