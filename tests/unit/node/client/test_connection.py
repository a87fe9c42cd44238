"""HTTP/1.1 as nodes speak it, and what happens when they stop in the middle."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from node.client.connection import Address, ConnectionPool
from node.errors import BadRequest, DeadlineExceeded, PeerUnreachable

Answer = Callable[..., bytes]


@pytest.fixture
def pool() -> Iterator[ConnectionPool]:
    made = ConnectionPool(headers={"X-Test": "1"})
    yield made
    made.close()


def get(pool: ConnectionPool, server: Any, *, timeout_s: float = 5.0, **more: Any) -> Any:
    return pool.request("GET", server.url, "/a?b=c", timeout_s=timeout_s, **more)


def test_connections_are_kept_and_headers_sent(
    pool: ConnectionPool, server: Any, make_answer: Answer
) -> None:
    server.script = lambda request: make_answer(b"hello", headers="Zring-Ring: ab \r\n")
    for _ in range(3):
        response = get(pool, server)
        assert (response.status, response.body) == (200, b"hello")
        assert response.headers["zring-ring"] == "ab"
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"X-Test: 1\r\n" in server.requests[0]


def test_a_connection_that_the_node_closed_meanwhile_is_replaced(
    pool: ConnectionPool, server: Any, make_answer: Answer
) -> None:
    server.script = lambda request: make_answer(b"hello")
    get(pool, server)
    server.drop_connections()
    assert get(pool, server).body == b"hello"
    assert server.connections == 2


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_bodies_of_all_sizes_counted_and_in_chunks(
    pool: ConnectionPool, server: Any, make_answer: Answer, size: int
) -> None:
    body = bytes(index % 251 for index in range(size))
    chunks = b"".join(
        b"%x;note\r\n%b\r\n" % (len(part), part)
        for part in (body[at : at + 70_001] for at in range(0, size, 70_001))
    )
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    for reply in (make_answer(body), chunked):
        server.script = lambda request, reply=reply: reply
        assert bytes(get(pool, server).body) == body
        sink = io.BytesIO()
        assert get(pool, server, sink=sink).body == b""
        assert sink.getvalue() == body
    assert server.connections == 1


def test_a_large_body_is_sent_whole(pool: ConnectionPool, server: Any, make_answer: Answer) -> None:
    server.script = lambda request: make_answer(b"{}")
    body = b"x" * 1_000_000
    pool.request("POST", server.url, "/a", timeout_s=5, body=memoryview(body))
    assert server.requests[0].partition(b"\r\n\r\n")[2] == body


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_or_breaks_off_is_an_error(
    pool: ConnectionPool, server: Any, reply: bytes | None
) -> None:
    def script(request: bytes) -> bytes | None:
        return reply if len(server.requests) == 1 else None

    server.script = script
    with pytest.raises((PeerUnreachable, DeadlineExceeded)):
        get(pool, server, timeout_s=0.3)


def test_a_silent_node_is_given_up_at_the_deadline(pool: ConnectionPool, server: Any) -> None:
    server.script = lambda request: b""
    with pytest.raises(DeadlineExceeded):
        get(pool, server, timeout_s=0.05)


def test_no_node_at_the_address(pool: ConnectionPool, server: Any) -> None:
    server.close()
    with pytest.raises(PeerUnreachable, match="cannot be reached"):
        get(pool, server)


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a:99999", "http://a:b"])
def test_a_url_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadRequest, match="http://HOST:PORT"):
        Address.parse(url)


def test_addresses() -> None:
    assert Address.parse("127.0.0.1:7070") == Address("http", "127.0.0.1", 7070)
    assert Address.parse("https://example.org") == Address("https", "example.org", 443)
    assert Address.parse("http://[::1]:7070") == Address("http", "::1", 7070)
