"""What the load sent and what was acknowledged: the side that every answer is compared with.

Record number i of a run is fixed by i alone: its time is 10 i seconds after the beginning, its
sensor and place follow from i. So an answer's row tells which record it is, and a window of time is
a range of numbers.
"""

import json
import threading
import time
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zring.domain import Domain, degrees_to_e7
from zring.morton import Int64s
from zring.placement import HolderMap

SENSORS = 500
STEP_US = 10_000_000
"""60,000 records are those of a week: enough days to see which come first."""
START_US = 1_704_067_200_000_000
"""2024-01-01T00:00:00Z"""
NEVER = np.iinfo(np.int64).max
TIME_TYPE = pa.timestamp("us", tz="UTC")

Bools = npt.NDArray[np.bool_]
Group = frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of an answer or of a store by the numbers of their records.

    Attributes:
        numbers: int64[n], as they came.
        strangers: rows that are no record of this run.
    """

    numbers: Int64s
    strangers: int


class Truth:
    """All records of a run; thread-safe where writers meet.

    Attributes:
        collection: where they are stored.
        code, sensor, lon, lat: of each record; positions in e7.
        sent_us, acknowledged_us: NEVER until it happened; clock of this machine.
        disks: how many nodes had the record for certain when it was acknowledged.
        reach: index into `groups`: the nodes among which those are.
        door: index into `doors`: the node that was asked to store it.
    """

    def __init__(self, count: int, domain: Domain, *, lon: Int64s, lat: Int64s) -> None:
        """`count` records of sensors at these e7 positions, one after the other."""
        # Its own in each run: what an earlier one left in an operator's cluster does not count.
        self.collection = f"recovery-{now():x}"
        self.sensor = np.arange(count, dtype=np.int64) % len(lon)
        self.lon, self.lat = lon[self.sensor], lat[self.sensor]
        self.code = domain.positions_to_codes(lon=self.lon, lat=self.lat)
        self.sent_us = np.full(count, NEVER, np.int64)
        self.acknowledged_us = np.full(count, NEVER, np.int64)
        self.disks = np.zeros(count, np.int16)
        self.reach = np.zeros(count, np.int16)
        self.door = np.zeros(count, np.int16)
        self.groups: list[Group] = []
        self.doors: list[str] = []
        self._lock = threading.Lock()

    @classmethod
    def scattered(cls, count: int, domain: Domain, *, seed: int) -> Self:
        """Records of sensors all over the domain."""
        rng = np.random.default_rng(seed)
        lon = rng.integers(domain.west, domain.east, SENSORS)
        lat = rng.integers(domain.south, domain.north, SENSORS)
        return cls(count, domain, lon=lon, lat=lat)

    def __len__(self) -> int:
        return len(self.code)

    @property
    def acknowledged(self) -> Bools:
        """Which records were acknowledged."""
        return self.acknowledged_us != NEVER

    def table(self, start: int, stop: int) -> pa.Table:
        """Records [start, stop) for writing."""
        numbers = np.arange(start, stop)
        return pa.table(
            {
                "sensor": pa.array([f"r{at}" for at in self.sensor[start:stop].tolist()]),
                "time": pa.array(START_US + numbers * STEP_US).view(TIME_TYPE),
                "lon": self.lon[start:stop] / 1e7,
                "lat": self.lat[start:stop] / 1e7,
                "reading": pa.array(numbers % 997 / 10),
            }
        )

    def lines(self, start: int, stop: int) -> list[bytes]:
        """The same as JSON, one text a record."""
        records = self.table(start, stop).to_pylist()
        return [
            json.dumps({**record, "time": record["time"].isoformat()}).encode()
            for record in records
        ]

    def send(self, start: int, stop: int) -> None:
        """Note that records [start, stop) are on their way."""
        now_us = now()
        with self._lock:
            part = self.sent_us[start:stop]
            part[part == NEVER] = now_us

    def acknowledge(self, start: int, stop: int, *, door: str, disks: int, reach: Group) -> None:
        """Note that they are on `disks` of the nodes `reach`, as their door said."""
        with self._lock:
            if door not in self.doors:
                self.doors.append(door)
            self.door[start:stop] = self.doors.index(door)
            if reach not in self.groups:
                self.groups.append(reach)
            self.disks[start:stop] = disks
            self.reach[start:stop] = self.groups.index(reach)
            self.acknowledged_us[start:stop] = now()

    def find(self, table: pa.Table) -> Found:
        """The numbers of rows with sensor, time, lon, lat."""
        times = table["time"].cast(pa.int64()).to_numpy() - START_US
        numbers = times // STEP_US
        own = (times % STEP_US == 0) & (numbers >= 0) & (numbers < len(self))
        at = numbers[own]
        encoded = table["sensor"].combine_chunks().dictionary_encode()
        names = [name.removeprefix("r") for name in encoded.dictionary.to_pylist()]
        known = np.array([int(name) if name.isdigit() else -1 for name in names], np.int64)
        sensor = known[encoded.indices.to_numpy()][own] if len(names) else np.empty(0, np.int64)
        same = sensor == self.sensor[at]
        for name, column in (("lon", self.lon), ("lat", self.lat)):
            same &= degrees_to_e7(table[name].to_numpy()[own]) == column[at]
        return Found(at[same], len(times) - int(same.sum()))

    def certain(
        self, start: int, stop: int, *, before_us: int, away: Group, holders: HolderMap | None
    ) -> Bools:
        """bool[stop - start]: what an answer cannot lack, although the nodes `away` are.

        All records when nobody is away. Otherwise those on the disks of all holders, when one of
        these is present, and those whose taker is present for certain: the node that took a record
        (its door, or a holder to which that handed it) alone knows who still lacks a copy. Where
        holders change meanwhile (None), any node in reach may be the taker.
        """
        part = slice(start, stop)
        certain = self.acknowledged_us[part] < before_us
        if not away or not certain.any():
            return certain
        lost = [group & away for group in self.groups]
        doors = np.array([name in away for name in self.doors], np.bool_)[self.door[part]]
        if holders is None:
            return certain & ~np.array([bool(gone) for gone in lost])[self.reach[part]] & ~doors
        sets = holders.holders_of(self.code[part])
        takers = np.array(
            [[bool(set(nodes) & gone) for nodes in holders.sets] for gone in lost], np.bool_
        )[self.reach[part], sets]
        sizes = np.array([len(nodes) for nodes in holders.sets])
        remaining = np.array([len(set(nodes) - away) for nodes in holders.sets])
        everywhere = (self.disks[part] >= sizes[sets]) & (remaining[sets] > 0)
        return certain & (everywhere | ~(takers | doors))


def now() -> int:
    """Microseconds, the wall clock of this machine."""
    return time.time_ns() // 1_000
