"""The listing of a node's own store: everything in it, nothing else, for operators only."""

import pyarrow as pa
import pytest

from node.config import Role
from node.records import record_digests
from node.storage.engine import Scan
from zring.domain import DEMO_DOMAIN

from .conftest import Door, record


def listing(body: bytes) -> pa.Table:
    with pa.ipc.open_stream(body) as reader:
        return reader.read_all()


async def test_every_record_is_listed_with_code_and_digest(door: Door) -> None:
    records = [record(time=f"2023-07-13T{hour:02}:00:00Z", sensor=f"s{hour}") for hour in range(24)]
    await door.store(records)
    await door.store(record(sensor="elsewhere"), collection="other")
    reply = await door.ask("/cluster/store/amedas")
    assert reply.headers["Content-Type"] == "application/vnd.apache.arrow.stream"
    table = listing(reply.body)
    assert sorted(table["sensor"].to_pylist()) == sorted(entry["sensor"] for entry in records)
    code = DEMO_DOMAIN.position_to_code(lon=1_351_630_000, lat=342_280_000)
    assert set(table["code"].to_pylist()) == {code}
    assert (table["lon"][0].as_py(), table["lat"][0].as_py()) == (135.163, 34.228)
    rows = door.service.engine.scan(Scan("amedas")).rows
    assert table["digest"].to_pylist() == record_digests("amedas", rows).tolist()
    assert table["deleted"].to_pylist() == [False] * len(records)


async def test_other_values_give_another_digest(door: Door) -> None:
    await door.store(record())
    (before,) = listing((await door.ask("/cluster/store/amedas")).body)["digest"].to_pylist()
    await door.store(record(version=1, values={"temp": 1}))
    (after,) = listing((await door.ask("/cluster/store/amedas")).body)["digest"].to_pylist()
    assert before != after


async def test_what_is_not_in_the_store_has_no_records(door: Door) -> None:
    reply = await door.ask("/cluster/store/never")
    assert (reply.status, listing(reply.body).num_rows) == (200, 0)


async def test_a_parameter_is_refused(door: Door) -> None:
    assert (await door.ask("/cluster/store/amedas?limit=1")).status == 400


@pytest.mark.parametrize("tokens", [{"r": "read", "w": "write", "a": "admin"}])
async def test_only_operators_may_look(door: Door, tokens: dict[str, Role]) -> None:
    for token, status in (("r", 403), ("w", 403), ("a", 200)):
        headers = {"Authorization": f"Bearer {token}"}
        assert (await door.ask("/cluster/store/amedas", headers=headers)).status == status
