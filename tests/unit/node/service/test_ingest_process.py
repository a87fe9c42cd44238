"""The process that carries a node's sources: watched, started again, never left behind."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from node.clock import SystemClock
from node.service import ingest_process
from node.service.ingest_process import NOT_STARTED, IngestProcess

DEADLINE_S = 90.0
REPORT = {"meters": {"source": "meters", "stored": 1}}
SAY = "import json, sys; print(json.dumps({'source': 'meters', 'stored': 1}), flush=True)\n"
WAIT = "sys.stdin.read()\n"


@asynccontextmanager
async def running(script: str, *, program: str = sys.executable) -> AsyncIterator[IngestProcess]:
    process = IngestProcess(
        [program, "-c", script],
        sources=["meters"],
        environment=dict(os.environ),
        clock=SystemClock(),
        restart_first_ms=20,
    )
    task = asyncio.create_task(process.run())
    try:
        yield process
    finally:
        task.cancel()
        await asyncio.wait((task,))
    assert process.status().state == "stopped"


async def wait_until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s
        await asyncio.sleep(0.01)


def is_there(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


async def test_its_last_report_is_shown_and_it_ends_with_the_node() -> None:
    async with running(SAY + "print('no report', flush=True)\n" + WAIT) as process:
        await wait_until(lambda: process.status().state == "running")
        status = process.status()
        assert (status.report, status.restarts, status.sources) == (REPORT, 0, ("meters",))
        assert status.process_id is not None and is_there(status.process_id)
    assert not is_there(status.process_id)
    assert process.status().process_id is None


async def test_it_is_started_again_when_it_fails_or_is_killed() -> None:
    async with running(SAY + "sys.exit(3)") as process:
        await wait_until(lambda: process.status().restarts >= 2)
        assert process.status().exit_code == 3
    async with running(SAY + WAIT) as process:
        await wait_until(lambda: process.status().state == "running")
        first = process.status().process_id
        assert first is not None
        os.kill(first, 9)
        await wait_until(
            lambda: process.status().state == "running" and process.status().process_id != first
        )
        assert (process.status().exit_code, process.status().restarts) == (-9, 1)


async def test_sources_that_have_nothing_more_are_not_started_again() -> None:
    async with running(SAY) as process:
        await wait_until(lambda: process.status().state == "stopped")
        assert (process.status().exit_code, process.status().restarts) == (0, 0)


async def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_process, "END_TIMEOUT_MS", 200)
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    async with running(script + SAY + "time.sleep(60)") as process:
        await wait_until(lambda: process.status().state == "running")
    assert process.status().exit_code == -9


async def test_a_program_that_is_not_there() -> None:
    async with running("", program="/no/such/program") as process:
        await wait_until(lambda: process.status().restarts >= 1)
        assert process.status().exit_code == NOT_STARTED


async def test_a_line_without_end_is_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_process, "LINE_BYTES_MAX", 1_000)
    async with running("print('x' * 100_000)\n" + SAY + WAIT) as process:
        await wait_until(lambda: process.status().state == "running")
        assert process.status().report == REPORT
