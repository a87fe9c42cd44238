"""What the simulated cluster was told and what it promised: the brute-force side of every check.

A record is known by its identity (sensor, time, code). Each attempt to write it has a number
that is its value and its version, so an answer tells which attempts it has seen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from node.protocol.acknowledge import copies_needed
from node.query import TIME_MIN, Answer, Coverage, Query, WriteLevel, WriteReply
from node.records import Key, Rows
from node.storage.engine import Scan
from node.storage.memory_engine import MemoryDisk, MemoryEngine
from zring.digest import hash_text
from zring.domain import Domain
from zring.morton import CODE_BITS, CODE_STOP
from zring.placement import HolderMap
from zring.span import contains

Identity = tuple[str, int, int]
COLLECTION = "weather"
GRAIN_LEVEL = 4
"""Of every simulated cluster: 256 grains."""
GRAIN_SHIFT = CODE_BITS - 2 * GRAIN_LEVEL


class PromiseBroken(AssertionError):
    """Raised by a checker; the message says which promise and how."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One version of one record that somebody tried to write."""

    identity: Identity
    lon: int
    lat: int
    version: int


@dataclass(slots=True)
class Acknowledged:
    """A version that was acknowledged: when (true time, µs), which disks had it then, and which
    nodes took it: these alone know whom they still owe a copy."""

    version: int
    at_us: int
    disks: frozenset[str]
    takers: frozenset[str]
    needed: int = 1
    """Disks that must have it from then on; fewer where disks were lost."""


@dataclass(slots=True)
class Truth:
    """Everything attempted and acknowledged so far."""

    domain: Domain
    attempts: dict[Identity, dict[int, Attempt]] = field(default_factory=dict)
    acknowledged: dict[Identity, list[Acknowledged]] = field(default_factory=dict)
    wiped: set[str] = field(default_factory=set)
    """Nodes that lost a disk."""
    kept_from_us: int = TIME_MIN
    """What is older may have expired by now; nothing is promised of it."""
    _lost: list[dict[Identity, int]] = field(default_factory=list)
    _fewest: dict[int, int] = field(default_factory=dict)
    """Grain → the least number of holders that any ring has given it."""
    _takers: dict[tuple[Identity, int], set[str]] = field(default_factory=dict)
    _spreads_read: int = 0
    _removals: int = 0
    _views: dict[int, "_DiskView"] = field(default_factory=dict)

    def attempt(self, attempts: Sequence[Attempt]) -> Rows:
        """Note attempts; returns them as rows."""
        for attempt in attempts:
            self.attempts.setdefault(attempt.identity, {})[attempt.version] = attempt
        lon = np.array([attempt.lon for attempt in attempts], np.int32)
        lat = np.array([attempt.lat for attempt in attempts], np.int32)
        versions = np.array([attempt.version for attempt in attempts], np.int64)
        return Rows.build(
            time=np.array([attempt.identity[1] for attempt in attempts], np.int64),
            lon=lon,
            lat=lat,
            code=self.domain.positions_to_codes(lon=lon, lat=lat),
            sensor=pa.array([attempt.identity[0] for attempt in attempts]),
            version=versions,
            values={"v": pa.array(versions)},
        )

    def acknowledge(
        self,
        attempts: Sequence[Attempt],
        w: WriteLevel,
        reply: WriteReply,
        disks: Mapping[str, MemoryDisk],
        *,
        at_us: int,
        spreads: Sequence[tuple[str, Rows]],
    ) -> None:
        """Check promise 1 at the moment of the reply, and note what was promised.

        Raises:
            PromiseBroken: a record is on fewer disks than the reply says.
        """
        on_disk = {name: self.on_disk(disk) for name, disk in sorted(disks.items())}
        for name, rows in spreads[self._spreads_read :]:
            for identity, version in _versions(rows):
                self._takers.setdefault((identity, version), set()).add(name)
        self._spreads_read = len(spreads)
        for attempt in attempts:
            if attempt.identity[1] < self.kept_from_us:
                continue
            having = frozenset(
                name
                for name, versions in on_disk.items()
                if versions.get(attempt.identity, -1) >= attempt.version
            )
            needed = copies_needed(w, reply.copies_wanted) if reply.acknowledged else 1
            # A keeper that counted may have let go by the time that the reply is here.
            needed = max(needed, min(reply.copies_durable, reply.copies_wanted))
            lost = [
                versions
                for versions in self._lost
                if versions.get(attempt.identity, -1) >= attempt.version
            ]
            if reply.stored and not having and lost:
                continue
            if reply.stored and len(having) + len(lost) < needed:
                raise PromiseBroken(
                    f"promise 1: {attempt} was acknowledged with w={w} and "
                    f"durable={reply.copies_durable} but is on {sorted(having)} only"
                )
            if reply.stored:
                self.acknowledged.setdefault(attempt.identity, []).append(
                    Acknowledged(
                        attempt.version,
                        at_us,
                        having,
                        frozenset(self._takers[attempt.identity, attempt.version]),
                        min(needed, len(having)),
                    )
                )

    def on_disk(self, disk: MemoryDisk) -> dict[Identity, int]:
        """Identity → newest version that a disk durably has."""
        view = self._views.get(id(disk))
        if view is None:
            view = self._views[id(disk)] = _DiskView(disk, self.domain)
        return view.versions()

    def check(
        self,
        query: Query,
        answer: Answer,
        *,
        skew_us: int,
        members: frozenset[str],
        before: Mapping[str, Mapping[Identity, int]],
        strangers: frozenset[str] = frozenset(),
        expired_us: int = TIME_MIN,
    ) -> None:
        """Check promises 4 and 5 on one answer.

        Args:
            skew_us: of the clock that `as_of` was read from.
            members: those that the ring of the answering node names: what others took alone, a
                node that was removed, or one whose joining is not known there yet, is not missed.
            before: `where` when the question was asked. A node that took a record and lost its
                disk since cannot tell of it; what only `strangers` and nodes away still had
                is theirs to bring.
            strangers: nodes that neither its ring names nor it is in contact with. One whose disk
                was lost knows nothing of a node that has left and kept something.
            expired_us: what is older had expired at the answering node when it was asked.
        Raises:
            PromiseBroken: a record is doubled, invented, absent or older than promised.
        """
        found = self._found(query, answer)
        late = [identity for identity in found if identity[1] < expired_us]
        if late:
            raise PromiseBroken(f"PROTOCOL 8: {late[0]} had expired, and is in an answer")
        coverage = answer.coverage
        if coverage.state == "complete" and coverage.away:
            raise PromiseBroken(f"promise 5: complete while {sorted(coverage.away)} are away")
        excused_spans = tuple(coverage.settling) + tuple(coverage.missing)
        as_of_us = coverage.as_of - skew_us
        away = frozenset(coverage.away)
        lost_to = away | strangers
        below = filtered_below(query)
        for identity, versions in self.acknowledged.items():
            code = identity[2]
            if identity[1] < self.kept_from_us or not self._matches(query, identity, answer):
                continue
            if any(start <= code < stop for start, stop in excused_spans):
                continue
            promised = [
                known.version
                for known in versions
                if known.at_us < as_of_us
                and not any(
                    node in away and known.at_us >= spoken_for_us(coverage, node, code) - skew_us
                    for node in known.takers
                )
                and known.takers & members
                and not (known.takers & self.wiped and _having(known, identity, before) <= lost_to)
            ]
            if not promised:
                continue
            if below is not None and max(promised) >= below:
                if identity in found:
                    raise PromiseBroken(
                        f"PROTOCOL 6.1: {identity} version {found[identity]} passed the filter, "
                        f"{max(promised)} was acknowledged and does not; by {answer.readers}"
                    )
                continue
            if below is not None and max(self.attempts[identity]) >= below:
                continue  # what nobody was promised yet may hide it
            if found.get(identity, -1) < max(promised):
                raise PromiseBroken(
                    f"promise 5: state {coverage.state}, as of {as_of_us}, away {sorted(away)}: "
                    f"{identity} has version {found.get(identity)} in the answer, "
                    f"{max(promised)} was acknowledged: {self.acknowledged[identity]}; "
                    f"read by {answer.readers}; {coverage}"
                )

    def where(self, disks: Mapping[str, MemoryDisk]) -> dict[str, dict[Identity, int]]:
        """Node → what its disk durably has now; only where that can matter: a disk was lost."""
        if not self.wiped:
            return {}
        return {name: dict(self.on_disk(disk)) for name, disk in sorted(disks.items())}

    def misplaced(self, disks: Mapping[str, MemoryDisk], holders: HolderMap) -> list[str]:
        """Where promise 3 does not hold yet: every record on every holder, in its newest version,
        and on no other node; also those that nobody was promised."""
        on_disk = {name: self.on_disk(disk) for name, disk in sorted(disks.items())}
        known = {identity for versions in on_disk.values() for identity in versions}
        found = []
        for identity in sorted(known | self.acknowledged.keys()):
            if identity[1] < self.kept_from_us:
                continue
            having = {
                name: versions[identity]
                for name, versions in on_disk.items()
                if identity in versions
            }
            promised = [one.version for one in self.acknowledged.get(identity, ())]
            if not having and not promised:
                continue
            newest = max((*having.values(), *promised))
            wanted = holders.holders_at(identity[2])
            if set(having) != set(wanted) or set(having.values()) != {newest}:
                found.append(
                    f"{identity} of version {newest} is on {having}, its holders are {wanted}; "
                    f"acknowledged {self.acknowledged.get(identity)}"
                )
        return found

    def lose(self, node: str, disk: MemoryDisk, disks: Mapping[str, MemoryDisk]) -> int:
        """A disk was lost: forget promises about versions that no disk has any more.

        Promise 1 is about disks: a record is lost only if all that have it are.
        """
        self.wiped.add(node)
        self._lost.append(dict(self.on_disk(disk)))
        on_disk = [self.on_disk(disk) for name, disk in sorted(disks.items())]
        lost = 0
        for identity, known in list(self.acknowledged.items()):
            best = max(versions.get(identity, -1) for versions in on_disk)
            kept = [one for one in known if one.version <= best]
            for one in kept:
                # Who was told that this disk has it may let go before it hears of the loss.
                if self._lost[-1].get(identity, -1) >= one.version:
                    fewest = self._fewest[identity[2] >> GRAIN_SHIFT]
                    one.needed = max(0, min(one.needed, fewest) - 1)
            lost += len(known) - len(kept)
            if kept:
                self.acknowledged[identity] = kept
            else:
                del self.acknowledged[identity]
        return lost

    def check_disks(self, disks: Mapping[str, MemoryDisk]) -> None:
        """Check that moving and letting go have not taken records off disks that must have them.

        What a lost disk had confirmed, and another one let go of since, was lost with that disk.

        Raises:
            PromiseBroken: promise 1.
        """
        on_disk = [self.on_disk(disk) for name, disk in sorted(disks.items())]
        removals = sum(view.removals for view in self._views.values())
        if removals == self._removals:
            return
        self._removals = removals
        for identity, known in sorted(self.acknowledged.items()):
            if identity[1] < self.kept_from_us:
                continue
            if any(not one.needed for one in known):
                best = max(versions.get(identity, -1) for versions in on_disk)
                known[:] = [one for one in known if one.needed or one.version <= best]
            grain = identity[2] >> GRAIN_SHIFT
            for one in known:
                needed = min(one.needed, self._fewest[grain])
                if _count(on_disk, identity, one.version) < needed:
                    raise PromiseBroken(
                        f"promise 1: {identity} version {one.version} is not on {needed} disks any "
                        f"more: {one}; it is on {self._names_having(one, identity, disks)}"
                    )

    def see_ring(self, holders: HolderMap) -> None:
        """A node has this ring in force: where it wants fewer copies, fewer must stay."""
        starts = holders.starts.tolist()
        for (start, stop), nodes in zip(
            pairwise([*starts, CODE_STOP]), holders.holders, strict=True
        ):
            for grain in range(start >> GRAIN_SHIFT, stop >> GRAIN_SHIFT):
                self._fewest[grain] = min(len(nodes), self._fewest.get(grain, len(nodes)))

    def may_expire(self, kept_from_us: int) -> None:
        """Somebody keeps less: what is older is not promised any more."""
        self.kept_from_us = max(self.kept_from_us, kept_from_us)

    def _names_having(
        self, known: Acknowledged, identity: Identity, disks: Mapping[str, MemoryDisk]
    ) -> list[str]:
        where = {name: self.on_disk(disk) for name, disk in disks.items()}
        return sorted(_having(known, identity, where))

    def _found(self, query: Query, answer: Answer) -> dict[Identity, int]:
        found: dict[Identity, int] = {}
        below = filtered_below(query)
        rows = answer.rows
        keys = [rows.key(index) for index in range(len(rows))]
        if keys != sorted(keys):
            raise PromiseBroken("rows are not in key order")
        values = rows.values["v"].to_pylist() if len(rows) else []
        for (identity, version), value in zip(_versions(rows), values, strict=True):
            if identity in found:
                raise PromiseBroken(f"promise 5: {identity} came twice")
            if version not in self.attempts.get(identity, {}) or value != version:
                raise PromiseBroken(f"{identity} came with version {version}, never written")
            if below is not None and value >= below:
                raise PromiseBroken(f"{identity} with value {value} passed {query.filter}")
            if not self._inside(query, self.attempts[identity][version]):
                raise PromiseBroken(f"{identity} does not match {query}")
            found[identity] = version
        return found

    def _matches(self, query: Query, identity: Identity, answer: Answer) -> bool:
        attempt = next(iter(self.attempts[identity].values()))
        if answer.resume is not None:
            sensor, time, code = identity
            if Key(code, time, hash_text(sensor)) > answer.resume:
                return False
        return self._inside(query, attempt)

    def _inside(self, query: Query, attempt: Attempt) -> bool:
        time = attempt.identity[1]
        inside = query.time_start <= time < query.time_stop
        if inside and query.area is not None:
            west, south, east, north = query.area.bounds
            inside = west <= attempt.lon <= east and south <= attempt.lat <= north
        if inside and query.spans is not None:
            inside = bool(contains(query.spans, np.array([attempt.identity[2]]))[0])
        return inside


class _DiskView:
    """What one disk durably has, read on from where it was read last."""

    def __init__(self, disk: MemoryDisk, domain: Domain) -> None:
        self._disk = disk
        self._domain = domain
        self._read = 0
        self.removals = 0
        self._versions: dict[Identity, int] = {}

    def versions(self) -> dict[Identity, int]:
        """Identity → newest version."""
        entries = self._disk.durable[self._read :]
        self._read += len(entries)
        removals = sum(entry.removal is not None for entry in entries)
        if removals:
            self.removals += removals
            # What went is worked out by the engine; another one on the same disk sees the same.
            engine = MemoryEngine(domain=self._domain, disk=self._disk)
            self._versions = {}
            for name in engine.statistics().collections:
                self._add(engine.scan(Scan(name, deletions=True)).rows)
            return self._versions
        for entry in entries:
            for _, rows in entry.batches:
                self._add(rows)
        return self._versions

    def _add(self, rows: Rows) -> None:
        for identity, version in _versions(rows):
            self._versions[identity] = max(version, self._versions.get(identity, -1))


def spoken_for_us(coverage: Coverage, node: str, code: int) -> int:
    """Up to when an answer speaks for what a node without contact took: where it is the owner and
    a replica stands in for it, up to the moment that is said; else for nothing."""
    moment = coverage.replicas_as_of.get(node)
    stands_in = any(start <= code < stop for start, stop in coverage.replicas.get(node, ()))
    return TIME_MIN if moment is None or not stands_in else moment


def below_filter(value: int) -> Mapping[str, Any]:
    """CQL2 for versions, which are values as well, below this one."""
    return {"op": "<", "args": [{"property": "v"}, value]}


def filtered_below(query: Query) -> int | None:
    """The value of `below_filter`; None where the query has no filter."""
    return None if query.filter is None else int(query.filter["args"][1])


def _having(
    known: Acknowledged, identity: Identity, where: Mapping[str, Mapping[Identity, int]]
) -> frozenset[str]:
    return frozenset(
        name for name, versions in where.items() if versions.get(identity, -1) >= known.version
    )


def _count(on_disk: Sequence[Mapping[Identity, int]], identity: Identity, version: int) -> int:
    return sum(versions.get(identity, -1) >= version for versions in on_disk)


def _versions(rows: Rows) -> Iterator[tuple[Identity, int]]:
    """(identity, version) of each row."""
    columns = (rows.sensor.to_pylist(), rows.time.tolist(), rows.code.tolist())
    return zip(zip(*columns, strict=True), rows.version.tolist(), strict=True)
