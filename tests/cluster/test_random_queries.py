"""A thousand random questions to a real cluster, each compared with a brute-force answer.

The first half is asked while nothing else happens, the second while the other half of the
records arrives (some of them twice) and blocks are merged. An answer given in the meantime must
hold every matching record that was acknowledged before it was asked, may hold those that were on
their way, and nothing else; no record twice.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from ingest.demo.nodes import LocalCluster
from node.client import Client
from node.client.result import Result
from tests.cluster.observations import Observations, load_observations
from zring.area import Area, Box, Circle, polygon_from_wkt

SEED = 20_261_121
QUERIES = 1_000
COLLECTION = "amedas"
BATCH_RECORDS = 4_000
WAIT_S = 120.0

Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def observations() -> Observations:
    return load_observations(seed=SEED)


class Loader:
    """Writes records in order and knows how far it has got: sent >= acknowledged."""

    def __init__(self, url: str, observations: Observations) -> None:
        self._client = Client(url, timeout_s=WAIT_S)
        self._observations = observations
        self.sent = 0
        self.acknowledged = 0

    def write_until(self, stop: int) -> None:
        while self.acknowledged < stop:
            self.step(min(BATCH_RECORDS, stop - self.acknowledged))

    def step(self, count: int) -> None:
        start = self.acknowledged
        self.sent = start + count
        written = self._client.write(COLLECTION, self._observations.table.slice(start, count))
        assert written.rejected_count == 0, written.rejected[:1]
        assert written.stored == count
        self.acknowledged = self.sent

    def repeat(self, start: int) -> None:
        """The same records once more: nothing may change."""
        assert start + BATCH_RECORDS <= self.acknowledged
        self._client.write(COLLECTION, self._observations.table.slice(start, BATCH_RECORDS))

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="module")
def loader(cluster: LocalCluster, observations: Observations) -> Iterator[Loader]:
    made = Loader(cluster.urls[1], observations)
    made.write_until(len(observations) // 2)
    yield made
    made.close()


@dataclass(frozen=True, slots=True)
class Question:
    """One random query: how it is asked and which rows it should find."""

    words: dict[str, object]
    area: Area
    time_start: int
    time_stop: int
    sensors: tuple[int, ...] | None
    value_min: float | None

    def matches(self, observations: Observations, stop: int) -> Bools:
        """bool[stop]: brute force over the first `stop` records."""
        rows = slice(0, stop)
        time = observations.time[rows]
        found = (time >= self.time_start) & (time < self.time_stop)
        if self.sensors is not None:
            found &= np.isin(observations.sensor[rows], self.sensors)
        if self.value_min is not None:
            found &= observations.value[rows] > self.value_min
        at = np.flatnonzero(found)
        lon, lat = observations.lon[at].astype(np.int32), observations.lat[at].astype(np.int32)
        found[at] = self.area.contains(lon=lon, lat=lat)
        return found


def draw_question(rng: np.random.Generator, observations: Observations) -> Question:
    words: dict[str, object] = {}
    area = _draw_area(rng, observations, words)
    first, last = int(observations.time.min()), int(observations.time.max())
    width = int((last - first) * 10 ** rng.uniform(-4, 0))
    start = int(rng.integers(first - width, last))
    words["from_"], words["to"] = _rfc3339(start), _rfc3339(start + width)
    sensors = None
    if rng.random() < 0.2:
        sensors = tuple(rng.choice(len(observations.names), size=5, replace=False).tolist())
        words["sensors"] = [observations.names[index] for index in sensors]
    value_min = None
    if rng.random() < 0.2:
        value_min = float(np.round(rng.uniform(-5, 35), 1))
        words["filter"] = f"value > {value_min}"
    return Question(words, area, start, start + width, sensors, value_min)


def _draw_area(
    rng: np.random.Generator, observations: Observations, words: dict[str, object]
) -> Area:
    """Mostly boxes; corners often lie exactly on a station, because edges are where errors live."""
    at = rng.integers(len(observations), size=2)
    kind = rng.random()
    if kind < 0.1:
        lon, lat = rng.uniform(135.0, 136.6), rng.uniform(33.0, 34.6)
        radius_m = float(10 ** rng.uniform(3, 5))
        words.update(lon=round(lon, 7), lat=round(lat, 7), radius_m=radius_m)
        return Circle(lon=round(lon * 1e7), lat=round(lat * 1e7), radius_m=radius_m)
    if kind < 0.2:
        west, south = rng.uniform(135.0, 136.0), rng.uniform(33.0, 34.0)
        text = (
            f"POLYGON(({west:.7f} {south:.7f}, {west + 0.6:.7f} {south + 0.1:.7f}, "
            f"{west + 0.3:.7f} {south + 0.6:.7f}, {west:.7f} {south:.7f}))"
        )
        words["polygon"] = text
        return polygon_from_wkt(text)
    if kind < 0.6:
        lon, lat = observations.lon[at], observations.lat[at]
    else:
        lon = rng.integers(1_350_000_000, 1_366_000_001, size=2)
        lat = rng.integers(330_000_000, 346_000_001, size=2)
    west, east, south, north = (int(edge) for edge in (lon.min(), lon.max(), lat.min(), lat.max()))
    words["bbox"] = (west / 1e7, south / 1e7, east / 1e7, north / 1e7)
    return Box(west, south, east, north)


def _rfc3339(time_us: int) -> str:
    return f"{np.datetime64(time_us, 'us')}Z"


class Judge:
    """Turns answers into row numbers and compares them with brute force."""

    def __init__(self, observations: Observations) -> None:
        self._observations = observations
        self._names = pa.array(observations.names)
        keys = self._key(observations.sensor, observations.time)
        self._order = np.argsort(keys)
        self._keys = keys[self._order]
        assert (np.diff(self._keys) > 0).all(), "the records themselves are not distinct"

    @staticmethod
    def _key(sensor: Indices, time: Indices) -> Indices:
        return sensor * (1 << 40) + time // 60_000_000

    def rows_of(self, table: pa.Table) -> Indices:
        """Row numbers of an answer; every answered record must be one that was sent."""
        if not len(table):
            return np.empty(0, np.int64)
        encoded = table["sensor"].combine_chunks().dictionary_encode()
        positions = {name: index for index, name in enumerate(self._observations.names)}
        known = np.array([positions[name] for name in encoded.dictionary.to_pylist()], np.int64)
        sensor = known[encoded.indices.to_numpy()]
        time = table["time"].cast(pa.int64()).to_numpy()
        keys = self._key(sensor, time)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        assert (self._keys[at] == keys).all(), "the answer holds a record that nobody wrote"
        rows: Indices = self._order[at]
        assert (self._observations.time[rows] == time).all()
        assert (self._observations.value[rows] == table["value"].to_numpy()).all()
        lon = np.rint(table["lon"].to_numpy() * 1e7).astype(np.int64)
        assert (self._observations.lon[rows] == lon).all()
        return rows

    def check(self, question: Question, table: pa.Table, *, certain: int, possible: int) -> None:
        """At least the first `certain` records' matches, at most those of the first `possible`."""
        rows = self.rows_of(table)
        assert len(np.unique(rows)) == len(rows), f"a record twice: {question.words}"
        allowed = np.flatnonzero(question.matches(self._observations, possible))
        wanted = allowed[allowed < certain]
        missing = np.setdiff1d(wanted, rows)
        assert not len(missing), f"{len(missing)} of {len(wanted)} missing: {question.words}"
        extra = np.setdiff1d(rows, allowed)
        assert not len(extra), f"{len(extra)} too many: {question.words}"


def ask(client: Client, question: Question, rng: np.random.Generator) -> pa.Table:
    """In one answer, or (boxes now and then) in pages small enough that there are several."""
    if "bbox" not in question.words:
        return whole(lambda: [client.within(COLLECTION, **question.words)])
    if rng.random() < 0.1:
        limit = int(rng.integers(2_000, 50_000))
        return whole(lambda: pages(client, question, limit))
    return whole(lambda: [client.query(COLLECTION, **question.words)])


def whole(answers: Callable[[], Iterable[Result]]) -> pa.Table:
    """All that is answered while no node is away; one that has no time for its peers may be."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        results = list(answers())
        away = [result.coverage.details.get("away") for result in results]
        if not any(away):
            return pa.concat_tables([result.table for result in results])
        assert time.monotonic() < deadline_s, f"away for long: {away}"


def pages(client: Client, question: Question, limit: int) -> Iterator[Result]:
    """Follow the cursors until there is no next page."""
    for result in client.pages(COLLECTION, rows_max=limit, **question.words):
        assert len(result) <= limit
        yield result


def test_answers_equal_brute_force_at_rest(
    cluster: LocalCluster, loader: Loader, observations: Observations
) -> None:
    rng, judge = np.random.default_rng(SEED), Judge(observations)
    assert loader.acknowledged == loader.sent
    for number in range(QUERIES // 2):
        question = draw_question(rng, observations)
        # Any node must give the same answer; every other question goes the client's own way.
        url = cluster.urls[number % len(cluster.urls)]
        with Client(url, timeout_s=WAIT_S, direct=number % 2 == 0) as client:
            table = ask(client, question, rng)
        judge.check(question, table, certain=loader.sent, possible=loader.sent)


def test_answers_equal_brute_force_while_records_arrive_and_blocks_merge(
    cluster: LocalCluster, loader: Loader, observations: Observations
) -> None:
    rng, judge = np.random.default_rng(SEED + 1), Judge(observations)
    asked_all = threading.Event()
    failures: list[Exception] = []

    def load() -> None:
        repeats = np.random.default_rng(SEED + 2)
        try:
            while not asked_all.is_set() and loader.acknowledged < len(observations):
                loader.step(min(BATCH_RECORDS, len(observations) - loader.acknowledged))
                if repeats.random() < 0.1:
                    loader.repeat(int(repeats.integers(loader.acknowledged - BATCH_RECORDS)))
        except Exception as error:  # noqa: BLE001 - handed to the test, which fails with it
            failures.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        begun = loader.acknowledged
        for number in range(QUERIES // 2):
            question = draw_question(rng, observations)
            with Client(cluster.urls[number % 4], timeout_s=WAIT_S) as client:
                certain = loader.acknowledged
                table = ask(client, question, rng)
                possible = loader.sent
            judge.check(question, table, certain=certain, possible=possible)
    finally:
        asked_all.set()
        thread.join(WAIT_S)
    assert not failures, failures[0]
    assert loader.acknowledged > begun, "nothing arrived meanwhile"


def test_statistics_equal_brute_force(
    cluster: LocalCluster, loader: Loader, observations: Observations
) -> None:
    rng = np.random.default_rng(SEED + 3)
    stop = loader.acknowledged
    for number in range(50):
        question = draw_question(rng, observations)
        if "bbox" not in question.words:
            continue
        found = np.flatnonzero(question.matches(observations, stop))
        with Client(cluster.urls[number % 4], timeout_s=WAIT_S) as client:
            words = question.words
            table = whole(lambda: [client.aggregate(COLLECTION, **words)])  # noqa: B023 - used now
            groups = table.to_pylist()
        assert sum(group["count"] for group in groups) == len(found), question.words
        if len(found):
            (group,) = groups
            values = observations.value[found]
            assert group["value_min"] == values.min()
            assert group["value_max"] == values.max()
            assert group["value_sum"] == pytest.approx(values.sum())
            assert group["value_mean"] == pytest.approx(values.mean())
