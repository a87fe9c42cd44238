"""What the scripts are written with: load, faults by name, and the look at all of it at the end."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from node.errors import NodeError
from tests.recovery.cluster import SITE_TOPIC, Cluster
from tests.recovery.disks import look_at_stores
from tests.recovery.hand_over import Backlog, MovedRecords, percentile_ms
from tests.recovery.load import Load, ask
from tests.recovery.network import both_ways
from tests.recovery.rings import ring_from_json
from tests.recovery.truth import NEVER, Group, Truth, now
from tests.recovery.verdict import AloneCount, Verdict
from tests.streams.mosquitto import Mosquitto
from zring.placement import HolderMap, holder_map
from zring.ring import Ring
from zring.span import Spans, spans_to_cells

FILL_SHARE = 0.25
"""Of the records, written before the fault on all holders."""
POLL_S = 0.3
LOOK_PAUSE_SHARE = 9
WINDOW_RECORDS = 50_000
AWAY_TIMEOUT_S = 60.0
SEED = 20_261_121


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long and how much.

    Attributes:
        seconds: the fault lasts, under load.
        records: of the whole script.
        recover_s: longest time after the last fault until all is as promised.
    """

    seconds: float
    records: int
    recover_s: float


class Stage:
    """One script's cluster, load and verdict."""

    def __init__(self, cluster: Cluster, sizes: Sizes, verdict: Verdict) -> None:
        self.cluster, self.sizes, self.verdict = cluster, sizes, verdict
        self.names: list[str] = list(cluster.names)
        self.ring: Ring | None = None
        self.truth: Truth | None = None
        self.load: Load | None = None
        self.healed_s = self.cut_s = time.monotonic()

    # The run of a script

    def begin(self, truth: Truth | None = None) -> Load:
        """Read the ring; the load stands ready."""
        self.ring = self.ring_of(self.names[0])
        self.truth = truth or Truth.scattered(self.sizes.records, self.ring.domain, seed=SEED)
        self.load = Load(
            self.cluster, self.truth, self.verdict, self.ring.domain, holder_map(self.ring)
        )
        return self.load

    @contextmanager
    def under_load(self, doors: Sequence[str] | None = None) -> Iterator[Load]:
        """A quarter of the records first; the rest arrives while the body runs."""
        load = self.begin()
        load.fill(int(self.sizes.records * FILL_SHARE))
        rest = self.sizes.records - load.next
        load.start(rate=rest / self.sizes.seconds, doors=doors)
        try:
            yield load
        finally:
            load.stop()

    def wait(self, share: float = 1.0) -> None:
        """Let the load run for a share of the script's seconds."""
        time.sleep(self.sizes.seconds * share)

    def conclude(self) -> None:
        """After the last fault: repeat what is open, wait until all is right, look once more."""
        assert self.load is not None and self.truth is not None
        self.healed_s = time.monotonic()
        moved = MovedRecords(self.cluster, self.names)
        self.load.drain()
        deadline_s = self.healed_s + self.sizes.recover_s
        while True:
            looked_s = time.monotonic()
            moved.look()
            reason = self.unsettled()
            if not reason:
                self.verdict.recovery_s = looked_s - self.healed_s
                break
            if time.monotonic() > deadline_s:
                self.verdict.problems.append(
                    f"not as promised {self.sizes.recover_s:.0f} s after the last fault: {reason}"
                )
                break
            time.sleep(max(POLL_S, time.monotonic() - looked_s))
        self.verdict.notes.append(moved.text())
        if self.verdict.recovery_s is None:
            self.look()
        self._check_final_answers()
        self.verdict.sent = int((self.truth.sent_us != NEVER).sum())
        self.verdict.acknowledged = int(self.truth.acknowledged.sum())
        if not self.verdict.acknowledged:
            self.verdict.problems.append("nothing was acknowledged: the script shows nothing")

    # Faults

    def isolate(self, name: str) -> None:
        """Cut a node off all others."""
        self.cut_s = time.monotonic()
        self.cluster.cut(name)
        self._set_groups([frozenset((name,)), frozenset(self.names) - {name}])

    def rejoin(self, name: str) -> None:
        """Undo it."""
        self._set_groups([frozenset(self.names)])
        self.cluster.heal(name)

    def split(self, groups: Sequence[Sequence[str]]) -> None:
        """Cut all links between groups."""
        sets = [frozenset(group) for group in groups]
        for source, target in _ways_between(sets):
            self.cluster.cut_way(source, target)
        self._set_groups(sets)

    def join(self, groups: Sequence[Sequence[str]]) -> None:
        """Undo it."""
        self._set_groups([frozenset(self.names)])
        for source, target in _ways_between([frozenset(group) for group in groups]):
            self.cluster.heal_way(source, target)

    def add(self, name: str) -> None:
        """Start a node that is no founder."""
        self.cluster.add(name)
        self.names.append(name)
        self._set_groups([frozenset(self.names)])

    def wait_away(self, name: str, others: Sequence[str]) -> None:
        """Wait until a node says that these are away."""
        self._wait(
            lambda: set(others) <= self.away_at(name), f"{name} never says that {others} are away"
        )

    def wait_alive(self) -> None:
        """Wait until every node sees all others."""
        for name in self.names:
            self._wait(lambda at=name: not self.away_at(at), f"{name} does not see all others")

    def watch_hand_over(self, name: str, *, first: int, last: int, whole_s: float) -> None:
        """Wait, with the load going on, until a node that was cut off has what it missed.

        Args:
            first, last: numbers of the records that arrived meanwhile.
            whole_s: when the cluster was still whole and under load, on the monotonic clock.
        """
        assert self.truth is not None and self.load is not None and self.ring is not None
        backlog = Backlog(self.truth, holder_map(self.ring), name, first=first, last=last)
        begun_s = looked_s = time.monotonic()
        time.sleep(POLL_S)
        while not backlog.look(self.cluster, name, self.truth):
            if time.monotonic() > begun_s + self.sizes.recover_s:
                self.verdict.problems.append(f"{name} does not get under load what it missed")
                break
            # Listing a whole disk is work: it must not be what slows the answers down.
            time.sleep(max(POLL_S, LOOK_PAUSE_SHARE * (time.monotonic() - looked_s)))
            looked_s = time.monotonic()
        ended_s = time.monotonic()
        self.verdict.notes.append(backlog.text())
        if not backlog.newest_first:
            self.verdict.problems.append(f"{name} got the oldest records before the newest")
        taken = self.load.taken
        whole_ms = percentile_ms(taken, start_s=whole_s, stop_s=self.cut_s)
        after_ms = percentile_ms(taken, start_s=begun_s, stop_s=ended_s)
        if whole_ms is not None and after_ms is not None:
            self.verdict.notes.append(
                f"foreground           p99 {whole_ms:.0f} ms before the cut, {after_ms:.0f} ms "
                f"while records were handed back ({after_ms / whole_ms:.1f} times)"
            )

    def publish(self, broker: Mosquitto, site: str, start: int, stop: int) -> None:
        """Give records [start, stop) to a site's broker; wait until its node answers with them."""
        truth = self.truth
        assert truth is not None
        truth.send(start, stop)
        begun_s = time.monotonic()
        broker.publish(SITE_TOPIC, truth.lines(start, stop))
        stored: set[int] = set()

        def is_stored() -> bool:
            with self.cluster.client(site) as client:
                result = ask(client, truth.collection, (start, stop))
            stored.update(truth.find(result.table).numbers.tolist())
            return len(stored) == stop - start

        self._wait(is_stored, f"{site} does not store what its own broker has")
        self.verdict.notes.append(
            f"{len(stored):,} of {stop - start:,} records of the site's own broker answered by "
            f"{site}, cut off, {time.monotonic() - begun_s:.1f} s after the first was published"
        )
        if len(stored) == stop - start:
            truth.acknowledge(start, stop, door=site, disks=1, reach=frozenset((site,)))

    # Looks

    def ring_of(self, name: str) -> Ring:
        """The ring as a node has it."""
        with self.cluster.client(name) as client:
            return ring_from_json(client.ring())

    def away_at(self, name: str) -> set[str]:
        """The members that a node does not see alive."""
        with self.cluster.client(name) as client:
            entries = client.status()["nodes"]
        seen = {entry["id"] for entry in entries if entry["state"] == "alive"}
        return set(self.names) - seen

    def check_alone(self, groups: Sequence[Sequence[str]]) -> None:
        """Each node of these groups has everything of its area and halo that it had received."""
        count = self.verdict.alone = self.verdict.alone or AloneCount()
        assert self.ring is not None
        holders = holder_map(self.ring)
        for group in groups:
            for name in group:
                away = frozenset(self.names) - frozenset(group)
                self.wait_away(name, sorted(away))
                self._check_held(name, away, holders, count)
                self._check_own_word(name)

    def look(self) -> None:
        """Count the disks."""
        assert self.truth is not None and self.ring is not None
        self.verdict.stores = look_at_stores(
            self.cluster, self.names, self.truth, holder_map(self.ring)
        )
        for name, count in self.verdict.stores.nodes.items():
            if not count.right:
                self.verdict.problems.append(
                    f"disk of {name}: missing {count.missing:,}, misplaced {count.misplaced:,}, "
                    f"twice {count.twice:,}, altered {count.altered:,}"
                )
        if self.verdict.stores.lost:
            self.verdict.problems.append(
                f"{self.verdict.stores.lost:,} acknowledged records are on no disk"
            )

    def unsettled(self) -> str:
        """Why the cluster is not as promised yet; empty when it is, disks included."""
        assert self.truth is not None
        try:
            looks = {name: self._status(name) for name in self.names}
            digests = {look["ring_digest"] for look in looks.values()}
            if len(digests) > 1:
                return f"{len(digests)} different rings"
            self.ring = self.ring_of(self.names[0])
            for name, look in looks.items():
                if (word := look["coverage"]["state"]) != "complete":
                    return f"{name} says {word}"
            stores = look_at_stores(self.cluster, self.names, self.truth, holder_map(self.ring))
        except NodeError as error:
            return str(error)
        self.verdict.stores = stores
        if not stores.right:
            wrong = {
                name: (count.missing, count.misplaced)
                for name, count in stores.nodes.items()
                if not count.right
            }
            return f"(missing, misplaced) on the disks: {wrong}, lost {stores.lost}"
        return ""

    def _status(self, name: str) -> dict[str, Any]:
        with self.cluster.client(name) as client:
            return client.status()

    def _set_groups(self, groups: Sequence[Group]) -> None:
        if self.load is not None:
            self.load.groups = {name: group for group in groups for name in group}

    def _wait(self, condition: Callable[[], bool], problem: str) -> None:
        deadline_s = time.monotonic() + AWAY_TIMEOUT_S
        while not condition():
            if time.monotonic() > deadline_s:
                self.verdict.problems.append(problem)
                return
            time.sleep(POLL_S)

    def _check_held(self, name: str, away: Group, holders: HolderMap, count: AloneCount) -> None:
        truth, load = self.truth, self.load
        assert truth is not None and load is not None
        held = np.array([name in nodes for nodes in holders.sets])[holders.holders_of(truth.code)]
        lacking = 0
        for start, stop in windows(load.next):
            asked_us = now()
            certain = truth.certain(start, stop, before_us=asked_us, away=away, holders=holders)
            wanted = certain & held[start:stop]
            try:
                with self.cluster.client(name) as client:
                    found = truth.find(ask(client, truth.collection, (start, stop)).table).numbers
            except NodeError as error:
                self.verdict.problems.append(f"{name}, cut off, did not answer: {error}")
                found = np.empty(0, np.int64)
            given = np.isin(np.arange(start, stop), found)
            count.wanted += int(wanted.sum())
            count.found += int((wanted & given).sum())
            lacking += int((wanted & ~given).sum())
            count.answers += 1
        if lacking:
            self.verdict.problems.append(
                f"{name}, cut off, lacks {lacking:,} records of its area and halo"
            )

    def _check_own_word(self, name: str) -> None:
        """Inside its own area a node that is cut off says `local`, no more and no less."""
        truth = self.truth
        assert self.ring is not None and self.load is not None and truth is not None
        box = _box_inside(self.ring, self.ring.owned(name))
        with self.cluster.client(name) as client:
            try:
                word = ask(client, truth.collection, (0, self.load.next), box).coverage.state
            except NodeError as error:
                word = str(error)
        if word != "local":
            self.verdict.problems.append(f"{name}, cut off, says {word} of its own area, not local")

    def _check_final_answers(self) -> None:
        """Every node gives every record, once, and says complete."""
        truth = self.truth
        assert truth is not None and self.load is not None
        for name in self.names:
            lacking, twice, words = 0, 0, set()
            with self.cluster.client(name) as client:
                for start, stop in windows(self.load.next):
                    try:
                        result = ask(client, truth.collection, (start, stop))
                    except NodeError as error:
                        self.verdict.problems.append(f"{name} does not answer: {error}")
                        continue
                    numbers = truth.find(result.table).numbers
                    given = np.isin(np.arange(start, stop), numbers)
                    lacking += int((truth.acknowledged[start:stop] & ~given).sum())
                    twice += len(numbers) - len(np.unique(numbers))
                    words.add(result.coverage.state)
            if lacking or twice or words != {"complete"}:
                self.verdict.problems.append(
                    f"at the end {name} answers {sorted(words)}, lacks {lacking:,} acknowledged "
                    f"records and gives {twice:,} twice"
                )


def windows(count: int) -> Iterator[tuple[int, int]]:
    """[0, count) in pieces."""
    for start in range(0, count, WINDOW_RECORDS):
        yield start, min(count, start + WINDOW_RECORDS)


def _ways_between(groups: Sequence[Group]) -> list[tuple[str, str]]:
    return sorted(
        {
            way
            for number, group in enumerate(groups)
            for other in groups[number + 1 :]
            for way in both_ways(group, other)
        }
    )


def _box_inside(ring: Ring, spans: Spans) -> tuple[int, int, int, int]:
    """The largest cell of an area as a closed box that lies in it."""
    level, index = min(spans_to_cells(spans))
    west, south, east, north = ring.domain.cell_bounds(level=level, index=index)
    return west, south, east - 1, north - 1
