"""Which node is asked, what happens when it does not answer, and what its errors become."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pyarrow as pa
import pytest

from node.client import Client
from node.errors import (
    BadRecord,
    BadRequest,
    CoverageTooLow,
    DeadlineExceeded,
    NodeError,
    NotFound,
    Overloaded,
    PeerRefused,
    PeerUnreachable,
    StoreFull,
    TooLarge,
    Unauthorised,
    Unavailable,
)
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_STOP

Answer = Callable[..., bytes]
ARROW = "application/vnd.apache.arrow.stream"


class Node:
    """A scripted node that owns the whole square, or shares it with another."""

    def __init__(self, server: Any, make_answer: Answer) -> None:
        self._server = server
        self._make_answer = make_answer
        self.digest = "01"
        self.owners = {"here": server.url}
        self.replies: list[bytes] = []
        server.script = self._script

    @property
    def targets(self) -> list[str]:
        """Paths of the requests so far, without their parameters."""
        return [
            request.split(b" ", 2)[1].decode().partition("?")[0]
            for request in self._server.requests
        ]

    def reply(self, document: Any = None, *, status: int = 200, **more: Any) -> None:
        """Queue an answer for the next request that does not ask for the ring."""
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        headers = f"Zring-Ring: {self.digest}\r\n" + more.pop("headers", "")
        self.replies.append(self._make_answer(body, status=status, headers=headers, **more))

    def _script(self, request: bytes) -> bytes | None:
        if request.startswith(b"GET /cluster/ring"):
            return self._make_answer(orjson.dumps(self._ring()))
        return self.replies.pop(0)

    def _ring(self) -> dict[str, Any]:
        names = sorted(self.owners)
        edges = [CODE_STOP * index // len(names) for index in range(len(names) + 1)]
        return {
            "digest": self.digest,
            "domain": DEMO_DOMAIN.degrees(),
            "spans": [
                {"start": str(start), "stop": str(stop), "owner": name}
                for start, stop, name in zip(edges, edges[1:], names, strict=False)
            ],
            "nodes": [
                {"id": name, "url": url, "state": "alive"} for name, url in self.owners.items()
            ],
        }


@pytest.fixture
def node(server: Any, make_answer: Answer) -> Node:
    return Node(server, make_answer)


@pytest.fixture
def client(server: Any) -> Iterator[Client]:
    with Client(server.url, timeout_s=5.0, token="secret") as made:
        yield made


def arrow(count: int) -> bytes:
    table = pa.table({"sensor": ["a"] * count, "version": [0] * count})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_the_ring_is_fetched_once_and_again_when_its_digest_changes(
    node: Node, client: Client
) -> None:
    for digest in ("01", "01", "02", "02"):
        node.digest = digest
        node.reply(arrow(2), content_type=ARROW)
        assert len(client.query("c")) == 2
    assert node.targets.count("/cluster/ring") == 2


def test_the_token_goes_with_every_request(node: Node, client: Client, server: Any) -> None:
    node.reply(arrow(1), content_type=ARROW)
    client.query("c")
    assert all(b"Authorization: Bearer secret\r\n" in request for request in server.requests)


def test_an_owner_that_does_not_answer_is_replaced_and_then_asked_last(
    node: Node, client: Client
) -> None:
    node.owners = {"dead": "http://127.0.0.1:1", "here": node.owners["here"]}
    for _ in range(3):
        node.reply(arrow(1), content_type=ARROW)
        assert len(client.query("c", bbox=(135.1, 33.1, 135.2, 33.2))) == 1


@pytest.fixture
def hung_url() -> Iterator[str]:
    """Where connections are accepted and nobody reads, as at a process that was stopped."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_owner_that_hangs_is_replaced_and_then_asked_last(
    node: Node, client: Client, hung_url: str
) -> None:
    node.owners = {"a hung one": hung_url, "here": node.owners["here"]}
    for _ in range(3):
        node.reply(arrow(1), content_type=ARROW)
        assert len(client.query("c", bbox=(135.1, 33.1, 135.2, 33.2), timeout_s=4.0)) == 1
    node.reply({"received": 1, "stored": 1, "rejected": [], "copies": {"wanted": 1, "durable": 1}})
    assert client.write("c", [{"lon": 135.1, "lat": 33.1}], timeout_s=4.0).stored == 1


def test_a_large_body_does_not_wait_for_an_owner_that_hangs(
    node: Node, client: Client, hung_url: str
) -> None:
    node.owners = {"a hung one": hung_url, "here": node.owners["here"]}
    node.reply({"received": 1, "stored": 1, "rejected": [], "copies": {"wanted": 1, "durable": 1}})
    record = {"lon": 135.1, "lat": 33.1, "values": {"text": "x" * (12 << 20)}}
    assert client.write("c", [record], timeout_s=4.0).stored == 1


def test_a_node_that_works_for_long_is_not_replaced(
    node: Node, client: Client, server: Any, make_answer: Answer
) -> None:
    node.owners = {"here": server.url, "other": "http://127.0.0.1:1"}
    asked_for_health = threading.Event()
    answers = node._script

    def script(request: bytes) -> bytes | None:
        if request.startswith(b"GET /health"):
            asked_for_health.set()
            return make_answer(b"{}")
        if b"/items" in request:
            assert asked_for_health.wait(10.0)
        return answers(request)

    server.script = script
    node.reply(arrow(2), content_type=ARROW)
    assert len(client.query("c", bbox=(135.1, 33.1, 135.2, 33.2), timeout_s=8.0)) == 2
    assert node.targets.count("/collections/c/items") == 1


def test_a_single_node_that_hangs_is_waited_for_until_the_deadline(hung_url: str) -> None:
    with (
        Client(hung_url, timeout_s=0.5, direct=True) as client,
        pytest.raises(DeadlineExceeded, match="did not answer in time"),
    ):
        client.query("c")


def test_the_parameters_of_a_query(node: Node, client: Client, server: Any) -> None:
    node.reply(arrow(1), content_type=ARROW)
    client.query(
        "a b/c", bbox=(135, 33, 136.5, 34), datetime="2023-07-01T00:00:00+09:00/..",
        sensors=["x,y", "z"], filter="temp > 3", columns=["t"], limit=5, require="local",
        timeout_s=2.5,
    )  # fmt: skip
    line = server.requests[-1].split(b"\r\n")[0].decode()
    assert line == (
        "GET /collections/a%20b%2Fc/items?f=arrow&bbox=135.0,33.0,136.5,34.0"
        "&datetime=2023-07-01T00:00:00%2B09:00/..&sensor=x%2Cy,z&filter=temp%20%3E%203"
        "&columns=t&limit=5&require=local&timeout_ms=2500 HTTP/1.1"
    )


def test_what_does_not_fit_a_page_comes_behind_it(node: Node, client: Client, server: Any) -> None:
    link = '</collections/c/items?f=arrow&limit=100000&cursor=xyz>; rel="next"'
    node.reply(
        arrow(3), content_type=ARROW, headers=f"Link: {link}\r\nZring-Coverage: complete\r\n"
    )
    node.reply(arrow(4), content_type=ARROW, headers="Zring-Coverage: local\r\n")
    result = client.query("c")
    assert len(result) == 7
    assert result.coverage.state == "local"
    assert b"limit=all&cursor=xyz" in server.requests[-1]


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "bad-request", BadRequest),
        (400, None, BadRequest),
        (415, "unsupported-media-type", BadRequest),
        (401, "unauthorised", Unauthorised),
        (404, "not-found", NotFound),
        (413, "too-large", TooLarge),
        (422, "bad-record", BadRecord),
        (503, "overloaded", Overloaded),
        (503, "coverage", CoverageTooLow),
        (503, None, Unavailable),
        (504, "deadline", DeadlineExceeded),
        (507, "store-full", StoreFull),
        (500, "error", NodeError),
        (502, "new-word", PeerRefused),
    ],
)
def test_problems_become_the_errors_of_the_tree(
    node: Node, client: Client, status: int, reason: str | None, kind: type[NodeError]
) -> None:
    problem = {"detail": "what is wrong", "reason": reason, "field": "bbox"}
    node.reply(problem, status=status, headers="Retry-After: 7\r\n",
               content_type="application/problem+json")  # fmt: skip
    with pytest.raises(kind) as caught:
        client.query("c")
    assert str(caught.value) == "what is wrong"
    if isinstance(caught.value, BadRequest):
        assert caught.value.field == "bbox"
    if isinstance(caught.value, Unavailable):
        assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"", b'{"detail": 3'])
def test_a_problem_that_is_none(node: Node, client: Client, body: bytes) -> None:
    node.reply(body, status=503)
    with pytest.raises(Unavailable, match="503"):
        client.query("c")


def test_an_answer_that_is_no_arrow(node: Node, client: Client) -> None:
    node.reply(b"hello", content_type=ARROW)
    result = client.query("c")
    with pytest.raises(PeerRefused, match="no Arrow"):
        len(result)


def test_no_node_at_all() -> None:
    with Client("http://127.0.0.1:1", timeout_s=1.0) as client, pytest.raises(PeerUnreachable):
        client.query("c")


def record(index: int, **more: Any) -> dict[str, Any]:
    return {
        "sensor": f"s{index}",
        "time": "2024-01-01T00:00:00Z",
        "lon": 135.1,
        "lat": 33.1,
        **more,
    }


def stored(count: int, **more: Any) -> dict[str, Any]:
    return {"received": count, "stored": count, "rejected": [],
            "copies": {"wanted": 3, "durable": 1}, **more}  # fmt: skip


def test_a_write_is_repeated_while_the_node_is_busy(node: Node, client: Client) -> None:
    busy = {"detail": "busy", "reason": "overloaded"}
    node.reply(busy, status=503, content_type="application/problem+json")
    node.reply(stored(2))
    written = client.write("c", [record(1), record(2)])
    assert (written.stored, written.acknowledged, written.copies_wanted) == (2, True, 3)
    assert node.targets.count("/collections/c/items") == 2


def test_a_write_that_stays_refused_ends_at_its_deadline(node: Node, client: Client) -> None:
    for _ in range(10):
        node.reply({"detail": "full"}, status=503, content_type="application/problem+json")
    with pytest.raises(Unavailable, match="full"):
        client.write("c", record(1), timeout_s=1.0)


def test_a_write_that_is_wrong_is_not_repeated(node: Node, client: Client) -> None:
    node.reply({"detail": "no such level", "field": "w"}, status=400,
               content_type="application/problem+json")  # fmt: skip
    with pytest.raises(BadRequest, match="no such level"):
        client.write("c", record(1))
    assert node.targets.count("/collections/c/items") == 1


def test_rejections_have_the_indices_of_the_call(node: Node, client: Client, server: Any) -> None:
    """Records without a position make a group of their own, which is sent first."""
    node.reply(
        stored(1, received=2, stored=1, rejected_count=1, rejected_by_reason={"no-position": 1},
               rejected=[{"index": 1, "reason": "lon is missing", "field": "lon"}])
    )  # fmt: skip
    node.owners = {"here": server.url}
    records = [record(0), record(1, lon=None), record(2), record(3, lon="x")]
    node.reply(stored(2))
    written = client.write("c", records)
    assert (written.received, written.stored, written.rejected_count) == (4, 3, 1)
    assert written.rejected_by_reason == {"no-position": 1}
    assert [rejection.field for rejection in written.rejected] == ["lon"]
    assert written.rejected[0].index in (2, 3)


def test_fewer_copies_than_wanted_is_not_acknowledged(node: Node, client: Client) -> None:
    node.reply(
        stored(1, copies={"wanted": 3, "durable": 2, "lacking": {"b": "store-full"}}), status=202
    )
    written = client.write("c", record(1), w="all")
    assert (written.acknowledged, written.lacking) == (False, {"b": "store-full"})


def test_a_write_that_ends_in_part_says_how_much_is_stored_and_who_refused(
    node: Node, client: Client, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches at once; which one is answered first does not matter."""
    monkeypatch.setattr("node.client.writing.BATCH_RECORDS_MAX", 10)
    answers, turn = node._script, threading.Lock()

    def script(request: bytes) -> bytes | None:
        with turn:
            return answer(request)

    def answer(request: bytes) -> bytes | None:
        full = b"/items" in request and b'"n":15' in request
        if full:
            node.reply({"detail": "90 % full", "reason": "store-full"}, status=507,
                       content_type="application/problem+json")  # fmt: skip
        elif b"/items" in request:
            node.reply(stored(10))
        return answers(request)

    server.script = script
    with pytest.raises(StoreFull) as caught:
        client.write("c", [{**record(n), "n": n} for n in range(20)], timeout_s=0.5)
    assert "10 of 20 records are stored" in str(caught.value)
    assert f"{server.url}: store-full" in str(caught.value)


def test_large_writes_are_cut(node: Node, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.client.writing.BATCH_RECORDS_MAX", 10)
    table = pa.table({"sensor": ["a"] * 25, "lon": [135.1] * 25, "lat": [33.1] * 25})
    for count in (10, 10, 5):
        node.reply(stored(count))
    assert client.write("c", table).stored == 25
    assert node.targets.count("/collections/c/items") == 3


def test_values_that_json_cannot_say(node: Node, client: Client) -> None:
    with pytest.raises(BadRequest, match="base64"):
        client.write("c", record(1, values={"image": b"x"}))
