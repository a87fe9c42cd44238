"""Asking several readers at once, going on with others where one fails or is slow.

One `Scatter` lives as long as one query. It knows which members failed so far, so that every
further round leaves them out, and what that costs the answer's coverage.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from node.errors import (
    CoverageTooLow,
    DeadlineExceeded,
    NodeError,
    NotHeld,
    Overloaded,
    PeerRefused,
    PeerUnreachable,
    StoreDamaged,
    StoreFull,
    Unauthorised,
)
from node.protocol.coverage import is_acceptable
from node.protocol.routing import ReaderMap, Route, in_step_readers
from node.protocol.word import NO_STORE, StoreAt, store_of_reply
from node.query import Coverage, CoverageState, Query
from node.service.members import View
from node.service.parts import Parts
from zring.cover import cover
from zring.domain import Domain
from zring.errors import OutsideDomain
from zring.span import EVERYTHING, Spans, intersect, union

HEDGE_DELAY_MS = 250
"""A reader that needs longer than nearly every answer takes is asked again elsewhere."""
COVER_SPANS_MAX = 32
"""Spans of a cover that only decides who is asked; readers test positions exactly."""
_FAILURES = (
    PeerUnreachable,
    PeerRefused,
    NotHeld,
    Overloaded,
    Unauthorised,
    StoreDamaged,
    StoreFull,  # it cannot store the ring by which it is asked
)
"""Errors of the member that was asked; everything else is the query's own."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """One reader's share.

    Attributes:
        keeper: it is read besides the reader of these spans, because it owes that one records.
        whole: the node reads all that the query asks for, so the area is limit enough.
        store: the one that the route was laid for.
    """

    node: str
    spans: Spans
    keeper: bool = False
    whole: bool = False
    store: StoreAt = NO_STORE

    def check_store(self, header: Mapping[str, Any]) -> None:
        """Refuse what comes from another store or process than the route was laid for.

        Raises:
            PeerUnreachable: the node started again, perhaps with an older image of its store.
        """
        if self.store not in (NO_STORE, store_of_reply(header)):
            raise PeerUnreachable(f"{self.node} started again meanwhile; others are asked")

    def spans_asked(self, query: Query) -> Spans | None:
        """The spans that the reader must keep to; None is no limit."""
        return query.spans if self.whole else self.spans


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """A share and what came back."""

    ask: Ask
    result: T


_Outcome = list[Answered[T]] | NodeError


def plan_route(domain: Domain, readers: ReaderMap, query: Query, *, here: str) -> Route:
    """Who reads what for a query; no readers where its area lies outside the domain.

    Args:
        here: this node, which reads what it can where the query asks for that.
    """
    route = _owners_route(domain, readers, query)
    return route if query.reader == "owner" else readers.read_by(here, route)


def _owners_route(domain: Domain, readers: ReaderMap, query: Query) -> Route:
    area, spans = query.area, query.spans
    if area is None:
        return readers.route_spans(EVERYTHING if spans is None else spans)
    west, south, east, north = area.bounds
    if west > domain.east or east < domain.west or south > domain.north or north < domain.south:
        return Route(readers=())
    if readers.exact:
        return readers.route_box((west, south, east, north), spans)
    try:
        covered = cover(domain, area, spans_max=COVER_SPANS_MAX)
    except OutsideDomain:
        return Route(readers=())
    return readers.route_spans(covered if spans is None else intersect(covered, spans))


class Scatter:
    """The rounds of one query.

    Args:
        deadline_ms: on the node's monotonic clock.
        route: where it was laid already.
    """

    def __init__(
        self,
        parts: Parts,
        view: View,
        query: Query,
        *,
        deadline_ms: int,
        route: Route | None = None,
    ) -> None:
        self._parts = parts
        self._view = view
        self._query = query
        self._failed: frozenset[str] = frozenset()
        self.deadline_ms = deadline_ms
        # Words that arrive while readers are at work say nothing about what these have read.
        self._as_of_us = parts.members.as_of_us()
        self.route = route or plan_route(view.ring.domain, view.readers, query, here=parts.node_id)
        # Once true it stays: what two readers returned stays doubled after one of them fails.
        self.overlapping = bool(self.route.keepers)
        """Whether several readers may have returned the same record."""
        self._check()

    def renew(self) -> bool:
        """Lay the route anew where another ring came into force; returns whether that was so.

        What was read under the former ring since the last page must then be read again: former
        holders no longer receive writes, and may let go of what they have.

        Raises:
            DeadlineExceeded, CoverageTooLow.
        """
        members = self._parts.members
        if members.ring is self._view.ring:
            return False
        if self._parts.clock.now_ms() >= self.deadline_ms:
            raise DeadlineExceeded("the time given passed while the ring changed; ask again")
        self._view = members.view()
        self._as_of_us = min(self._as_of_us, members.as_of_us())
        readers = self._view.readers_without(self._failed)
        self.route = plan_route(
            self._view.ring.domain, readers, self._query, here=self._parts.node_id
        )
        self.overlapping = self.overlapping or bool(self.route.keepers)
        self._check()
        return True

    def asks(self) -> list[Ask]:
        """The shares of the route, in a fixed order."""
        asks = _asks(self.route, self._view.stores)
        if len(asks) == 1 and not self.route.missing:
            return [replace(asks[0], whole=True)]
        return asks

    def coverage(self) -> Coverage:
        """What can be said of the answer as things stand."""
        return self._parts.members.coverage(
            self._view, self.route, as_of_us=self._as_of_us, failed=self._failed
        )

    async def gather(
        self, asks: Sequence[Ask], ask: Callable[[Ask], Awaitable[T]]
    ) -> list[Answered[T]]:
        """Ask all at once; what a member fails to answer is asked of those in its place.

        Raises:
            DeadlineExceeded, CoverageTooLow, and errors that are the query's own fault.
        """
        answered: list[Answered[T]] = []
        waiting = list(asks)
        while waiting:
            outcomes = await self._round(waiting, ask)
            failed: list[tuple[Ask, NodeError]] = []
            for share, outcome in outcomes:
                if not isinstance(outcome, NodeError):
                    answered.extend(outcome)
                elif isinstance(outcome, _FAILURES) and share.node != self._parts.node_id:
                    failed.append((share, outcome))
                else:
                    raise outcome
            waiting = self._instead_of(failed) if failed else []
        return answered

    async def _round(
        self, asks: Sequence[Ask], ask: Callable[[Ask], Awaitable[T]]
    ) -> list[tuple[Ask, _Outcome[T]]]:
        here = [share for share in asks if share.node == self._parts.node_id]
        there = [share for share in asks if share.node != self._parts.node_id]
        if not there:
            return [(share, await _quiet(share, ask)) for share in here]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._hedged(share, ask)) for share in there]
            # Requests go out before this node begins to read for itself.
            await asyncio.sleep(0)
            local = [(share, await _quiet(share, ask)) for share in here]
        return local + [(share, task.result()) for share, task in zip(there, tasks, strict=True)]

    async def _hedged(self, share: Ask, ask: Callable[[Ask], Awaitable[T]]) -> _Outcome[T]:
        """A member's answer, or that of others in its place when it is slow."""
        async with asyncio.TaskGroup() as group:
            first = group.create_task(_quiet(share, ask))
            await asyncio.wait((first,), timeout=HEDGE_DELAY_MS / 1_000)
            instead = [] if first.done() or share.keeper else self._in_step_instead_of(share)
            if not instead:
                return await first
            self._parts.counters.queries_hedged += 1
            second = group.create_task(_all_quiet(instead, ask))
            await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
            winner, other = (first, second) if first.done() else (second, first)
            if isinstance(winner.result(), NodeError):
                winner, other = other, winner
            outcome = await winner
            # Whoever lost is stopped at its node too; the group waits until that is done.
            other.cancel()
            return outcome

    def _in_step_instead_of(self, share: Ask) -> list[Ask]:
        """Shares that replace a slow one without any loss of coverage; none if there are none."""
        view = self._view
        readers = in_step_readers(
            view.holders.stretches(share.spans), share.node, view.standing.without(self._failed)
        )
        found = (readers or {}).items()
        return [Ask(node, spans, store=view.stores.get(node, NO_STORE)) for node, spans in found]

    def _instead_of(self, failed: Sequence[tuple[Ask, NodeError]]) -> list[Ask]:
        """Shares that replace failed ones; the route is laid anew without their members, and
        without those that were found to be away meanwhile: they would fail as well.

        Raises:
            DeadlineExceeded, CoverageTooLow.
        """
        share, error = failed[0]
        if self._parts.clock.now_ms() >= self.deadline_ms:
            raise DeadlineExceeded(f"{share.node} did not answer in the time given: {error}")
        contact = self._parts.members.view().standing.contact
        self._failed |= {share.node for share, _ in failed} | (
            self._view.standing.contact - contact
        )
        readers = self._view.readers_without(self._failed)
        self.route = plan_route(
            self._view.ring.domain, readers, self._query, here=self._parts.node_id
        )
        self.overlapping = self.overlapping or bool(self.route.keepers)
        self._check()
        spans: Spans = ()
        for share, _ in failed:
            spans = spans if share.keeper else union(spans, share.spans)
        return _asks(readers.route_spans(spans), self._view.stores) if spans else []

    def _check(self) -> None:
        check_coverage(self.coverage(), self._query.require)


def check_coverage(coverage: Coverage, require: CoverageState | None) -> None:
    """Refuse an answer that would be worse than what the caller requires.

    Raises:
        CoverageTooLow: names both states and who is away.
    """
    if not is_acceptable(coverage.state, require):
        away = ", ".join(coverage.away) or "nobody"
        raise CoverageTooLow(
            f"require={require} but the answer would be {coverage.state} (away: {away}); "
            "wait, or require less"
        )


async def _quiet(share: Ask, ask: Callable[[Ask], Awaitable[T]]) -> _Outcome[T]:
    """The answer, or its error as a value: a raised one would end the other asks as well."""
    try:
        return [Answered(share, await ask(share))]
    except NodeError as error:
        return error


async def _all_quiet(asks: Sequence[Ask], ask: Callable[[Ask], Awaitable[T]]) -> _Outcome[T]:
    answered: list[Answered[T]] = []
    for outcome in await asyncio.gather(*(_quiet(share, ask) for share in asks)):
        if isinstance(outcome, NodeError):
            return outcome
        answered.extend(outcome)
    return answered


def _asks(route: Route, stores: Mapping[str, StoreAt]) -> list[Ask]:
    return [
        Ask(node, spans, keeper=keeper, store=stores.get(node, NO_STORE))
        for shares, keeper in ((route.readers, False), (route.keepers, True))
        for node, spans in shares
    ]
