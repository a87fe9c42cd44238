"""The peer port against those who do not belong: no key, another cluster, garbage, too much."""

import asyncio
from contextlib import suppress
from random import Random
from typing import Any

import aiohttp
import msgpack
import pytest

from node.errors import PeerRefused, PeerUnreachable, TooLarge
from node.peer.http import GREETING_PATH, PATH, SESSION_HEADER, HttpTransport
from node.peer.identity import PeerIdentity
from node.peer.refusals import Refusal
from node.peer.session import Session, Sessions
from node.peer.transport import Message
from node.peer.wire import decode_reply, encode_message

KEY = "a key of enough characters"


async def echo(message: Message) -> Message:
    if message.kind == "fault":
        raise RuntimeError("a fault of the handler")
    return Message("", message.header, bytes(message.body))


async def started(**options: Any) -> tuple[HttpTransport, str]:
    transport = HttpTransport(**{"cluster_key": KEY, **options})
    address = transport.bind()
    await transport.start(echo)
    return transport, address


async def greeted(http: aiohttp.ClientSession, address: str) -> Session:
    """A session by hand, for messages that no transport would send."""
    sessions = Sessions(PeerIdentity(node="hand"), KEY, covers_bodies=True)
    ask = sessions.ask()
    body = b"".join(bytes(piece) for piece in encode_message(Message("greeting", ask)))
    async with http.post(f"http://{address}{GREETING_PATH}", data=body) as response:
        return sessions.accept(ask, decode_reply(await response.read()).header)


async def test_a_call_while_the_node_stops_fails_like_any_other() -> None:
    """Its own stop is no fault: a call on its way when the session closed ended the process with
    a traceback."""
    server, address = await started()
    friend = HttpTransport(cluster_key=KEY)
    await friend.call(address, Message("x"), timeout_ms=60_000)
    calls = [
        asyncio.ensure_future(friend.call(address, Message("x"), timeout_ms=60_000))
        for _ in range(20)
    ]
    await asyncio.sleep(0)
    await friend.close()
    later = friend.call(address, Message("x"), timeout_ms=60_000)
    for outcome in await asyncio.gather(*calls, later, return_exceptions=True):
        assert isinstance(outcome, Message | PeerUnreachable), repr(outcome)
    assert isinstance(outcome, PeerUnreachable) and "stopping" in str(outcome)
    await server.close()


@pytest.mark.parametrize("key", ["", "wrong", KEY + " "])
async def test_without_the_key_nothing_is_heard(key: str) -> None:
    told: list[Refusal] = []
    server, address = await started(on_refusal=told.append)
    stranger = HttpTransport(cluster_key=key)
    for _ in range(3):
        with pytest.raises(PeerRefused, match="cluster key"):
            await stranger.call(address, Message("x"), timeout_ms=60_000)
    assert server.statistics()["unauthorised"] == 3
    assert "unauthorised" in server.refusals()["127.0.0.1"]
    assert "refused us" in stranger.refusals()[address]
    assert [(refusal.reason, refusal.here) for refusal in told] == [("unauthorised", True)]
    await stranger.close()
    await server.close()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"cluster": "other"}, "other-cluster"),
        ({"domain": (1, 2, 3, 4)}, "other-domain"),
        ({"grain_level": 3}, "other-grain-level"),
        ({"node": "server"}, "duplicate-identity"),
    ],
)
async def test_strangers_are_refused_with_the_reason_on_both_sides(
    other: dict[str, Any], reason: str
) -> None:
    server, address = await started(identity=PeerIdentity(node="server", cluster="c"))
    stranger = HttpTransport(
        cluster_key=KEY, identity=PeerIdentity(**{"node": "stranger", "cluster": "c", **other})
    )
    with pytest.raises(PeerRefused) as refused:
        await stranger.call(address, Message("x"), timeout_ms=60_000)
    assert refused.value.peer_reason == reason
    assert server.statistics()["strangers"] == 1
    assert any(text.startswith(reason) for text in server.refusals().values())
    assert reason in stranger.refusals()[address]
    await stranger.close()
    await server.close()


async def test_a_node_that_restarts_is_greeted_again_and_a_double_is_not() -> None:
    server, address = await started(identity=PeerIdentity(node="server"))
    first = HttpTransport(cluster_key=KEY, identity=PeerIdentity(node="n"))
    await first.call(address, Message("x"), timeout_ms=60_000)
    double = HttpTransport(cluster_key=KEY, identity=PeerIdentity(node="n"))
    with pytest.raises(PeerRefused, match="two processes"):
        await double.call(address, Message("x"), timeout_ms=60_000)
    await first.close()
    await double.close()
    again = HttpTransport(cluster_key=KEY, identity=PeerIdentity(node="n"))
    async with asyncio.timeout(60):
        while True:
            try:
                await again.call(address, Message("x"), timeout_ms=60_000)
                break
            except PeerRefused:
                await asyncio.sleep(0)  # the server has yet to see that the connection is closed
    port = int(address.rsplit(":", 1)[1])
    await server.close()
    server, _ = await started(identity=PeerIdentity(node="server"), listen_port=port)
    await again.call(address, Message("x"), timeout_ms=60_000)
    await again.close()
    await server.close()


async def test_many_calls_at_once_share_one_greeting() -> None:
    server, address = await started()
    friend = HttpTransport(cluster_key=KEY)
    calls = [friend.call(address, Message("x", {"n": n}), timeout_ms=60_000) for n in range(100)]
    assert [reply.header["n"] for reply in await asyncio.gather(*calls)] == list(range(100))
    assert server.statistics()["greetings"] == 1
    await friend.close()
    await server.close()


async def test_garbage_in_a_session_is_answered_and_counted() -> None:
    server, address = await started(request_bytes_max=100_000)
    rng = Random(7)
    async with aiohttp.ClientSession() as http:
        session = await greeted(http, address)
        for size in [0, 1, 3, 4, 5, 50, 5_000, 200_000]:
            for _ in range(5):
                body = rng.randbytes(size)
                seal, _ = session.seal((body,), size)
                async with http.post(
                    f"http://{address}{PATH}", data=body, headers={SESSION_HEADER: seal}
                ) as response:
                    assert response.status == (413 if size > 100_000 else 400)
        for method, path in [("GET", PATH), ("POST", "/"), ("PUT", PATH), ("POST", "/peer/x")]:
            async with http.request(method, f"http://{address}{path}") as response:
                assert response.status == 400
        assert server.statistics()["refused"] == 8 * 5 + 4
        for seal in ["", "x", "ü\udcff", f"{session.id}.1.-.-", "....", session.id]:
            async with http.post(
                f"http://{address}{PATH}", data=b"x", headers={SESSION_HEADER: seal}
            ) as response:
                assert response.status == 401
        for size in [0, 10, 300, 5_000]:
            async with http.post(
                f"http://{address}{GREETING_PATH}", data=rng.randbytes(size)
            ) as response:
                assert response.status == 400
    assert server.statistics()["unauthorised"] == 6
    friend = HttpTransport(cluster_key=KEY)
    assert (await friend.call(address, Message("x", {"n": 1}), timeout_ms=60_000)).header["n"] == 1
    await friend.close()
    await server.close()


async def test_a_fault_of_the_handler_is_counted_and_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, address = await started()
    friend = HttpTransport(cluster_key=KEY)
    with pytest.raises(PeerRefused, match="unexpected fault"):
        await friend.call(address, Message("fault"), timeout_ms=60_000)
    assert server.statistics()["faults"] == 1
    assert "a fault of the handler" in caplog.text
    assert not friend.refusals()
    await friend.call(address, Message("x"), timeout_ms=60_000)
    await friend.close()
    await server.close()


async def test_a_reply_without_a_seal_is_not_believed() -> None:
    """Someone on the way answers instead of the node: only refusals may come unsealed."""
    forged: list[bytes] = []

    async def answer(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        await request.read()
        return aiohttp.web.Response(body=forged[-1], content_type="application/x-zring")

    server, address = await started()
    friend = HttpTransport(cluster_key=KEY)
    await friend.call(address, Message("x"), timeout_ms=60_000)
    port = int(address.rsplit(":", 1)[1])
    await server.close()
    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(answer))
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", port).start()
    stale = {"v": 1, "error": "StaleRing", "message": "", "fields": {"document": b"evil"}}
    for head in ({"v": 1, "header": {"n": 1}}, stale):
        packed = msgpack.packb(head)
        forged.append(len(packed).to_bytes(4, "big") + packed)
        with pytest.raises(PeerRefused, match=r"seal|read"):
            await friend.call(address, Message("x"), timeout_ms=60_000)
    await friend.close()
    await runner.cleanup()


async def test_a_message_over_the_limit_is_too_large() -> None:
    server, address = await started(request_bytes_max=1_000)
    friend = HttpTransport(cluster_key=KEY)
    with pytest.raises((TooLarge, PeerUnreachable)):
        await friend.call(address, Message("x", {}, b"x" * 2_000), timeout_ms=60_000)
    assert (await friend.call(address, Message("x"), timeout_ms=60_000)).body == b""
    await friend.close()
    await server.close()


async def test_no_http_half_a_request_and_random_bytes() -> None:
    server, address = await started()
    host, port = address.rsplit(":", 1)
    async with aiohttp.ClientSession() as http:
        seal, _ = (await greeted(http, address)).seal((b"",), 500)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n{SESSION_HEADER}: {seal}\r\n"
    rng = Random(11)
    requests = [b"\x00\xff\xfe garbage\r\n\r\n", f"{head}\r\nhalf".encode()]
    for _ in range(60):
        broken = bytearray(f"{head}\r\n".encode() + bytes(500))
        for _ in range(rng.randrange(1, 6)):
            broken[rng.randrange(len(head))] = rng.randrange(256)
        requests.append(bytes(broken))
        requests.append(rng.randbytes(rng.randrange(1, 300)))
    for request in requests:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        with suppress(OSError):  # closed at once, which is an answer as well
            await writer.drain()
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 60)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    assert server.statistics()["faults"] == 0
    friend = HttpTransport(cluster_key=KEY)
    await friend.call(address, Message("x"), timeout_ms=60_000)
    await friend.close()
    await server.close()


async def test_a_node_that_nobody_runs_is_unreachable() -> None:
    transport = HttpTransport()
    address = transport.bind()
    await transport.close()
    friend = HttpTransport()
    with pytest.raises(PeerUnreachable, match="cannot be reached"):
        await friend.call(address, Message("x"), timeout_ms=60_000)
    await friend.close()


async def test_binding_twice_gives_the_same_port_and_a_taken_one_is_told() -> None:
    transport = HttpTransport()
    address = transport.bind()
    assert transport.bind() == address
    await transport.start(echo)
    with pytest.raises(OSError, match="in use"):
        HttpTransport(listen_port=int(address.rsplit(":", 1)[1])).bind()
    await transport.close()
