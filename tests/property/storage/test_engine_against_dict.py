"""The LMDB engine against a dict: any writes, corrections, deletions, merges, reopenings, scans.

The twin keeps one Python record for each identity and applies PROTOCOL 1.3 by hand.
"""

import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from node.records import JSON, Key, Rows, concat_rows, content_hashes, json_text
from node.storage.bucket_digests import (
    DAY_MAX,
    DAY_MIN,
    DAY_US,
    BucketDigests,
    digests_of_rows,
)
from node.storage.bucket_set import Bucket
from node.storage.engine import Scan
from node.storage.lmdb_engine import LmdbEngine
from node.storage.settings import EngineSettings
from zring.digest import SetDigest
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_BITS
from zring.span import EVERYTHING

Record = dict[str, Any]

TINY = EngineSettings(
    map_bytes_max=64 << 20,
    block_rows_max=4,
    slice_rows_max=24,
    slice_rows=12,
    step_blocks_max=3,
    step_rows_max=16,
    headers_max=3,
    piece_rows_max=9,
    segment_rows_max=12,
    full_fraction=0.99,
    disk_space=lambda path: (1 << 40, 1 << 39),
)
"""Every limit is met by a handful of rows."""
MICROS = 1_000_000
POSITIONS = [(1_350_000_000 + 137 * i, 330_000_000 + 7_919 * i) for i in range(6)] + [
    (1_366_000_000, 346_000_000),
    (1_350_000_000, 346_000_000),
]
VALUES: list[Any] = [None, 0, 27, 27.5, -3, 1e300, 0.1, "wet", "", True, [1, 2], {"a": 1}, b"\x00"]

records = st.fixed_dictionaries(
    {
        "sensor": st.sampled_from(["a", "b", "c", "雨量計"]),
        "time": st.integers(-3, 40).map(lambda n: n * 600 * MICROS)
        | st.sampled_from([4_070_908_800 * MICROS, -(1 << 61)]),
        "position": st.integers(0, len(POSITIONS) - 1),
        "version": st.sampled_from([0, 0, 0, 1, 2]),
        "deleted": st.sampled_from([False] * 7 + [True]),
        "temp": st.sampled_from(VALUES[:7]),
        "note": st.sampled_from(VALUES),
    }
)


def column_of(cells: list[Any]) -> pa.Array | None:
    """Cells of any types as a door would give them; None when all are absent."""
    present = [cell for cell in cells if cell is not None]
    if not present:
        return None
    kinds = {type(cell) for cell in present}
    for kind, arrow in (
        ({int}, pa.int64()),
        ({int, float}, pa.float64()),
        ({float}, pa.float64()),
        ({bool}, pa.bool_()),
        ({str}, pa.string()),
        ({bytes}, pa.binary()),
    ):
        if kinds == kind:
            return pa.array(cells, arrow)
    texts = [None if cell is None else json_text(cell) for cell in cells]
    return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))


def rows_of(found: list[Record]) -> Rows:
    lon = np.array([POSITIONS[record["position"]][0] for record in found], np.int32)
    lat = np.array([POSITIONS[record["position"]][1] for record in found], np.int32)
    deleted = np.array([record["deleted"] for record in found], np.bool_)
    values = {}
    for name in ("temp", "note"):
        cells = [None if record["deleted"] else record[name] for record in found]
        column = column_of(cells)
        if column is not None:
            values[name] = column
    return Rows.build(
        time=np.array([record["time"] for record in found], np.int64),
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        # A deletion never shares its version with a record (PROTOCOL 1.6).
        version=np.array([2 * r["version"] + r["deleted"] for r in found], np.int64),
        deleted=deleted,
        sensor=pa.array([record["sensor"] for record in found], pa.string()),
        values=values,
    )


def plain(value: Any) -> str:
    """One spelling for values that are the same content: 27, 27.0 and the JSON 27."""
    if isinstance(value, bytes):
        value = json.loads(json_text(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(float(value))
    return json.dumps(value, sort_keys=True)


def cells_of(rows: Rows, name: str) -> list[str | None]:
    if name not in rows.values:
        return [None] * len(rows)
    column = rows.values[name]
    if column.type == JSON:
        texts = column.storage.to_pylist()
        return [None if text is None else plain(json.loads(text)) for text in texts]
    return [None if cell is None else plain(cell) for cell in column.to_pylist()]


def answer_of(rows: Rows) -> list[tuple[Any, ...]]:
    return list(
        zip(
            rows.code.tolist(),
            rows.time.tolist(),
            rows.sensor_hash.tolist(),
            rows.sensor.to_pylist(),
            rows.lon.tolist(),
            rows.lat.tolist(),
            rows.version.tolist(),
            cells_of(rows, "temp"),
            cells_of(rows, "note"),
            strict=True,
        )
    )


class EngineAgainstDict(RuleBasedStateMachine):
    """Rules act on both; every scan must give the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="zring-store-"))
        self.loop = asyncio.new_event_loop()
        self.engine = LmdbEngine.open(self.folder, domain=DEMO_DOMAIN, settings=TINY)
        self.twin: dict[tuple[int, int, int], tuple[tuple[int, int], bool, tuple[Any, ...]]] = {}
        self.sequence = 0

    def teardown(self) -> None:
        self.loop.run_until_complete(self.engine.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)

    def remember(self, rows: Rows) -> None:
        contents = content_hashes(rows)
        for index, line in enumerate(answer_of(rows)):
            order = (int(rows.version[index]), int(contents[index]))
            key = line[:3]
            if key not in self.twin or order > self.twin[key][0]:
                self.twin[key] = (order, bool(rows.deleted[index]), line)

    @rule(found=st.lists(records, min_size=1, max_size=30))
    def write(self, found: list[Record]) -> None:
        rows = rows_of(found)
        sequence = self.loop.run_until_complete(self.engine.write([("c", rows)]))
        assert sequence > self.sequence
        self.sequence = sequence
        self.remember(rows)

    @rule()
    def merge(self) -> None:
        self.loop.run_until_complete(self.engine.merge())
        assert self.engine.statistics().log_records == 0

    @rule()
    def reopen(self) -> None:
        store_id = self.engine.store_id
        self.loop.run_until_complete(self.engine.close())
        self.engine = LmdbEngine.open(self.folder, domain=DEMO_DOMAIN, settings=TINY)
        assert (self.engine.store_id, self.engine.sequence) == (store_id, self.sequence)

    def everything(self) -> Rows:
        """All newest records, deletions too."""
        parts, after = [], None
        while True:
            step = self.engine.scan(Scan("c", deletions=True), after=after)
            parts.append(step.rows)
            after = step.resume
            if after is None:
                return concat_rows(parts)

    def ask_digests(self, level: int, *, by_day: bool) -> BucketDigests:
        return self.loop.run_until_complete(
            self.engine.digests(
                "c",
                level=level,
                spans=EVERYTHING,
                day_start=DAY_MIN,
                day_stop=DAY_MAX,
                by_day=by_day,
            )
        )

    @rule(level=st.sampled_from([0, 3, 8, 20, 31]), by_day=st.booleans())
    def digests(self, level: int, by_day: bool) -> None:
        found = self.ask_digests(level, by_day=by_day)
        expected = digests_of_rows("c", self.everything(), level=level, by_day=by_day)
        for name in ("cells", "days", "totals", "counts"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))

    @precondition(lambda self: self.twin)
    @rule(data=st.data(), level=st.sampled_from([1, 8, 20]))
    def remove(self, data: st.DataObject, level: int) -> None:
        known = self.ask_digests(level, by_day=True)
        places = data.draw(
            st.lists(st.integers(0, len(known) - 1), min_size=1, max_size=4, unique=True)
        )
        wrong = data.draw(st.sets(st.sampled_from(places), max_size=1))
        shift = CODE_BITS - 2 * level
        buckets = [
            Bucket(
                int(known.cells[at]) << shift,
                (int(known.cells[at]) + 1) << shift,
                int(known.days[at]),
                SetDigest(int(known.totals[at]) ^ (at in wrong), int(known.counts[at])),
            )
            for at in places
        ]
        removed = self.loop.run_until_complete(self.engine.remove("c", buckets, expected_meta={}))
        assert removed == tuple(at not in wrong for at in places)
        gone = {(b.start, b.day) for b, is_gone in zip(buckets, removed, strict=True) if is_gone}
        for code, when, sensor in list(self.twin):
            if (code >> shift << shift, when // DAY_US) in gone:
                del self.twin[code, when, sensor]

    @rule(day=st.integers(-1, 1))
    def expire(self, day: int) -> None:
        self.loop.run_until_complete(self.engine.expire("c", day))
        for key in [key for key in self.twin if key[1] < day * DAY_US]:
            del self.twin[key]

    @precondition(lambda self: self.twin)
    @rule(data=st.data())
    def scan(self, data: st.DataObject) -> None:
        first, second = sorted(data.draw(st.tuples(st.integers(-4, 41), st.integers(-4, 41))))
        west, east = sorted(data.draw(st.tuples(*[st.sampled_from(POSITIONS)] * 2)))
        corner = (min(west[1], east[1]), max(west[1], east[1]))
        wants_time, wants_box = data.draw(st.booleans()), data.draw(st.booleans())
        sensors = data.draw(st.none() | st.frozensets(st.sampled_from(["a", "b", "雨量計", "?"])))
        codes = sorted({key[0] for key in self.twin})
        spans = data.draw(
            st.none() | st.just(((codes[0], codes[len(codes) // 2] + 1), (codes[-1], 1 << 62)))
        )
        if spans is not None and spans[0][1] > spans[1][0]:
            spans = ((codes[0], 1 << 62),)
        scan = Scan(
            "c",
            time_start=first * 600 * MICROS if wants_time else -(1 << 62),
            time_stop=second * 600 * MICROS + 1 if wants_time else 1 << 62,
            west=west[0] if wants_box else -(1 << 31),
            east=east[0] if wants_box else (1 << 31) - 1,
            south=corner[0] if wants_box else -(1 << 31),
            north=corner[1] if wants_box else (1 << 31) - 1,
            spans=spans,
            sensors=sensors,
        )
        expected = [
            line
            for key, (_, deleted, line) in sorted(self.twin.items())
            if not deleted
            and scan.time_start <= key[1] < scan.time_stop
            and scan.west <= line[4] <= scan.east
            and scan.south <= line[5] <= scan.north
            and (spans is None or any(start <= key[0] < stop for start, stop in spans))
            and (sensors is None or line[3] in sensors)
        ]
        rows_max = data.draw(st.none() | st.integers(1, 10))
        moves = data.draw(st.lists(st.booleans(), max_size=5))
        found: list[tuple[Any, ...]] = []
        after: Key | None = None
        for turn in range(10_000):
            step = self.engine.scan(scan, after=after, rows_max=rows_max)
            found += answer_of(step.rows)
            assert step.resume is None or after is None or step.resume > after
            after = step.resume
            if after is None:
                break
            if turn < len(moves) and moves[turn]:
                self.merge()
        assert found == expected
        only = self.engine.scan(
            Scan("c", scan.time_start, scan.time_stop, sensors=sensors, columns=("temp",))
        )
        assert set(only.rows.values) <= {"temp"}

    @invariant()
    def knows_its_bounds(self) -> None:
        statistics = self.engine.statistics()
        assert statistics.sequence == self.sequence
        if self.twin:
            known = statistics.collections["c"]
            assert known.records >= len(self.twin)
            times = [key[1] for key in self.twin]
            assert known.time_min <= min(times) and known.time_max >= max(times)


EngineAgainstDict.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestEngineAgainstDict = EngineAgainstDict.TestCase
