"""A simulated network: delay, loss, one-way loss, partitions, duplicates; all from one seed.

Messages travel as the bytes of `node.peer.wire`, so what the real transport could not carry
fails here too. The rules of `Transport` hold: cancelling a call cancels its handler.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from random import Random

from node.errors import NodeError, PeerRefused, PeerUnreachable
from node.peer.transport import Arriving, Handler, Message, nobody_listens
from node.peer.wire import decode_reply, decode_request, encode_error, encode_message
from tests.sim.lines import Star
from zring.errors import ZringError

AT_WORK_KEPT = 64
"""Tasks of one node after which those that have ended are forgotten."""
CRAWL_MS = 900.0
"""Added to each way of a slow link: calls over it just end within a peer's timeout."""

PIECE_BYTES = 64 << 10
"""More does not arrive at once."""


@dataclass(slots=True)
class Weather:
    """How bad the network is."""

    delay_ms: float = 2.0
    slow_share: float = 0.02
    slow_ms: float = 400.0
    loss: float = 0.0
    duplicates: float = 0.0


class Network:
    """All links between addresses."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.weather = Weather()
        self._blocked: set[tuple[str, str]] = set()
        self._slow: set[tuple[str, str]] = set()
        self._handlers: dict[str, Handler] = {}
        self._arriving: dict[str, Arriving] = {}
        self._at_work: dict[str, list[asyncio.Task[bytes]]] = {}
        self.messages = 0
        self.star: Star | None = None
        """Slow lines between the addresses, in place of the weather."""

    def transport(self, address: str) -> "SimulatedTransport":
        """The network as one node sees it."""
        return SimulatedTransport(self, address)

    def block(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        """Lose everything from one side to the other, in this direction only."""
        targets = list(targets)
        self._blocked.update((source, target) for source in sources for target in targets)

    def split(self, left: Iterable[str], right: Iterable[str]) -> None:
        """Lose everything between the two sides."""
        left, right = list(left), list(right)
        self.block(left, right)
        self.block(right, left)

    def slow_down(self, one: str, other: str) -> None:
        """Delay everything between two nodes by `CRAWL_MS`."""
        self._slow.update(((one, other), (other, one)))

    def heal(self) -> None:
        """Every link works again."""
        self._blocked.clear()
        self._slow.clear()
        self.weather = Weather()

    def listen(self, address: str, handler: Handler, arriving: Arriving) -> None:
        """A node came up."""
        self._handlers[address], self._arriving[address] = handler, arriving
        self._at_work[address] = []

    async def silence(self, address: str) -> None:
        """A node went down: what it works on ends with it."""
        self._handlers.pop(address, None)
        tasks = self._at_work.pop(address, [])
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def carry(
        self, source: str, target: str, data: bytes, *, kind: str, arriving: Arriving
    ) -> bytes:
        """Bring a request over and its reply back; waits for ever when one of them is lost.

        Names of nodes are their addresses here.
        """
        self.messages += 1
        if self.star is not None:
            await self._opened(self.star, source, target)
            felt = partial(self._felt, source, target, self._arriving.get(target, nobody_listens))
            await self.star.request(source, target, len(data), kind=kind, felt=felt)
        await self._travel(source, target)
        if target not in self._handlers:
            raise PeerUnreachable(f"{target} refuses connections")
        if len(data) > PIECE_BYTES:
            self._arriving[target](source)
        task = self._begin(target, data)
        if self._rng.random() < self.weather.duplicates:
            self._begin(target, data)
        await _ended(task)
        if task.cancelled():
            raise PeerUnreachable(f"{target} went down")
        if self.star is not None:
            felt = partial(self._felt, target, source, arriving)
            await self.star.reply(target, source, len(task.result()), kind=kind, felt=felt)
            self.star.keep(source, target)
        await self._travel(target, source)
        arriving(target)
        return task.result()

    def _felt(self, source: str, target: str, arriving: Arriving) -> None:
        """More of a long message is there."""
        if (source, target) not in self._blocked:
            arriving(source)

    async def _opened(self, star: Star, source: str, target: str) -> None:
        """A connection; none to where nobody listens or nothing arrives."""
        await self._unblocked(source, target)
        await self._unblocked(target, source)
        await star.open(source, target)

    async def _unblocked(self, source: str, target: str) -> None:
        """TCP sends again what was lost, after longer and longer times."""
        wait_s = 1.0
        while (source, target) in self._blocked:
            await asyncio.sleep(wait_s)
            wait_s *= 2

    def _begin(self, target: str, data: bytes) -> asyncio.Task[bytes]:
        task = asyncio.get_running_loop().create_task(_handled(self._handlers[target], data))
        at_work = self._at_work[target]
        at_work.append(task)
        if len(at_work) > AT_WORK_KEPT:
            at_work[:] = [one for one in at_work if not one.done()]
        return task

    async def _travel(self, source: str, target: str) -> None:
        if self.star is not None:
            await self._unblocked(source, target)
            return
        weather, rng = self.weather, self._rng
        # The dice are thrown in any case, so that a changed link does not shift all that follows.
        slow, lost = rng.random() < weather.slow_share, rng.random() < weather.loss
        delay_ms = rng.uniform(0.1, 1.0) * (weather.slow_ms if slow else weather.delay_ms)
        if (source, target) in self._slow:
            delay_ms += CRAWL_MS
        await asyncio.sleep(delay_ms / 1_000)
        if lost or (source, target) in self._blocked:
            await asyncio.get_running_loop().create_future()


async def _ended(task: asyncio.Task[bytes]) -> None:
    """Wait until a task has ended; whoever waits no longer ends it. A leaner `asyncio.wait`."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task.add_done_callback(lambda _: ended.done() or ended.set_result(None))
    try:
        await ended
    finally:
        if not task.done():
            task.cancel()


async def _handled(handler: Handler, data: bytes) -> bytes:
    try:
        reply = await handler(decode_request(data))
    except NodeError as error:
        return encode_error(error)
    except ZringError as error:
        return encode_error(PeerRefused(str(error), peer_reason=type(error).__name__))
    return b"".join(encode_message(reply))


class SimulatedTransport:
    """`Transport` over a `Network`."""

    def __init__(self, network: Network, address: str) -> None:
        self._network = network
        self.address = address

    async def start(self, handler: Handler, arriving: Arriving = nobody_listens) -> None:
        self._network.listen(self.address, handler, arriving)

    async def call(
        self,
        address: str,
        message: Message,
        *,
        timeout_ms: int,
        arriving: Arriving = nobody_listens,
    ) -> Message:
        data = b"".join(encode_message(message))
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                reply = await self._network.carry(
                    self.address, address, data, kind=message.kind, arriving=arriving
                )
        except TimeoutError:
            raise PeerUnreachable(
                f"{address} did not answer {message.kind!r} within {timeout_ms} ms"
            ) from None
        return decode_reply(reply)

    async def close(self) -> None:
        await self._network.silence(self.address)
