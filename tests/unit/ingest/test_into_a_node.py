"""Files into a real node over HTTP, and back."""

import asyncio
import json
from collections.abc import AsyncIterator

import pyarrow as pa
import pytest
from click.testing import CliRunner

import zring
from ingest.files import ingest
from ingest.formats import DECODERS, Context
from ingest.formats.compressed import open_plain
from ingest.generate import generate_records
from ingest.generate.command import generate
from node.api.app import make_app
from node.api.server import start_site
from node.clock import SystemClock
from node.config import Limits
from node.service.service import Service
from node.storage.memory_engine import MemoryEngine
from zring.domain import DEMO_DOMAIN
from zring.ring import Settings, founding_ring


class NoPeers:
    """The transport of a node without others."""

    async def start(self, handler, arriving):
        return None

    async def call(self, address, message, **_given):
        raise AssertionError(f"nobody is at {address}")

    async def close(self):
        return None


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The address of a node with the in-memory engine."""
    limits = Limits()
    service = Service(
        node_id="a",
        ring=founding_ring("test", DEMO_DOMAIN, 8, ("a",), Settings(epoch=0, replicas=0)),
        engine=MemoryEngine(domain=DEMO_DOMAIN),
        transport=NoPeers(),
        clock=SystemClock(),
        limits=limits,
    )
    await service.start()
    runner, port = await start_site(make_app(service, limits=limits), host="127.0.0.1", port=0)
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()
    await service.stop()


async def _run(*arguments):
    words = [str(argument) for argument in arguments]
    result = await asyncio.to_thread(CliRunner().invoke, ingest, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


async def _stored(url, collection):
    def query():
        with zring.connect(url) as client:
            return client.query(collection).table

    return await asyncio.to_thread(query)


async def test_generated_records_come_back_as_they_were_made(url, tmp_path):
    path = tmp_path / "g.parquet"
    words = ["--count", "20000", "--to", "file", "--output", str(path)]
    made_file = await asyncio.to_thread(CliRunner().invoke, generate, words)
    assert made_file.exit_code == 0, made_file.output
    result = await _run("files", path, "--url", url, "--json")
    assert json.loads(result.output)["stored"] == 20_000
    stored = await _stored(url, "amedas")
    made = pa.Table.from_batches(list(generate_records(20_000)))
    order = [("time", "ascending"), ("sensor", "ascending")]
    stored, made = stored.sort_by(order), made.sort_by(order)
    for name in made.column_names:
        assert stored[name].to_pylist() == made[name].to_pylist(), name


async def test_loading_twice_changes_nothing(url, amedas_files, tmp_path):
    arguments = ("files", amedas_files / "bosai_map", "--url", url, "--json")
    first = json.loads((await _run(*arguments)).output)
    before = await _stored(url, "amedas")
    second = json.loads((await _run(*arguments)).output)
    assert first["stored"] == second["stored"] == before.num_rows > 0
    assert (await _stored(url, "amedas")).equals(before)


async def test_grouped_values_are_all_there(url, amedas_files, tmp_path):
    """The first 2,000 rows of the long file, at the door and in the store."""
    with open_plain(amedas_files / "square_long_real_1218583.csv.gz") as stream:
        lines = stream.read().split(b"\n")[:2_001]
    path = tmp_path / "long.csv"
    path.write_bytes(b"\n".join(lines) + b"\n")
    result = json.loads((await _run("files", path, "--url", url, "--json")).output)
    with path.open("rb") as stream:
        parts = [part for part in DECODERS["long"](stream, Context()) if len(part.rows)]
    stored = await _stored(url, "amedas")
    assert stored.num_rows == result["stored"] == sum(len(part.rows) for part in parts)
    for name in ("temp", "precipitation1h", "dayMaxTemp"):
        expected = sum(
            len(part.columns[name]) - part.columns[name].null_count
            for part in parts
            if name in part.columns
        )
        found = stored[name] if name in stored.column_names else pa.nulls(stored.num_rows)
        assert len(found) - found.null_count == expected


async def test_a_node_that_is_not_there(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("sensor,time,lon,lat,v\na,2023-07-13T12:00:00Z,135.5,33.5,1\n")
    result = await _run("files", path, "--url", "http://127.0.0.1:1", "--timeout", "0.2")
    assert result.exit_code == 3
    assert "repeat the command" in result.output
