"""A record that differs in a large bucket costs some ranges of hashes, not the bucket."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from node.protocol import hash_ranges
from node.protocol.hash_ranges import LARGE_ROWS
from node.records import Rows
from tests.unit.node.service.conftest import DAY_US, START_US, Bench, Play
from tests.unit.node.service.test_mover import digest, put, repair, stored
from zring.domain import DEMO_DOMAIN

COUNT = 6 * LARGE_ROWS


def one_bucket(count: int) -> Rows:
    """Records of one place on one day."""
    lon = np.full(count, DEMO_DOMAIN.west + 1_000, np.int32)
    lat = np.full(count, DEMO_DOMAIN.south + 1_000, np.int32)
    step_us = (DAY_US - START_US % DAY_US) // (count + 1)
    return Rows.build(
        time=START_US + np.arange(count) * step_us,
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        sensor=pa.array([f"s{index % 7}" for index in range(count)]),
        values={"temp": pa.array(np.arange(count, dtype=np.float64))},
    )


def moved(bench: Bench) -> tuple[int, int]:
    """Records and bytes that the movers have carried."""
    names = ("mover_bytes_sent", "mover_bytes_received")
    counters = [service.counters for service in bench.services]
    return (
        sum(one["records_moved"] for one in counters),
        sum(one[name] for one in counters for name in names),
    )


@pytest.mark.parametrize("both_ways", [False, True])
def test_few_bytes_for_few_differences(
    play: Play, both_ways: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_ranges, "WINDOW_ROWS", 25_000)  # three windows

    async def test(bench: Bench) -> None:
        rows = one_bucket(COUNT)
        mine, theirs = rows.slice(0, COUNT - 1), rows
        if both_ways:
            newer = replace(rows.slice(40, 41), version=np.array([7]))
            await put(bench, "n1", newer)
            mine = rows.slice(1, COUNT)
        await put(bench, "n1", mine)
        await put(bench, "n2", theirs if not both_ways else rows.slice(0, COUNT - 5))
        before = moved(bench)
        await repair(bench)
        records, size = (after - old for after, old in zip(moved(bench), before, strict=True))
        assert digest(stored(bench, "n1")) == digest(stored(bench, "n2"))
        assert len(stored(bench, "n1")) == COUNT
        assert records == (7 if both_ways else 1)
        assert size < 3 * LARGE_ROWS * 40 / 8, "less than an eighth of what the offers would be"

    play(test, nodes=2, replicas=1, steps=100_000)


def test_a_peer_of_the_version_before_is_offered_the_bucket(play: Play) -> None:
    async def test(bench: Bench) -> None:
        rows = one_bucket(2 * LARGE_ROWS)
        await put(bench, "n1", rows)
        await put(bench, "n2", rows.slice(0, len(rows) - 1))
        for service in bench.services:
            del service._handlers._by_kind["ranges"]
        await repair(bench)
        assert digest(stored(bench, "n1")) == digest(stored(bench, "n2"))
        assert len(stored(bench, "n2")) == len(rows)

    play(test, nodes=2, replicas=1, steps=100_000)
