"""What the simulated cluster was told and what it promised: the brute-force side of every check.

A record is known by its identity (sensor, time, code). Each attempt to write it has a number
that is its value and its version, so an answer tells which attempts it has seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from node.protocol.acknowledge import copies_needed
from node.query import Answer, Query, WriteLevel, WriteReply
from node.records import Rows
from node.storage.bucket_digests import DAY_US
from node.storage.bucket_set import Bucket
from node.storage.memory_engine import MemoryDisk
from zring.domain import Domain
from zring.placement import HolderMap
from zring.span import contains

Identity = tuple[str, int, int]


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


@dataclass(slots=True)
class Truth:
    """Everything attempted and acknowledged so far."""

    domain: Domain
    holders: HolderMap
    attempts: dict[Identity, dict[int, Attempt]] = field(default_factory=dict)
    acknowledged: dict[Identity, list[Acknowledged]] = field(default_factory=dict)
    _seen: dict[str, tuple[int, dict[Identity, int]]] = field(default_factory=dict)

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
        on_disk = {name: self.on_disk(name, disk) for name, disk in sorted(disks.items())}
        takers: dict[tuple[Identity, int], set[str]] = {}
        for name, rows in spreads:
            for index in range(len(rows)):
                version = int(rows.version[index])
                takers.setdefault((_identity(rows, index), version), set()).add(name)
        for attempt in attempts:
            having = frozenset(
                name
                for name, versions in on_disk.items()
                if versions.get(attempt.identity, -1) >= attempt.version
            )
            holders = self.holders.holders_at(attempt.identity[2])
            needed = copies_needed(w, len(holders)) if reply.acknowledged else 1
            needed = max(needed, reply.copies_durable)
            if reply.stored and len(having) < needed:
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
                        frozenset(takers[attempt.identity, attempt.version]),
                    )
                )

    def forget_disks(self) -> None:
        """Somebody has changed a disk: all are read again from their beginning."""
        self._seen.clear()

    def on_disk(self, name: str, disk: MemoryDisk) -> dict[Identity, int]:
        """Identity → newest version that a disk durably has."""
        key = f"{name}/{disk.store_id}"
        read, versions = self._seen.get(key, (0, {}))
        for entry in disk.durable[read:]:
            if entry.removal is not None:
                if entry.removal.removed is None:
                    break  # no engine has carried it out yet
                _remove(versions, entry.removal.buckets, entry.removal.removed)
            for _, rows in entry.batches:
                for index in range(len(rows)):
                    identity = _identity(rows, index)
                    version = int(rows.version[index])
                    versions[identity] = max(version, versions.get(identity, -1))
            read += 1
        self._seen[key] = (read, versions)
        return versions

    def check(self, query: Query, answer: Answer, *, skew_us: int) -> None:
        """Check promises 4 and 5 on one answer.

        Args:
            skew_us: of the clock that `as_of` was read from.
        Raises:
            PromiseBroken: a record is doubled, invented, absent or older than promised.
        """
        found = self._found(query, answer)
        coverage = answer.coverage
        if coverage.state == "complete" and coverage.away:
            raise PromiseBroken(f"promise 5: complete while {sorted(coverage.away)} are away")
        excused_spans = tuple(coverage.settling) + tuple(coverage.missing)
        as_of_us = coverage.as_of - skew_us
        away = frozenset(coverage.away)
        for identity in sorted(self.acknowledged):
            code = identity[2]
            if any(start <= code < stop for start, stop in excused_spans):
                continue
            promised = [
                known.version
                for known in self.acknowledged[identity]
                if known.at_us < as_of_us and not known.takers & away
            ]
            if not promised or not self._matches(query, identity, answer):
                continue
            if found.get(identity, -1) < max(promised):
                raise PromiseBroken(
                    f"promise 5: state {coverage.state}, as of {as_of_us}, away {sorted(away)}: "
                    f"{identity} has version {found.get(identity)} in the answer, "
                    f"{max(promised)} was acknowledged: {self.acknowledged[identity]}"
                )

    def check_everywhere(self, disks: Mapping[str, MemoryDisk]) -> None:
        """Check that every record is on every holder, in its newest version, and on no other node.

        That goes for records that nobody was promised as well.

        Raises:
            PromiseBroken: names the record and the holder (promise 3).
        """
        on_disk = {name: self.on_disk(name, disk) for name, disk in sorted(disks.items())}
        for identity, known in sorted(self.acknowledged.items()):
            newest = max(one.version for one in known)
            for holder in self.holders.holders_at(identity[2]):
                if on_disk[holder].get(identity, -1) < newest:
                    raise PromiseBroken(
                        f"promise 3: {identity} version {newest} never reached {holder}, "
                        f"which has {on_disk[holder].get(identity)}: {known}"
                    )
        for identity in sorted(
            {identity for versions in on_disk.values() for identity in versions}
        ):
            having = {
                name: versions[identity]
                for name, versions in on_disk.items()
                if identity in versions
            }
            holders = self.holders.holders_at(identity[2])
            if set(having) != set(holders) or len(set(having.values())) != 1:
                raise PromiseBroken(
                    f"promise 3: {identity} is on {having}, its holders are {sorted(holders)}"
                )

    def _found(self, query: Query, answer: Answer) -> dict[Identity, int]:
        found: dict[Identity, int] = {}
        rows = answer.rows
        keys = [rows.key(index) for index in range(len(rows))]
        if keys != sorted(keys):
            raise PromiseBroken("rows are not in key order")
        values = rows.values["v"].to_pylist() if len(rows) else []
        for index, value in enumerate(values):
            identity = _identity(rows, index)
            version = int(rows.version[index])
            if identity in found:
                raise PromiseBroken(f"promise 5: {identity} came twice")
            if version not in self.attempts.get(identity, {}) or value != version:
                raise PromiseBroken(f"{identity} came with version {version}, never written")
            if not self._inside(query, self.attempts[identity][version]):
                raise PromiseBroken(f"{identity} does not match {query}")
            found[identity] = version
        return found

    def _matches(self, query: Query, identity: Identity, answer: Answer) -> bool:
        attempt = next(iter(self.attempts[identity].values()))
        if answer.resume is not None:
            last = answer.resume
            rows = self.attempt([attempt])
            if rows.key(0) > last:
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


def _remove(
    versions: dict[Identity, int], buckets: Sequence[Bucket], removed: Sequence[bool]
) -> None:
    """Take away what a store has let go of."""
    for bucket, gone in zip(buckets, removed, strict=True):
        if gone:
            for identity in [
                known
                for known in versions
                if bucket.start <= known[2] < bucket.stop and known[1] // DAY_US == bucket.day
            ]:
                del versions[identity]


def _identity(rows: Rows, index: int) -> Identity:
    return rows.sensor[index].as_py(), int(rows.time[index]), int(rows.code[index])
