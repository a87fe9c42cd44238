"""The newest record of every sensor, and the nearest of these to a position."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from node.errors import BadRequest
from node.peer.rows import bytes_to_rows
from node.protocol.paging import limit_page, rows_up_to
from node.query import TIME_MAX, TIME_MIN, Answer, Coverage, Query, ReaderReport
from node.records import Rows, concat_rows, sort_rows
from node.service.aggregate import header_to_report
from node.service.catalogue import Catalogue
from node.service.parts import Parts
from node.service.read import Run, deadline_of, share_to_header
from node.service.reading import Reading
from node.service.scatter import Ask, Scatter
from node.service.selection import project, query_to_header, select
from node.storage.bucket_digests import DAY_US
from zring.area import Box, Circle, distances_m

DEFAULT_WINDOW_US = DAY_US
"""Where no time is given: how far before the newest record sensors are looked for."""
NEAREST_COUNT_MAX = 1_000
SEARCH_STEPS = 6
"""Rings of the search for the nearest; each is four times as wide as the one before."""


@dataclass(frozen=True, slots=True)
class Newest:
    """One reader's newest record of each sensor, and what it cost."""

    rows: Rows
    report: ReaderReport


class Latest:
    """Answers `latest` and `nearest`."""

    def __init__(self, parts: Parts, catalogue: Catalogue) -> None:
        self._parts = parts
        self._catalogue = catalogue

    async def latest(self, query: Query) -> Answer:
        """See `Service.latest`."""
        deadline_ms = deadline_of(self._parts, query)
        query = await self._with_time(query)
        rows, coverage, reports = await self._newest(query, deadline_ms=deadline_ms)
        if query.after is not None:
            rows = rows.slice(rows_up_to(rows, query.after), len(rows))
        page, resume = limit_page(rows, None, query.limit)
        return Answer(project(page, query), coverage, resume, reports)

    async def nearest(self, query: Query, *, lon: int, lat: int, count: int) -> Answer:
        """See `Service.nearest`.

        The search widens around the position until enough sensors are certain. A sensor that
        moves may have an old record near and its newest one far away, so those found are looked
        up once more in the whole area before they count.
        """
        if not 1 <= count <= NEAREST_COUNT_MAX:
            raise BadRequest(
                f"count={count} is not between 1 and {NEAREST_COUNT_MAX}", field="count"
            )
        deadline_ms = deadline_of(self._parts, query)
        query = await self._with_time(query)
        domain = self._parts.domain
        side = max(domain.east - domain.west, domain.north - domain.south)
        for step in range(SEARCH_STEPS):
            reach = (side >> 2 * (SEARCH_STEPS - 1 - step)) + 1
            whole = step == SEARCH_STEPS - 1
            near = query if whole else _around(query, lon=lon, lat=lat, reach=reach)
            if near is None:
                continue
            rows, coverage, reports = await self._newest(near, deadline_ms=deadline_ms)
            if len(rows) < count and not whole:
                continue
            if not whole:
                names = frozenset(rows.sensor.to_pylist())
                known = replace(query, sensors=names)
                rows, coverage, reports = await self._newest(known, deadline_ms=deadline_ms)
            distances = distances_m(lon=rows.lon, lat=rows.lat, to_lon=lon, to_lat=lat)
            order = np.lexsort((rows.sensor_hash, distances))[:count]
            certain_m = np.inf if whole else _certain_m(lon=lon, lat=lat, reach=reach)
            if whole or (len(order) == count and distances[order[-1]] <= certain_m):
                return Answer(
                    project(rows.take(order), query),
                    coverage,
                    None,
                    reports,
                    distances_m=distances[order],
                )
        raise AssertionError("the last step looks everywhere")

    async def newest_here(self, query: Query, *, deadline_ms: int) -> Newest:
        """The newest record of each sensor among what this node reads for a query."""
        selection = select(query, query.spans)
        reading = Reading(self._parts, query, selection, deadline_ms=deadline_ms)
        kept: list[Rows] = []
        async for rows in reading.pages():
            kept = [newest_of_sensors([*kept, rows])]
        return Newest(kept[0], reading.report(len(kept[0])))

    async def _newest(
        self, query: Query, *, deadline_ms: int
    ) -> tuple[Rows, Coverage, Sequence[ReaderReport]]:
        parts = self._parts
        whole = replace(query, limit=None, after=None)
        scatter = Scatter(parts, parts.members.view(), whole, deadline_ms=deadline_ms)
        found: list[Newest] = []

        async def ask(share: Ask) -> Newest:
            return await self._ask(whole, share, deadline_ms=deadline_ms)

        changed = True
        while changed and not scatter.overlapping:
            found = [answer.result for answer in await scatter.gather(scatter.asks(), ask)]
            changed = scatter.renew()
        if scatter.overlapping:
            run = Run(parts, scatter, whole)
            kept: list[Rows] = []
            async for rows, _ in run.rounds():
                kept = [newest_of_sensors([*kept, rows])]
            return concat_rows(kept), scatter.coverage(), tuple(run.reports)
        rows = newest_of_sensors([newest.rows for newest in found])
        return rows, scatter.coverage(), tuple(newest.report for newest in found)

    async def _ask(self, query: Query, share: Ask, *, deadline_ms: int) -> Newest:
        parts = self._parts
        if share.node == parts.node_id:
            mine = replace(query, spans=share.spans_asked(query))
            return await self.newest_here(mine, deadline_ms=deadline_ms)
        reply = await parts.peers.call(
            parts.members.address_of(share.node),
            "latest",
            {**query_to_header(query), **share_to_header(share, query)},
            deadline_ms=deadline_ms,
        )
        share.check_store(reply.header)
        return Newest(bytes_to_rows(reply.body), header_to_report(share, reply.header))

    async def _with_time(self, query: Query) -> Query:
        """The query with an interval: the day before the newest record that is not in the
        future, where none is given."""
        if query.time_start != TIME_MIN or query.time_stop != TIME_MAX:
            return query
        known = (await self._catalogue.collections()).get(query.collection)
        if known is None:
            return query
        newest, now_us = known.time_max, self._parts.clock.now_us()
        if newest > now_us:
            # A clock that runs ahead, or a forecast: the newest record until now may be old.
            found = await self._catalogue.newest_time(query.collection, until=now_us)
            newest = now_us if found is None else found
        return replace(query, time_start=newest - DEFAULT_WINDOW_US, time_stop=newest + 1)


def newest_of_sensors(parts: Sequence[Rows]) -> Rows:
    """The newest row of each sensor, in key order; of two places at one time the greater code."""
    rows = concat_rows(parts)
    if len(rows) < 2:
        return rows
    order = np.lexsort((rows.code, rows.time, rows.sensor_hash))
    hashes = rows.sensor_hash[order]
    last = np.append(hashes[1:] != hashes[:-1], True)
    return sort_rows(rows.take(np.sort(order[last])))


def _around(query: Query, *, lon: int, lat: int, reach: int) -> Query | None:
    """The query limited to a box around a position; None where the two do not meet."""
    west, south, east, north = lon - reach, lat - reach, lon + reach, lat + reach
    if query.area is None:
        return replace(query, area=Box(west, south, east, north))
    if not isinstance(query.area, Box):
        return None
    west, south = max(west, query.area.west), max(south, query.area.south)
    east, north = min(east, query.area.east), min(north, query.area.north)
    if west > east or south > north:
        return None
    return replace(query, area=Box(west, south, east, north))


def _certain_m(*, lon: int, lat: int, reach: int) -> float:
    """Metres around a position within which the box of `reach` holds everything.

    The largest circle whose bounds lie inside the box, found by halving.
    """
    low, high = 0.0, reach * 0.0112
    for _ in range(20):
        middle = (low + high) / 2
        if middle <= 0:
            return 0.0
        west, south, east, north = Circle(lon=lon, lat=lat, radius_m=middle).bounds
        inside = (
            west >= lon - reach
            and east <= lon + reach
            and south >= lat - reach
            and north <= lat + reach
        )
        low, high = (middle, high) if inside else (low, middle)
    return low
