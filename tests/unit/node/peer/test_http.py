"""The peer port against those who do not belong: no key, garbage, too much, gone half-way."""

import asyncio
from random import Random

import aiohttp
import pytest

from node.errors import PeerUnreachable, TooLarge, Unauthorised
from node.peer.http import KEY_HEADER, PATH, HttpTransport
from node.peer.transport import Message


async def echo(message: Message) -> Message:
    return Message("", message.header, bytes(message.body))


async def started(**options: object) -> tuple[HttpTransport, str]:
    transport = HttpTransport(cluster_key="secret", **options)  # type: ignore[arg-type]
    address = transport.bind()
    await transport.start(echo)
    return transport, address


@pytest.mark.parametrize("key", ["", "wrong", "secret "])
async def test_without_the_key_nothing_is_heard(key: str) -> None:
    server, address = await started()
    stranger = HttpTransport(cluster_key=key)
    with pytest.raises(Unauthorised):
        await stranger.call(address, Message("x"), timeout_ms=2_000)
    assert server.statistics()["unauthorised"] == 1
    await stranger.close()
    await server.close()


async def test_garbage_is_answered_with_a_4xx_and_counted() -> None:
    server, address = await started(request_bytes_max=100_000)
    rng = Random(7)
    token = server._token
    async with aiohttp.ClientSession() as session:
        for size in [0, 1, 3, 4, 5, 50, 5_000]:
            for _ in range(5):
                async with session.post(
                    f"http://{address}{PATH}",
                    data=rng.randbytes(size),
                    headers={KEY_HEADER: token},
                ) as response:
                    assert response.status == 400
        for method, path in [("GET", PATH), ("POST", "/"), ("PUT", PATH), ("POST", "/peer/x")]:
            async with session.request(
                method, f"http://{address}{path}", headers={KEY_HEADER: token}
            ) as response:
                assert response.status == 400
        async with session.post(
            f"http://{address}{PATH}", data=b"x" * 200_000, headers={KEY_HEADER: token}
        ) as response:
            assert response.status == 413
        async with session.post(f"http://{address}{PATH}", headers={KEY_HEADER: "ü\udcff"}):
            pass
    assert server.statistics()["refused"] == 7 * 5 + 4 + 1
    friend = HttpTransport(cluster_key="secret")
    assert (await friend.call(address, Message("x", {"n": 1}), timeout_ms=2_000)).header["n"] == 1
    await friend.close()
    await server.close()


async def test_a_message_over_the_limit_is_too_large() -> None:
    server, address = await started(request_bytes_max=1_000)
    friend = HttpTransport(cluster_key="secret")
    with pytest.raises((TooLarge, PeerUnreachable)):
        await friend.call(address, Message("x", {}, b"x" * 2_000), timeout_ms=2_000)
    assert (await friend.call(address, Message("x"), timeout_ms=2_000)).body == b""
    await friend.close()
    await server.close()


async def test_no_http_and_half_a_request() -> None:
    server, address = await started()
    host, port = address.rsplit(":", 1)
    requests = [
        b"\x00\xff\xfe garbage\r\n\r\n",
        b"POST /peer HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"
        + f"{KEY_HEADER}: {server._token}\r\n\r\n".encode()
        + b"half",
    ]
    for request in requests:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
    friend = HttpTransport(cluster_key="secret")
    await friend.call(address, Message("x"), timeout_ms=2_000)
    await friend.close()
    await server.close()


async def test_binding_twice_gives_the_same_port_and_a_taken_one_is_told() -> None:
    transport = HttpTransport()
    address = transport.bind()
    assert transport.bind() == address
    await transport.start(echo)
    with pytest.raises(OSError, match="in use"):
        HttpTransport(listen_port=int(address.rsplit(":", 1)[1])).bind()
    await transport.close()
