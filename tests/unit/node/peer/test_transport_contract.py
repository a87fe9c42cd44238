"""The contract of `Transport`, held by the real one and by the simulated one."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from node.errors import (
    BadRequest,
    NodeError,
    NotFound,
    PeerRefused,
    PeerUnreachable,
    StaleRing,
    StoreFull,
)
from node.peer.http import HttpTransport
from node.peer.identity import PeerIdentity
from node.peer.transport import Handler, Message, Transport
from tests.sim.loop import VirtualLoop
from tests.sim.network import Network, Weather
from zring.errors import OutsideDomain

Test = Callable[["Pair"], Coroutine[Any, Any, None]]


class Pair:
    """A transport that calls, and one that answers."""

    def __init__(self, caller: Transport, server: Transport, address: str) -> None:
        self.caller = caller
        self.server = server
        self.address = address

        self.felt: dict[str, int] = {}

    async def serve(self, handler: Handler) -> None:
        await self.server.start(handler, self._arriving)

    async def call(self, message: Message, *, timeout_ms: int = 5_000) -> Message:
        return await self.caller.call(
            self.address, message, timeout_ms=timeout_ms, arriving=self._arriving
        )

    def _arriving(self, node: str) -> None:
        self.felt[node] = self.felt.get(node, 0) + 1

    async def close(self) -> None:
        await self.caller.close()
        await self.server.close()


def run_http(test: Test) -> None:
    async def main() -> None:
        server = HttpTransport(identity=PeerIdentity(node="server"), cluster_key="secret")
        caller = HttpTransport(identity=PeerIdentity(node="caller"), cluster_key="secret")
        pair = Pair(caller, server, server.bind())
        try:
            await test(pair)
        finally:
            await pair.close()

    asyncio.run(main())


def run_simulated(test: Test) -> None:
    async def main() -> None:
        network = Network(Random(1))
        network.weather = Weather(slow_share=0.0)
        pair = Pair(network.transport("caller"), network.transport("server"), "server")
        try:
            await test(pair)
        finally:
            await pair.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


@pytest.fixture(params=[run_http, run_simulated], ids=["http", "simulated"])
def run(request: pytest.FixtureRequest) -> Callable[[Test], None]:
    return request.param


async def echo(message: Message) -> Message:
    return Message("", {"kind": message.kind, **message.header}, bytes(message.body))


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
def test_request_and_reply(run: Callable[[Test], None], size: int) -> None:
    async def test(pair: Pair) -> None:
        await pair.serve(echo)
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        header = {"a": [1, 2**63, -5, None, True, 1.5, "ü", b"\x00\xff"], "b": {"c": {}}}
        reply = await pair.call(Message("verb", header, memoryview(body)))
        assert reply.header == {"kind": "verb", **header}
        assert bytes(reply.body) == body

    run(test)


def test_both_ends_are_told_while_a_long_message_arrives(run: Callable[[Test], None]) -> None:
    async def test(pair: Pair) -> None:
        await pair.serve(echo)
        await pair.call(Message("verb"))
        assert "caller" not in pair.felt, "one piece may have come over half a line"
        await pair.call(Message("verb", {}, bytes(3_000_000)))
        assert pair.felt.keys() == {"caller", "server"}

    run(test)


def test_many_calls_at_once(run: Callable[[Test], None]) -> None:
    async def test(pair: Pair) -> None:
        await pair.serve(echo)
        replies = await asyncio.gather(*(pair.call(Message("n", {"n": n})) for n in range(50)))
        assert [reply.header["n"] for reply in replies] == list(range(50))

    run(test)


@pytest.mark.parametrize(
    "error",
    [
        NotFound("no such thing"),
        BadRequest("wrong", field="limit"),
        StoreFull("full"),
        StaleRing("old", document=b"\x01\x02"),
        PeerRefused("no", peer_reason="why"),
    ],
)
def test_errors_are_raised_again_as_their_class(
    run: Callable[[Test], None], error: NodeError
) -> None:
    async def fail(_: Message) -> Message:
        raise error

    async def test(pair: Pair) -> None:
        await pair.serve(fail)
        with pytest.raises(type(error)) as caught:
            await pair.call(Message("x"))
        assert type(caught.value) is type(error)
        assert str(caught.value) == str(error)
        for name in ("field", "document", "peer_reason"):
            assert getattr(caught.value, name, None) == getattr(error, name, None)

    run(test)


def test_errors_of_the_pure_layer_are_refusals(run: Callable[[Test], None]) -> None:
    async def fail(_: Message) -> Message:
        raise OutsideDomain("far away")

    async def test(pair: Pair) -> None:
        await pair.serve(fail)
        with pytest.raises(PeerRefused, match="far away"):
            await pair.call(Message("x"))

    run(test)


def test_nobody_there(run: Callable[[Test], None]) -> None:
    async def test(pair: Pair) -> None:
        await pair.serve(echo)
        await pair.server.close()
        with pytest.raises(PeerUnreachable):
            await pair.call(Message("x"), timeout_ms=2_000)

    run(test)


def test_time_is_up_and_the_handler_is_cancelled(run: Callable[[Test], None]) -> None:
    async def test(pair: Pair) -> None:
        cancelled = asyncio.Event()

        async def hang(message: Message) -> Message:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return message

        await pair.serve(hang)
        with pytest.raises(PeerUnreachable, match="100 ms"):
            await pair.call(Message("x"), timeout_ms=100)
        await asyncio.wait_for(cancelled.wait(), 60)

    run(test)


def test_cancelling_a_call_cancels_its_handler(run: Callable[[Test], None]) -> None:
    async def test(pair: Pair) -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def hang(message: Message) -> Message:
            begun.set()
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return message

        await pair.serve(hang)
        call = asyncio.ensure_future(pair.call(Message("x")))
        await asyncio.wait_for(begun.wait(), 60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(cancelled.wait(), 60)

    run(test)


def test_both_ends_may_call(run: Callable[[Test], None]) -> None:
    async def test(pair: Pair) -> None:
        await pair.serve(echo)
        for n in range(20):
            assert (await pair.call(Message("x", {"n": n}))).header["n"] == n

    run(test)
