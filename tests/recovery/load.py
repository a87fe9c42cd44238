"""Writers and readers at the doors of a cluster, one of each for every node.

Writers repeat a batch at any door until it is acknowledged, as a program would that must not lose
anything. Readers compare each answer with the truth while records arrive and nodes fail.
"""

import itertools
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np

from node.client import Client
from node.client.result import AnswerCoverage, Result
from node.errors import NodeError
from node.query import WriteLevel
from tests.recovery.cluster import Cluster
from tests.recovery.truth import START_US, STEP_US, Bools, Group, Truth, now
from tests.recovery.verdict import Verdict
from zring.domain import Domain
from zring.placement import HolderMap

LEVELS: tuple[WriteLevel, ...] = ("one", "quorum", "one", "all")
"""Most records are written as programs do by default, some more carefully."""
BATCH_RECORDS_MAX = 2_000
WRITE_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 15.0
DRAIN_TIMEOUT_S = 120.0
PAUSE_S = 0.1
WINDOW_RECORDS_MAX = 5_000
PROBLEMS_TOLD_MAX = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Batch = tuple[int, int]


class Load:
    """Start it, let things happen, stop it; what went wrong stands in the verdict.

    Attributes:
        groups: node → the nodes that it can reach now. Replace it after a cut and before a heal:
            a record whose writing saw one and the same mapping is within its door's group.
        holders: of every code while the load runs; None where they change.
        offsets_s: node → how far its clock is ahead.
    """

    def __init__(
        self, cluster: Cluster, truth: Truth, verdict: Verdict, domain: Domain, holders: HolderMap
    ) -> None:
        self.cluster, self.truth, self.verdict = cluster, truth, verdict
        self.domain = domain
        self.holders: HolderMap | None = holders
        self.groups: Mapping[str, Group] = dict.fromkeys(cluster.names, frozenset(cluster.names))
        self.offsets_s: dict[str, float] = {}
        self.next = 0
        self.taken: list[tuple[float, float]] = []
        """When each question or batch under load was answered, and how long it took (seconds)."""
        self._again: deque[Batch] = deque()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads: ThreadPoolExecutor | None = None
        self._running: list[Future[None]] = []

    def fill(self, stop: int) -> None:
        """Write the records up to `stop` as fast as it goes, on all holders, through all doors."""
        while self.next < stop:
            batch = (self.next, min(stop, self.next + BATCH_RECORDS_MAX))
            door = self.cluster.names[batch[0] // BATCH_RECORDS_MAX % len(self.cluster.names)]
            self.next = batch[1]
            with self.cluster.client(door, timeout_s=WRITE_TIMEOUT_S) as client:
                self.write(client, door, batch, "all")

    def start(self, *, rate: float, doors: Sequence[str] | None = None) -> None:
        """Writers that send `rate` records a second in all, and readers, until `stop`."""
        doors = doors or self.cluster.names
        self._stopped.clear()
        self._threads = ThreadPoolExecutor(2 * len(doors))
        begun = (time.monotonic(), self.next, rate)
        for number, door in enumerate(doors):
            self._running.append(self._threads.submit(self._keep_writing, door, begun))
            self._running.append(self._threads.submit(self._keep_reading, door, number))

    def stop(self) -> None:
        """End writers and readers."""
        self._stopped.set()
        for thread in self._running:
            thread.result(4 * READ_TIMEOUT_S)
        self._running.clear()
        if self._threads is not None:
            self._threads.shutdown()

    def drain(self) -> None:
        """Repeat what was sent and not acknowledged, through any door, until it is."""
        deadline_s = time.monotonic() + DRAIN_TIMEOUT_S
        doors = itertools.cycle(self.cluster.names)
        while self._again and time.monotonic() < deadline_s:
            batch = self._again.popleft()
            door = next(doors)
            with self.cluster.client(door, timeout_s=WRITE_TIMEOUT_S) as client:
                if not self._try_write(client, door, batch, "one"):
                    time.sleep(PAUSE_S)
        if self._again:
            self.verdict.problems.append(
                f"{len(self._again)} batches were never acknowledged, {DRAIN_TIMEOUT_S:.0f} s "
                "after the last fault"
            )

    def _keep_writing(self, door: str, begun: tuple[float, int, float]) -> None:
        levels = itertools.cycle(LEVELS)
        with self.cluster.client(door, timeout_s=WRITE_TIMEOUT_S) as client:
            while not self._stopped.is_set():
                batch = self._take(begun)
                if batch is not None:
                    self._try_write(client, door, batch, next(levels))
                self._stopped.wait(PAUSE_S)

    def _take(self, begun: tuple[float, int, float]) -> Batch | None:
        """Whatever is due and nobody has taken, else a batch that failed elsewhere."""
        begun_s, first, rate = begun
        with self._lock:
            due = first + int((time.monotonic() - begun_s) * rate)
            start, stop = self.next, min(due, len(self.truth), self.next + BATCH_RECORDS_MAX)
            if start < stop:
                self.next = stop
                return start, stop
            return self._again.popleft() if self._again else None

    def _try_write(self, client: Client, door: str, batch: Batch, level: WriteLevel) -> bool:
        begun_s = time.monotonic()
        try:
            self.write(client, door, batch, level)
            self._took(begun_s)
        except NodeError:
            with self._lock:
                self.verdict.write_errors += 1
            self._again.append(batch)
            return False
        return True

    def write(self, client: Client, door: str, batch: Batch, level: WriteLevel) -> None:
        """Write records [start, stop) once and note what became of them.

        Raises:
            NodeError: nothing is known.
        """
        groups = self.groups
        self.truth.send(*batch)
        written = client.write(self.truth.collection, self.truth.table(*batch), w=level)
        assert written.stored == batch[1] - batch[0], written
        changed = groups is not self.groups
        reach = frozenset[str]().union(*groups.values()) if changed else groups[door]
        self.truth.acknowledge(*batch, door=door, disks=written.copies_durable, reach=reach)

    def _keep_reading(self, door: str, number: int) -> None:
        rng = np.random.default_rng((2, number))
        with self.cluster.client(door, timeout_s=READ_TIMEOUT_S) as client:
            while not self._stopped.wait(PAUSE_S):
                self._ask(client, door, rng)

    def _ask(self, client: Client, door: str, rng: np.random.Generator) -> None:
        stop = int(rng.integers(1, self.next + 1))
        start = max(0, stop - int(rng.integers(1, WINDOW_RECORDS_MAX)))
        box = None if rng.random() < 0.5 else self._box(rng)
        asked_us = now()
        try:
            begun_s = time.monotonic()
            result = ask(client, self.truth.collection, (start, stop), box)
            self._took(begun_s)
        except NodeError:
            with self._lock:
                self.verdict.read_errors += 1
            return
        self.judge(door, (start, stop), box, asked_us, result)

    def _took(self, begun_s: float) -> None:
        now_s = time.monotonic()
        self.taken.append((now_s, now_s - begun_s))

    def _box(self, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """A box in e7 somewhere in the domain, a fifth of its side or less."""
        domain = self.domain
        width, height = (domain.east - domain.west) // 5, (domain.north - domain.south) // 5
        west = int(rng.integers(domain.west, domain.east - width))
        south = int(rng.integers(domain.south, domain.north - height))
        return west, south, west + width, south + height

    def judge(
        self,
        door: str,
        window: Batch,
        box: tuple[int, int, int, int] | None,
        asked_us: int,
        result: Result,
    ) -> None:
        """Compare an answer with the truth and note what is wrong with it."""
        truth, coverage = self.truth, result.coverage
        found = truth.find(result.table)
        rows = np.unique(found.numbers)
        matches = inside(truth, window, box)
        sent = matches & (truth.sent_us[slice(*window)] <= now())
        inner = rows[(rows >= window[0]) & (rows < window[1])] - window[0]
        given = np.zeros(len(matches), np.bool_)
        given[inner] = True
        faults = []
        if found.strangers or len(inner) < len(rows) or (given & ~sent).any():
            faults.append("holds records that were not asked for or never sent")
        if len(rows) < len(found.numbers):
            faults.append(f"holds {len(found.numbers) - len(rows)} records twice")
        away = frozenset(coverage.details.get("away", {}))
        as_of_us = text_to_us(coverage.details.get("as_of"))
        as_of_us -= int(self.offsets_s.get(door, 0.0) * 1e6)
        certain = truth.certain(
            *window, before_us=min(as_of_us, asked_us), away=away, holders=self.holders
        )
        open_areas, told = open_boxes(coverage), np.zeros(len(matches), np.bool_)
        for area in open_areas:
            told |= inside(truth, window, area)
        missing = int((matches & certain & ~given & ~told).sum())
        if coverage.state == "complete" and away:
            faults.append(f"says complete while {sorted(away)} are away")
        if open_areas and coverage.state in ("complete", "local"):
            faults.append(f"says {coverage.state} and names areas that are not")
        if not open_areas and coverage.state in ("settling", "partial"):
            faults.append(f"says {coverage.state} and names no area")
        self._count(door, coverage.state, faults, missing)

    def _count(self, door: str, word: str, faults: list[str], missing: int) -> None:
        with self._lock:
            verdict = self.verdict
            verdict.words[word] = verdict.words.get(word, 0) + 1
            verdict.answers_wrong += bool(faults)
            verdict.words_wrong += bool(missing)
            if missing:
                faults.append(f"says {word} and lacks {missing} records")
            if len(verdict.problems) < PROBLEMS_TOLD_MAX:
                verdict.problems.extend(f"an answer of {door} {fault}" for fault in faults)


def ask(
    client: Client,
    collection: str,
    window: Batch,
    box: tuple[int, int, int, int] | None = None,
) -> Result:
    """The records of a window and of a box in e7, or of the whole domain."""
    bbox = None if box is None else tuple(edge / 1e7 for edge in box)
    start, stop = map(number_to_time, window)
    return client.query(collection, bbox=bbox, from_=start, to=stop)


def inside(truth: Truth, window: Batch, box: tuple[int, int, int, int] | None) -> Bools:
    """bool[window]: which records lie in a closed box."""
    lon, lat = truth.lon[slice(*window)], truth.lat[slice(*window)]
    if box is None:
        return np.ones(len(lon), np.bool_)
    west, south, east, north = box
    matches: Bools = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    return matches


def open_boxes(coverage: AnswerCoverage) -> list[tuple[int, int, int, int]]:
    """The closed boxes, in e7, in which an answer says that records may be missing."""
    return [
        (round(west * 1e7), round(south * 1e7), round(east * 1e7), round(north * 1e7))
        for name in ("settling", "missing")
        for west, south, east, north in coverage.details.get(name, ())
    ]


def number_to_time(number: int) -> datetime:
    """The time of a record."""
    return EPOCH + timedelta(microseconds=START_US + number * STEP_US)


def text_to_us(text: str | None) -> int:
    """Microseconds of an RFC 3339 time; 0, which promises nothing, where there is none."""
    if text is None:
        return 0
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)
