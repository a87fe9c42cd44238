"""What members send: any header gets a clear error, never a crash; strangers get no data."""

from random import Random
from typing import Any

import pytest

from node.errors import BadRequest, NodeError, NotHeld, PeerRefused, StaleRing
from node.peer.transport import Message
from node.protocol.gossip_message import Request, Sender, request_to_bytes
from node.query import Query
from node.service.selection import header_to_query, query_to_header
from tests.unit.node.service.conftest import Bench, Play, make_rows
from zring.area import Box
from zring.morton import CODE_STOP
from zring.ring import from_document

KINDS = (
    "gossip",
    "ring",
    "store",
    "copy",
    "scan",
    "aggregate",
    "latest",
    "collections",
    "digests",
    "offer",
    "ranges",
    "in_step",
    "repair",
    "accept_loss",
    "tasks",
    "load",
    "?",
)
JUNK: list[Any] = [None, -1, 2**63, "x", b"\x00", [], [[1]], {}, {"op": "no"}, True, 1.5, [[5, 2]]]


async def send(bench: Bench, message: Message) -> Message:
    transport = bench.cluster.network.transport("stranger")
    return await transport.call("n1", message, timeout_ms=5_000)


def header(bench: Bench, **changes: Any) -> dict[str, Any]:
    return {
        **query_to_header(Query("c", area=Box(0, 0, 5, 5))),
        "from": "n2",
        "ring": bench.cluster.ring.digest(),
        "deadline_ms": 1_000,
        "cluster": "sim",
        "w": "one",
        **changes,
    }


def test_any_header_and_body(play: Play) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", make_rows(20))
        rng = Random(4)
        names = [
            *header(bench),
            "spans",
            "after",
            "limit",
            "level",
            "step_us",
            "owed",
            "absent",
            "collection",
            "foreign",
            "level",
            "parents",
            "days",
            "target_store",
            "instance",
            "span",
            "time",
            "bits",
            "relied_on",
        ]
        for _ in range(1_500):
            changed = header(bench)
            for name in rng.sample(names, rng.randint(0, 3)):
                changed[name] = rng.choice(JUNK)
            kind = rng.choice(KINDS)
            body = rng.choice([b"", b"\x00garbage", rng.randbytes(30)])
            try:
                await send(bench, Message(kind, changed, body))
            except NodeError as error:
                assert error.status < 500 or error.retryable, (kind, changed, error)
        assert bench.service("n1").running
        assert len((await bench.service("n1").read(Query("c"))).rows) == 20

    play(test, nodes=2)


def test_another_ring_is_told_the_right_one(play: Play) -> None:
    async def test(bench: Bench) -> None:
        for kind in KINDS[2:-1]:
            with pytest.raises(StaleRing) as caught:
                await send(bench, Message(kind, header(bench, ring=5)))
            assert from_document(caught.value.document) == bench.cluster.ring

    play(test, nodes=1)


@pytest.mark.parametrize("kind", ["scan", "aggregate", "latest"])
def test_who_does_not_hold_what_is_relied_on_says_so(play: Play, kind: str) -> None:
    async def test(bench: Bench) -> None:
        await bench.service("n1").write("c", make_rows(20), "all")
        holding = bench.service("n1")._parts.members.holding
        held = [list(span) for span in holding.held]
        assert held != [[0, CODE_STOP]]
        for relied_on in ([], held):
            await send(bench, Message(kind, header(bench, relied_on=relied_on)))
        with pytest.raises(NotHeld, match="n1 does not hold all"):
            await send(bench, Message(kind, header(bench, relied_on=[[0, CODE_STOP]])))
        await holding.drop()
        await send(bench, Message(kind, header(bench, relied_on=held)))

    play(test, replicas=1)


def test_a_stranger_hears_why_it_is_refused_and_nothing_else(play: Play) -> None:
    async def test(bench: Bench) -> None:
        sender = Sender("stranger", 5, 1, 0, "stranger:1")
        with pytest.raises(PeerRefused, match="other cluster, domain or grain level"):
            body = request_to_bytes(Request(sender, founding=1, target="n1"))
            await send(bench, Message("gossip", {}, body))
        assert bench.service("n1").status().refusals == {
            "stranger:1": "other cluster, domain or grain level"
        }
        assert [member.node for member in bench.service("n1").status().members] == ["n1"]
        with pytest.raises(BadRequest, match="unknown to this node"):
            await send(bench, Message("?", header(bench)))

    play(test, nodes=1)


@pytest.mark.parametrize(
    "query",
    [
        Query("c"),
        Query(
            "ü",
            area=Box(1, 2, 3, 4),
            time_start=-5,
            time_stop=5,
            sensors=frozenset("ab"),
            filter={"op": "=", "args": [{"property": "a"}, 1]},
            columns=("x",),
        ),
    ],
)
def test_queries_travel(query: Query) -> None:
    got = header_to_query({**query_to_header(query), "deadline_ms": query.timeout_ms})
    assert got == query
