"""A process that is killed at any step of a merge, or anywhere, loses and doubles nothing."""

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from node.records import Rows
from node.storage.engine import Scan
from node.storage.lmdb_engine import LmdbEngine
from node.storage.settings import EngineSettings
from tests.unit.node.storage.test_idle import until
from zring.domain import DEMO_DOMAIN
from zring.morton import Int64s

BATCH_ROWS = 200
CHILD = """
import asyncio, os, signal, sys
import numpy as np, pyarrow as pa
from node.records import Rows
from node.storage.lmdb_engine import LmdbEngine
from node.storage.settings import EngineSettings
from zring.domain import DEMO_DOMAIN

folder, step, turn = sys.argv[1], sys.argv[2], int(sys.argv[3])
joining = len(sys.argv) > 4
seen, counts = 0, not joining

def on_step(name):
    global seen, counts
    counts = counts or name == "slice-joining"
    seen += name == step and counts
    if name == step and seen == turn:
        os.kill(os.getpid(), signal.SIGKILL)

settings = EngineSettings(
    block_rows_max=32, slice_rows_max=512, slice_rows=256, piece_rows_max=300,
    idle_s=0.05 if joining else 3600, idle_join_share=1000, run_growth=1, on_step=on_step,
)

async def main():
    engine = LmdbEngine.open(folder, domain=DEMO_DOMAIN, settings=settings)
    for batch in range(1000):
        if joining and batch == 10:
            await asyncio.sleep(60)
        number = np.arange(batch * 200, batch * 200 + 200)
        if joining:
            # Runs that overlap: each batch has a fifth of a stretch of time.
            number = number % 200 * 5 + batch % 5 + batch // 5 * 1000
        lon = (1350000000 + number % 9 * 1000000).astype(np.int32)
        lat = (330000000 + number % 7 * 1000000).astype(np.int32)
        rows = Rows.build(
            time=number * 1000000, lon=lon, lat=lat,
            code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
            sensor=pa.array([f"s{i % 9}" for i in number]), values={"n": pa.array(number)},
        )
        await engine.write([("c", rows)])
        print(batch, flush=True)
        if batch % 4 == 3:
            await engine.merge()

asyncio.run(main())
"""
STEPS = [
    ("commit-before", 6),
    ("commit-durable", 6),
    ("merge-frozen", 2),
    ("merge-encoded", 5),
    ("blocks-put", 5),
    ("swap-done", 5),
    ("blocks-deleted", 2),
    ("log-trimmed", 2),
    ("merge-done", 2),
]
JOIN_STEPS = [
    ("blocks-put", 1),
    ("swap-done", 1),
    ("blocks-deleted", 1),
]


async def check_store(folder: Path, acknowledged: int) -> None:
    """Every acknowledged batch is there once; at most one more that nobody was told of."""
    settings = EngineSettings(idle_s=0.1, idle_join_share=1 << 30)
    engine = LmdbEngine.open(folder, domain=DEMO_DOMAIN, settings=settings)
    for _ in range(2):
        times, values, after = [], [], None
        while True:
            step = engine.scan(Scan("c"), after=after)
            times.append(step.rows.time)
            if len(step.rows):
                values.append(step.rows.values["n"].to_numpy())
            after = step.resume
            if after is None:
                break
        found = np.sort(np.concatenate(times)) // 1_000_000
        assert len(found) in (acknowledged * BATCH_ROWS, (acknowledged + 1) * BATCH_ROWS)
        assert (found == np.arange(len(found))).all()
        assert (np.sort(np.concatenate(values)) == found).all()
        await engine.merge()
    # A merge that was cut off leaves doubles in two runs until the store at rest has joined them.
    await until(lambda: engine.statistics().records == len(found))
    assert engine.statistics().log_records == 0
    await engine.close()


@pytest.mark.parametrize(("step", "turn"), STEPS, ids=[step for step, _ in STEPS])
def test_killed_at_a_step(tmp_path: Path, step: str, turn: int) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), step, str(turn)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == -9, child.stderr
    asyncio.run(check_store(tmp_path, len(child.stdout.split())))


@pytest.mark.parametrize(("step", "turn"), JOIN_STEPS, ids=[step for step, _ in JOIN_STEPS])
def test_killed_while_joining_at_rest(tmp_path: Path, step: str, turn: int) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), step, str(turn), "joining"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == -9, child.stderr
    asyncio.run(check_store(tmp_path, len(child.stdout.split())))


@pytest.mark.parametrize("lines", [3, 11, 26])
def test_killed_under_load(tmp_path: Path, lines: int) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path), "never", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(lines):
            child.stdout.readline()
        child.kill()
        more = child.stdout.read().split()
    asyncio.run(check_store(tmp_path, lines + len(more)))


REMOVER = """
import asyncio, os, signal, sys
from pathlib import Path
from node.storage.bucket_set import Bucket
from node.storage.lmdb_engine import LmdbEngine
from node.storage.settings import EngineSettings
from zring.digest import SetDigest
from zring.domain import DEMO_DOMAIN

folder, where, turn = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
seen = {}

def on_step(step):
    seen[step] = seen.get(step, 0) + 1
    if "armed" in seen and step == where and seen[step] == turn:
        os.kill(os.getpid(), signal.SIGKILL)

settings = EngineSettings(block_rows_max=32, slice_rows_max=512, slice_rows=256, on_step=on_step)

async def main():
    engine = LmdbEngine.open(folder, domain=DEMO_DOMAIN, settings=settings)
    half = 1 << 61
    found = await engine.digests(
        "c", level=1, spans=((0, half),), day_start=0, day_stop=1, by_day=True
    )
    total = found.total()
    if where != "merge-done":  # which comes from within the removal
        await engine.merge()
    seen.clear()
    seen["armed"] = 1
    removed = await engine.remove(
        "c", [Bucket(0, half, 0, total)], expected_meta={}, meta={"filled": b"less"}
    )
    assert removed == (True,)
    print("removed", flush=True)
    await engine.close()

asyncio.run(main())
"""
REMOVAL_STEPS = [
    ("merge-done", 1),
    ("commit-before", 1),
    ("blocks-put", 1),
    ("commit-before", 2),
    ("commit-durable", 2),
    ("swap-done", 1),
    ("commit-before", 3),
    ("blocks-deleted", 1),
    ("never", 1),
]


async def write_some(folder: Path) -> Int64s:
    """1,500 records in blocks and 200 in the log; returns their codes."""
    number = np.arange(1_700)
    lon = (1_350_000_000 + number % 9 * 1_700_000).astype(np.int32)
    lat = (330_000_000 + number % 7 * 2_200_000).astype(np.int32)
    code = DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat)
    rows = Rows.build(
        time=number * 1_000_000,
        lon=lon,
        lat=lat,
        code=code,
        sensor=pa.array([f"s{i % 9}" for i in number]),
        values={"n": pa.array(number)},
    )
    settings = EngineSettings(block_rows_max=32, slice_rows_max=512, slice_rows=256)
    engine = LmdbEngine.open(folder, domain=DEMO_DOMAIN, settings=settings)
    await engine.write([("c", rows.slice(0, 1_500))])
    await engine.merge()
    await engine.write([("c", rows.slice(1_500, 1_700))])
    await engine.close()
    return code


@pytest.mark.parametrize(
    ("step", "turn"), REMOVAL_STEPS, ids=[f"{s}-{t}" for s, t in REMOVAL_STEPS]
)
def test_killed_while_removing(tmp_path: Path, step: str, turn: int) -> None:
    """Nothing is gone before the second commit, and after it all, with the setting written."""
    code = asyncio.run(write_some(tmp_path))
    child = subprocess.run(
        [sys.executable, "-c", REMOVER, str(tmp_path), step, str(turn)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == (0 if step == "never" else -9), child.stderr
    asyncio.run(check_removal(tmp_path, code, is_gone=(step, turn) in REMOVAL_STEPS[4:]))


async def check_removal(folder: Path, code: Int64s, *, is_gone: bool) -> None:
    engine = LmdbEngine.open(folder, domain=DEMO_DOMAIN)
    found = []
    for _ in range(2):
        numbers: list[int] = []
        step = engine.scan(Scan("c"))
        numbers += step.rows.values["n"].to_pylist()
        while step.resume is not None:
            step = engine.scan(Scan("c"), after=step.resume)
            numbers += step.rows.values["n"].to_pylist()
        found.append(sorted(numbers))
        await engine.merge()
    assert found[0] == found[1]
    stays = np.flatnonzero(code >= 1 << 61).tolist()
    assert 0 < len(stays) < len(code)
    assert (engine.read_meta("filled") is not None) == is_gone
    assert found[0] == (stays if is_gone else list(range(len(code))))
    assert engine.statistics().records == len(found[0])
    await engine.close()
