"""A store that is left alone merges its log and joins its runs; one at work does not."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node.storage.block_index import SUMMARY, BlockIndex
from node.storage.engine import Scan
from node.storage.lmdb_engine import LmdbEngine
from node.storage.merger import slice_to_join
from node.storage.settings import EngineSettings
from tests.unit.node.storage.test_contract import SMALL, everything, make_rows
from zring.domain import DEMO_DOMAIN

IDLE = replace(SMALL, idle_s=0.02)


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline_s, "never came true"
        await asyncio.sleep(0)


def runs_to_join(engine: LmdbEngine) -> int | None:
    return slice_to_join(engine._views["c"].index, engine._settings)


async def test_the_log_is_merged_and_runs_are_joined_when_nobody_writes(tmp_path: Path) -> None:
    engine = LmdbEngine.open(tmp_path, domain=DEMO_DOMAIN, settings=IDLE)
    rows = make_rows(600)
    for start in (0, 100, 300):
        await engine.write([("c", rows.slice(start, start + 100))])
        await engine.merge()
    await engine.write([("c", rows)])
    await until(lambda: engine.statistics().log_records == 0)
    await until(lambda: runs_to_join(engine) is None)
    assert len(await everything(engine, Scan("c"))) == 600
    # The thread rests by now; a single record wakes it again.
    merges = engine.statistics().counters["merges"]
    await engine.write([("c", make_rows(1, start=900))])
    await until(lambda: engine.statistics().counters["merges"] > merges)
    assert engine.statistics().log_records == 0
    await engine.close()


async def test_a_log_that_is_never_left_alone_is_merged_when_it_is_old(tmp_path: Path) -> None:
    settings = replace(IDLE, log_age_merge_s=0.1)
    engine = LmdbEngine.open(tmp_path, domain=DEMO_DOMAIN, settings=settings)
    deadline_s = time.monotonic() + 90
    number = 0
    while not engine.statistics().counters["merges"]:
        assert time.monotonic() < deadline_s, "never merged"
        await engine.write([("c", make_rows(1, start=number))])
        number += 1
    assert len(await everything(engine, Scan("c"))) == number
    await engine.close()


@pytest.mark.parametrize(
    ("runs", "joined"),
    [
        ([1_000], False),
        ([1_000, 20], False),  # a trickle is left until it is worth it
        ([1_000, 100], True),
        ([1_000, 5, 5, 5, 5], True),  # or until there are many
    ],
)
def test_runs_are_joined_where_it_is_worth_it(runs: list[int], joined: bool) -> None:
    summaries = np.zeros(len(runs), SUMMARY)
    summaries["rows"], summaries["run"] = runs, np.arange(len(runs))
    assert (slice_to_join(BlockIndex.of(summaries), EngineSettings()) == 0) is joined
