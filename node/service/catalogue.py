"""Which collections there are: the union of what the nodes in contact know."""

import asyncio
from collections.abc import Mapping
from typing import Any

from node.errors import NodeError, NotFound, Unavailable
from node.service.parts import Parts
from node.storage.engine import CollectionStatistics


class Catalogue:
    """The collections of the cluster, as far as they can be known now."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def collections(self) -> Mapping[str, CollectionStatistics]:
        """Statistics by name, sorted.

        `records` is exact once every record has reached all of its holders: it is the sum over
        the nodes divided by the copies that each record has.
        """
        parts = self._parts
        own = parts.engine.statistics().collections
        others = await asyncio.gather(
            *(self._ask(node) for node in sorted(parts.members.health.contact()))
        )
        return merge_catalogues([own, *others], copies=self._copies())

    async def newest_time(self, collection: str, *, until: int) -> int | None:
        """The greatest time <= `until` that any node in contact holds; None when there is none."""
        parts = self._parts
        asked = {"newest_in": collection, "until": until}
        replies = await asyncio.gather(
            *(self._call(node, asked) for node in sorted(parts.members.health.contact()))
        )
        times = [parts.engine.newest_time(collection, until=until)]
        times += [reply.get("newest") for reply in replies]
        return max((time for time in times if time is not None), default=None)

    async def check_known(self, collection: str) -> None:
        """Refuse a collection that nobody knows; called for empty answers only.

        Raises:
            NotFound: everybody is in contact. Unavailable: it may be known to who is away.
        """
        parts = self._parts
        if collection in parts.engine.statistics().collections:
            return
        if collection in await self.collections():
            return
        away = parts.members.view().away
        if away:
            raise Unavailable(
                f"collection {collection!r} is unknown here; {', '.join(away)} cannot be asked now"
            )
        raise NotFound(
            f"there is no collection {collection!r}; GET /collections lists those that exist, "
            "writing a record creates one"
        )

    def _copies(self) -> int:
        """Nodes that have each record; 1 where that differs from record to record."""
        sizes = {len(holders) for holders in self._parts.members.view().holders.sets}
        return sizes.pop() if len(sizes) == 1 else 1

    async def _ask(self, node: str) -> Mapping[str, CollectionStatistics]:
        known = (await self._call(node, {})).get("collections", {})
        return {name: plain_to_statistics(plain) for name, plain in known.items()}

    async def _call(self, node: str, header: dict[str, Any]) -> Mapping[str, Any]:
        """A node's answer; empty when it cannot be asked."""
        parts = self._parts
        try:
            reply = await parts.peers.call(
                parts.members.address_of(node),
                "collections",
                header,
                deadline_ms=parts.clock.now_ms() + parts.limits.peer_timeout_ms,
            )
        except NodeError:
            # Just gone; its absence shows in the members' states soon.
            return {}
        return reply.header


def merge_catalogues(
    catalogues: list[Mapping[str, CollectionStatistics]], *, copies: int
) -> dict[str, CollectionStatistics]:
    """The union, with records divided by the copies that each has."""
    merged: dict[str, CollectionStatistics] = {}
    for catalogue in catalogues:
        for name, statistics in catalogue.items():
            known = merged.get(name)
            merged[name] = statistics if known is None else _joined(known, statistics)
    return {
        name: _with_records(statistics, -(-statistics.records // copies))
        for name, statistics in sorted(merged.items())
    }


def statistics_to_plain(statistics: CollectionStatistics) -> list[Any]:
    """One collection's statistics as plain values."""
    s = statistics
    bounds = [s.west, s.south, s.east, s.north]
    return [s.records, s.time_min, s.time_max, *bounds, dict(sorted(s.value_types.items()))]


def plain_to_statistics(plain: list[Any]) -> CollectionStatistics:
    """Undo `statistics_to_plain`."""
    return CollectionStatistics(*plain)


def _with_records(s: CollectionStatistics, records: int) -> CollectionStatistics:
    return CollectionStatistics(
        records, s.time_min, s.time_max, s.west, s.south, s.east, s.north, s.value_types
    )


def _joined(left: CollectionStatistics, right: CollectionStatistics) -> CollectionStatistics:
    types = dict(left.value_types)
    for name, kind in right.value_types.items():
        types[name] = kind if types.get(name, kind) == kind else "json"
    return CollectionStatistics(
        records=left.records + right.records,
        time_min=min(left.time_min, right.time_min),
        time_max=max(left.time_max, right.time_max),
        west=min(left.west, right.west),
        south=min(left.south, right.south),
        east=max(left.east, right.east),
        north=max(left.north, right.north),
        value_types=dict(sorted(types.items())),
    )
