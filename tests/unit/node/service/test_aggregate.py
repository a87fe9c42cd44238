"""Statistics against a dictionary, on one node, on four, and while keepers are read as well."""

import itertools
import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from node.errors import BadRequest, NotFound, TooLarge
from node.filter import parse_filter
from node.query import AggregateQuery, Query
from node.service.groups import group_rows, partial_to_table, rows_to_partial
from tests.unit.node.service.conftest import DAY_US, Bench, Play, make_rows
from zring.area import Circle
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_BITS

ROWS = make_rows(1_200, 3)
CENTRE = Circle(
    lon=(DEMO_DOMAIN.west + DEMO_DOMAIN.east) // 2,
    lat=(DEMO_DOMAIN.south + DEMO_DOMAIN.north) // 2,
    radius_m=60_000,
)


def brute(wanted: AggregateQuery) -> dict[tuple[Any, Any], dict[str, Any]]:
    query = wanted.query
    inside = np.ones(len(ROWS), np.bool_)
    if query.area is not None:
        inside = query.area.contains(lon=ROWS.lon, lat=ROWS.lat)
    groups: dict[tuple[Any, Any], list[int]] = defaultdict(list)
    for index in np.flatnonzero(inside).tolist():
        temp = ROWS.values["temp"][index].as_py()
        if query.filter is not None and not (temp is not None and temp > 15):
            continue
        code, time = int(ROWS.code[index]), int(ROWS.time[index])
        cell = None if wanted.level is None else code >> (CODE_BITS - 2 * wanted.level)
        step = None if wanted.step_us is None else time // wanted.step_us * wanted.step_us
        groups[cell, step].append(index)
    result = {}
    for key, members in groups.items():
        row: dict[str, Any] = {"count": len(members)}
        for name in ("temp", "count"):
            if query.columns is not None and name not in query.columns:
                continue
            column = ROWS.values[name]
            found = [v for i in members if (v := column[i].as_py()) is not None]
            row[f"{name}_count"] = len(found)
            row[f"{name}_sum"] = sum(found) if found else None
            row[f"{name}_mean"] = sum(found) / len(found) if found else None
            row[f"{name}_min"] = min(found, default=None)
            row[f"{name}_max"] = max(found, default=None)
        result[key] = row
    return result


def check(table: Any, wanted: AggregateQuery) -> None:
    expected = brute(wanted)
    rows = table.to_pylist()
    keys = []
    for row in rows:
        time = row.pop("time")
        moment = None if time is None else round(time.timestamp() * 1_000_000)
        keys.append((row.pop("cell"), moment))
        for name, value in expected[keys[-1]].items():
            if isinstance(value, float):
                assert math.isclose(row.pop(name), value, rel_tol=1e-9, abs_tol=1e-9)
            else:
                assert row.pop(name) == value, (keys[-1], name)
        assert not row, "columns nobody asked for"
    assert len(keys) == len(expected)
    assert keys == sorted(keys, key=lambda key: (key[0] or 0, key[1] or 0))


QUESTIONS = [
    AggregateQuery(Query("c")),
    AggregateQuery(Query("c"), level=0),
    AggregateQuery(Query("c"), level=3),
    AggregateQuery(Query("c"), level=12),
    AggregateQuery(Query("c"), step_us=DAY_US),
    AggregateQuery(Query("c"), level=2, step_us=7 * DAY_US),
    AggregateQuery(Query("c"), level=2, step_us=1_000_000),
    AggregateQuery(Query("c", columns=("temp",)), level=2),
    AggregateQuery(Query("c", area=CENTRE), level=4),
    AggregateQuery(Query("c", filter=parse_filter("temp > 15"), columns=("count",)), level=2),
]


@pytest.mark.parametrize("nodes", [1, 4])
def test_against_a_dictionary(play: Play, nodes: int) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        for index, wanted in enumerate(QUESTIONS):
            service = bench.services[index % nodes]
            answer = await service.aggregate(wanted)
            assert answer.coverage.state == "complete"
            check(answer.table, wanted)

    play(test, nodes=nodes)


def test_nothing_is_counted_twice_while_keepers_are_read(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", ROWS, "all")
        await bench.cluster.nodes["n4"].crash()
        for _ in range(2):
            for wanted in QUESTIONS:
                answer = await bench.service("n1").aggregate(wanted)
                assert answer.coverage.state == "local"
                check(answer.table, wanted)
            await bench.wait_until(lambda: "n4" in bench.service("n1").status().coverage.away)

    play(test)


def test_refused(play: Play) -> None:
    async def test(bench: Bench) -> None:
        service = bench.service("n1")
        with pytest.raises(NotFound):
            await service.aggregate(QUESTIONS[0])
        await service.write("c", ROWS)
        wrong = [replace(QUESTIONS[0], level=32), replace(QUESTIONS[0], step_us=0)]
        for wanted in wrong:
            with pytest.raises(BadRequest):
                await service.aggregate(wanted)
        with pytest.raises(TooLarge, match="limit=5"):
            await service.aggregate(AggregateQuery(Query("c", limit=5), level=4))

    play(test, nodes=1)


@pytest.mark.parametrize("seed", range(20))
def test_groups(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 200))
    cell = rng.integers(0, 10, count)
    step = rng.integers(-(10**12) if seed % 2 else -3, 3, count)
    if seed % 3 == 0:
        order = np.lexsort((step, cell))
        cell, step = cell[order], step[order]
    groups = group_rows(cell, step)
    expected = sorted(set(zip(cell.tolist(), step.tolist(), strict=True)))
    assert list(zip(groups.cell.tolist(), groups.step.tolist(), strict=True)) == expected
    cells, steps = groups.sorted(cell), groups.sorted(step)
    ends = np.append(groups.starts, count)
    for index, (start, stop) in enumerate(itertools.pairwise(ends)):
        assert set(cells[start:stop].tolist()) == {expected[index][0]}
        assert set(steps[start:stop].tolist()) == {expected[index][1]}


@pytest.mark.parametrize("run_rows_mean", [1, 5, 40])
def test_groups_of_rows_in_any_order_are_those_of_sorted_rows(run_rows_mean: int) -> None:
    random = np.random.default_rng(run_rows_mean)
    count = 600
    repeats = random.integers(1, 2 * run_rows_mean, count)
    at = np.repeat(random.integers(0, len(ROWS), count), repeats)
    mixed, in_order = ROWS.take(at), ROWS.take(np.sort(at))
    for level, step_us in ((4, None), (None, DAY_US), (6, DAY_US)):
        found, expected = (
            partial_to_table(
                rows_to_partial(rows, level=level, step_us=step_us, names=("temp",)),
                level=level,
                step_us=step_us,
            )
            for rows in (mixed, in_order)
        )
        assert found["count"].to_pylist() == expected["count"].to_pylist()
        for name in ("cell", "time", "temp_count", "temp_min", "temp_max"):
            assert found[name].equals(expected[name]), name
        np.testing.assert_allclose(found["temp_sum"], expected["temp_sum"])
