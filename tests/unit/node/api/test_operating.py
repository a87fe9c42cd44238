"""`/cluster/tasks`, `/cluster/repair`, plans: what is answered, refused and written down."""

from pathlib import Path
from typing import Any

import pytest

from node.api.state import STATE
from node.service.audit import Audit
from tests.unit.node.api.conftest import Door


class Kept:
    """An audit log that is looked at."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def record(self, event: str, **line: Any) -> None:
        self.lines.append({"event": event, **line})

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


@pytest.fixture
def audit(door: Door) -> Kept:
    kept = Kept()
    log: Audit = kept
    door.service.audit = log
    return kept


async def test_a_quiet_node_has_nothing_under_way(door: Door) -> None:
    document = (await door.ask("/cluster/tasks")).json()
    assert document["settled"] and document["tasks"] == [] and document["silent"] == {}
    assert document["node"] == "a" and document["state"] == "complete"
    status = (await door.ask("/cluster/status")).json()
    assert status["settled"] and status["tasks"] == []
    assert 'zring_tasks{kind="move"} 0' in (await door.ask("/metrics")).body.decode()


async def test_damaged_stores_that_take_room_are_listed(door: Door, tmp_path: Path) -> None:
    assert (await door.ask("/cluster/status")).json()["set_aside"] == []
    (tmp_path / "data").mkdir()
    (tmp_path / "data-damaged-2").mkdir()
    (tmp_path / "data-damaged-2" / "data.mdb").write_bytes(bytes(100_000))
    door.app[STATE].data = tmp_path / "data"
    (listed,) = (await door.ask("/cluster/status")).json()["set_aside"]
    assert listed["folder"] == "data-damaged-2" and 100_000 <= listed["bytes"] < 200_000
    assert listed["since"].startswith("20")


async def test_a_repair_says_who_compares(door: Door, audit: Kept) -> None:
    asked = {"bbox": [135.1, 33.1, 135.2, 33.2], "from": "2026-01-01T00:00:00Z"}
    reply = await door.ask("/cluster/repair", "POST", json=asked)
    document = reply.json()
    assert document["told"] == ["a"] and document["silent"] == {}
    assert document["area"]["coordinates"] and not document["loss"]["nodes"]
    (line,) = audit.of("repair")
    assert line["outcome"] == "done" and line["details"]["bbox"] == asked["bbox"]
    assert line["subject"] == "anyone" and line["remote"] == "127.0.0.1"


async def test_only_looking_leaves_everything_as_it_is(door: Door, audit: Kept) -> None:
    reply = await door.ask("/cluster/repair", "POST", json={"accept_loss": True, "dry_run": True})
    assert set(reply.json()) == {"loss"}
    assert not audit.of("repair") and not audit.of("accept-loss")


async def test_an_accepted_loss_is_written_down(door: Door, audit: Kept) -> None:
    await door.ask("/cluster/repair", "POST", json={"accept_loss": True})
    (line,) = audit.of("accept-loss")
    assert line["details"] == {"accepted": {}, "had": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"box": []}, "box"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": "1,2,3,4"}, "bbox"),
        ({"from": 5}, "from"),
        ({"from": "2026-01-01"}, "from"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to"),
        ({"accept_loss": 1}, "accept_loss"),
        ([], "body"),
    ],
)
async def test_a_repair_that_makes_no_sense_is_refused(door: Door, body: Any, field: str) -> None:
    reply = await door.ask("/cluster/repair", "POST", json=body)
    assert reply.status == 400 and reply.json()["field"] == field


async def test_forgetting_says_why_not(door: Door, audit: Kept) -> None:
    for body, status, words in (
        ({"node": "a"}, 400, "ask another one"),
        ({"node": "x"}, 404, "no member"),
        ({"node": ""}, 400, "no name"),
        ({}, 400, "node=None"),
        ({"node": "x", "force": True}, 400, "force is unknown"),
    ):
        reply = await door.ask("/cluster/forget", "POST", json=body)
        assert (reply.status, words in reply.json()["detail"]) == (status, True), reply.json()
    first, second = audit.of("forget")
    assert first["outcome"] == second["outcome"] == "failed"
    assert second["details"]["member"] == "x"


async def test_plans_and_refusals_are_written_down(door: Door, audit: Kept) -> None:
    reply = await door.ask("/cluster/plans", "POST", json={"kind": "settings", "replicas": 1})
    plan = reply.json()
    assert plan["rate_is"] == "default" and plan["seconds"] == 0
    assert (await door.ask("/cluster/commit", "POST", json={"plan": plan})).status == 200
    again = await door.ask("/cluster/commit", "POST", json={"plan": plan})
    assert again.status == 409 and again.json()["reason"] == "refused"
    await door.ask("/cluster/abort", "POST", json={})
    done, refused = audit.of("plan.commit")
    assert (done["outcome"], refused["outcome"]) == ("done", "failed")
    assert done["details"]["kind"] == "settings" and done["details"]["ring"]
    assert "make the plan again" in refused["details"]["reason"]
    (abort,) = audit.of("plan.abort")
    assert abort["details"]["stopped"] == 0
