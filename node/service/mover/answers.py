"""The other end of the mover's messages: digests of what is asked, and what of an offer lacks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from node.errors import BadRequest
from node.peer.columns import (
    OFFER_TYPES,
    PIECE_TYPES,
    RANGE_TYPES,
    bytes_to_columns,
    columns_to_bytes,
)
from node.peer.transport import Message
from node.protocol.comparison import Pieces
from node.protocol.expiry import kept_from_us
from node.protocol.hash_ranges import RANGE_BITS_MAX, identity_hashes
from node.protocol.hash_ranges import Window as HashWindow
from node.protocol.word import plain_to_spans
from node.query import TIME_MAX, TIME_MIN
from node.records import Bools, Key, Rows, concat_rows, content_hashes
from node.service.mover.compare import own_digests
from node.service.mover.exchange import bucket_scan, own_ranges
from node.service.mover.link import digests_to_bytes
from node.service.mover.mover import Mover
from node.service.mover.region import plain_to_region
from node.service.parts import Parts
from node.storage.bucket_digests import DAY_MAX, DAY_MIN, DAY_US, NO_DIGESTS
from node.storage.engine import Scan
from zring.digest import UInt64s
from zring.morton import CODE_BITS, CODE_STOP, Int64s
from zring.span import EVERYTHING, Spans, cells_to_spans, contains

ROWS_OFFERED_MAX = 100_000
PARENTS_MAX = 1 << 16
CELLS_READ_MAX = 1_024
"""Cells that an offer is looked up in; one that touches more is looked up in coarser cells."""

Reply = tuple[dict[str, Any], bytes]


class Answers:
    """What a peer's mover may ask of this node."""

    def __init__(self, parts: Parts, mover: Mover) -> None:
        self._parts = parts
        self._mover = mover

    async def digests(self, message: Message) -> Reply:
        """Digests of a region that this node holds."""
        parts, header = self._parts, message.header
        ring = parts.members.ring
        region = plain_to_region(header).kept(ring.settings, parts.rules)
        grain_level = ring.grain_level
        level = _level(header, "level", grain_level)
        parents = None
        if "parents" in header:
            days, cells = bytes_to_columns(message.body, PIECE_TYPES)
            if len(days) > PARENTS_MAX:
                raise BadRequest(f"more than {PARENTS_MAX} pieces in one question", field="body")
            above = _level(header, "parents", level)
            if len(cells) and int(cells.max()) >> (2 * above):
                raise BadRequest("a piece lies outside the domain", field="body")
            none = np.zeros(len(days), np.int64)
            parents = Pieces(above, days.astype(np.int64), cells.astype(np.int64), none)
        if region.collection not in parts.engine.statistics().collections:
            return self._common(), digests_to_bytes(NO_DIGESTS)
        spans = region.spans(
            parts.members.view().holders,
            comparing=str(header.get("from", "")),
            peer=parts.node_id,
        )
        digests = await own_digests(
            parts.engine,
            region,
            spans,
            level=level,
            by_day=header.get("by_day") is not False,
            parents=parents,
        )
        reply = digests_to_bytes(digests)
        self._mover.answered(str(header.get("from", "")), len(reply))
        return self._common(), reply

    async def ranges(self, message: Message) -> Reply:
        """Digests of one window of a large bucket by ranges of hashes."""
        parts, header = self._parts, message.header
        ring = parts.members.ring
        region = plain_to_region(header).kept(ring.settings, parts.rules)
        name = str(header.get("from", ""))
        spans = region.spans(parts.members.view().holders, comparing=name, peer=parts.node_id)
        start, stop = _pair(header, "span", 0, CODE_STOP)
        time_start, time_stop = _pair(header, "time", TIME_MIN, TIME_MAX)
        if time_stop - time_start > DAY_US:
            raise BadRequest("a window is longer than a day", field="time")
        bits = _level(header, "bits", RANGE_BITS_MAX)
        window = HashWindow(time_start, time_stop, max(1, bits))
        scan = bucket_scan(region.collection, spans, (start, stop), window)
        digests = await own_ranges(parts.engine, scan, bits=window.bits)
        reply = columns_to_bytes((digests.totals, digests.counts), RANGE_TYPES)
        self._mover.answered(name, len(reply))
        return self._common(), reply

    async def offer(self, message: Message) -> Reply:
        """One bit a row: this node lacks it, or has an older version."""
        collection = message.header.get("collection")
        if not isinstance(collection, str) or not collection:
            raise BadRequest(f"collection={collection!r} is no name", field="collection")
        code, time, sensor_hash, versions, content = bytes_to_columns(message.body, OFFER_TYPES)
        if len(code) > ROWS_OFFERED_MAX:
            raise BadRequest(f"more than {ROWS_OFFERED_MAX} rows in one offer", field="body")
        if len(code) and not (int(code.min()) >= 0 and int(code.max()) < CODE_STOP):
            raise BadRequest("a row lies outside the domain", field="body")
        if len(time) and not (int(time.min()) >= TIME_MIN and int(time.max()) <= TIME_MAX):
            raise BadRequest("a row lies outside of time", field="body")
        mine = self._read(collection, code, time)
        lacking = lacking_rows(mine, code, time, sensor_hash, versions, content)
        if self._parts.rules.holders_confirm:
            lacking |= ~contains(self._parts.members.holding.held, code)
        if self._parts.rules.expired_counts_as_had:
            lacking &= time >= kept_from_us(self._parts.members.ring.settings, collection)
        return self._common(), np.packbits(lacking).tobytes()

    async def repair(self, message: Message) -> Reply:
        """Compare these codes and days with every other holder, whatever is known."""
        spans = message.header.get("spans")
        day_start, day_stop = _days(message.header.get("days", (DAY_MIN, DAY_MAX)))
        self._mover.repair(
            EVERYTHING if spans is None else plain_to_spans(spans),
            day_start=day_start,
            day_stop=day_stop,
        )
        return {}, b""

    def _common(self) -> dict[str, Any]:
        return {"busy": self._mover.busy()}

    def _read(self, collection: str, code: Int64s, time: Int64s) -> Rows:
        """What this node has in the cells and days that are offered."""
        parts: list[Rows] = []
        days = time // DAY_US
        for day in np.unique(days).tolist():
            of_day = days == day
            scan = Scan(
                collection,
                time_start=int(time[of_day].min()),
                time_stop=int(time[of_day].max()) + 1,
                spans=_cells_around(code[of_day], self._parts.members.ring.grain_level),
                deletions=True,
                sensor_names=False,
                ordered=False,
            )
            after: Key | None = None
            while True:
                step = self._parts.engine.scan(scan, after=after)
                parts.append(step.rows)
                after = step.resume
                if after is None:
                    break
        return concat_rows(parts)


def lacking_rows(
    mine: Rows,
    code: Int64s,
    time: Int64s,
    sensor_hash: UInt64s,
    versions: Int64s,
    content: UInt64s,
) -> Bools:
    """bool[n]: which of the offered rows are newer than mine, or not among mine.

    Args:
        mine: one version of each identity, in any order.
        versions: each row's version × 2, and 1 more for a deletion.
        content: hash of each row's values, which decides between equal versions.
    """
    if not len(mine):
        return np.ones(len(code), np.bool_)
    my_names = identity_hashes(mine.code, mine.time, mine.sensor_hash)
    order = np.argsort(my_names)
    at = np.searchsorted(my_names[order], identity_hashes(code, time, sensor_hash))
    at = order[np.minimum(at, len(order) - 1)]
    same = (mine.code[at] == code) & (mine.time[at] == time) & (mine.sensor_hash[at] == sensor_hash)
    my_versions = (mine.version[at] << 1) | mine.deleted[at]
    lacking: Bools = ~same | (my_versions >> 1 < versions >> 1)
    equal = np.flatnonzero(same & (my_versions >> 1 == versions >> 1))
    if len(equal):
        lacking[equal] = content_hashes(mine.take(at[equal])) < content[equal]
    return lacking


def _cells_around(code: Int64s, grain_level: int) -> Spans:
    level = grain_level
    while True:
        cells = np.unique(code >> (CODE_BITS - 2 * level))
        if len(cells) <= CELLS_READ_MAX or not level:
            return cells_to_spans((level, cell) for cell in cells.tolist())
        level -= 1


def _days(pair: object) -> tuple[int, int]:
    if isinstance(pair, list | tuple) and len(pair) == 2:
        start, stop = pair
        if type(start) is int and type(stop) is int and DAY_MIN <= start < stop <= DAY_MAX:
            return start, stop
    raise BadRequest(f"days={str(pair)[:100]} is no pair of rising days", field="days")


def _pair(header: Mapping[str, Any], name: str, least: int, most: int) -> tuple[int, int]:
    pair = header.get(name)
    if isinstance(pair, list | tuple) and len(pair) == 2:
        start, stop = pair
        if type(start) is int and type(stop) is int and least <= start < stop <= most:
            return start, stop
    raise BadRequest(f"{name}={str(pair)[:100]} is no pair of rising numbers", field=name)


def _level(header: Mapping[str, Any], name: str, most: int) -> int:
    level = header.get(name)
    if type(level) is not int or not 0 <= level <= most:
        raise BadRequest(f"{name}={level!r} is no level up to {most}", field=name)
    return level
