"""A network in user space, where namespaces are not permitted: every link passes through a proxy.

Each node advertises a port of the proxy instead of its own. Who calls is found by the port that the
caller's process has open. A cut is silence, as on a real line: connections stay, nothing passes,
and what was sent waits until the way is healed or the caller gives up. Delay and bandwidth can be
set for all ways, which namespaces cannot do everywhere.
"""

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ingest.demo.nodes import NodePlace
from tests.cluster.material import free_ports
from tests.recovery.network import ProcessIds

CHUNK_BYTES = 64 << 10
CHUNKS_UNDER_WAY_MAX = 256
"""Of one direction of a connection: 16 MB, more than a delayed link holds."""
ANSWER_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Way:
    """One direction between two nodes."""

    passes: asyncio.Event = field(default_factory=asyncio.Event)
    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    free_at_s: float = 0.0

    def arrival_s(self, now_s: float, count: int) -> float:
        """When `count` bytes sent now are at the other end."""
        if self.bytes_per_s:
            self.free_at_s = max(self.free_at_s, now_s) + count / self.bytes_per_s
            return self.free_at_s + self.delay_s
        return now_s + self.delay_s


class Proxy:
    """See `Network`.

    Args:
        process_ids: of the nodes that run now.
    """

    def __init__(
        self, process_ids: ProcessIds, *, delay_s: float = 0.0, bytes_per_s: float = 0.0
    ) -> None:
        self.described = "user-space proxy between the nodes"
        if delay_s or bytes_per_s:
            self.described += f" (delay {delay_s:g} s, {bytes_per_s:g} bytes/s; 0 is no limit)"
        self._process_ids = process_ids
        self._delay_s, self._bytes_per_s = delay_s, bytes_per_s
        self._ways: dict[tuple[str, str], Way] = {}
        self._names: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()

    def place(self, name: str, folder: Path) -> NodePlace:
        port, peer_port, proxy_port = free_ports(3)
        self._do(self._listen(name, proxy_port, peer_port))
        return NodePlace(name, port, peer_port, folder, advertise=f"127.0.0.1:{proxy_port}")

    def cut_way(self, source: str, target: str) -> None:
        self._do(self._set(source, target, passes=False))

    def heal_way(self, source: str, target: str) -> None:
        self._do(self._set(source, target, passes=True))

    def unplug(self, name: str) -> None:
        self._turn(name, passes=False)

    def plug(self, name: str) -> None:
        self._turn(name, passes=True)

    def close(self) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_TIMEOUT_S)

    def _turn(self, name: str, *, passes: bool) -> None:
        for other in self._names:
            if other != name:
                for way in ((name, other), (other, name)):
                    self._do(self._set(*way, passes=passes))

    async def _listen(self, name: str, port: int, target_port: int) -> None:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await self._connection(name, target_port, reader, writer)
            except OSError:
                pass  # either end hung up: as the other sees when its side is closed
            finally:
                self._tasks.discard(task)
                writer.close()

        for other in self._names:
            for way in ((name, other), (other, name)):
                self._ways[way] = Way(delay_s=self._delay_s, bytes_per_s=self._bytes_per_s)
                self._ways[way].passes.set()
        self._names.append(name)
        self._servers.append(await asyncio.start_server(accepted, "127.0.0.1", port))

    async def _set(self, source: str, target: str, *, passes: bool) -> None:
        event = self._ways[source, target].passes
        event.set() if passes else event.clear()

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(
        self,
        target: str,
        target_port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        port, own_port = (writer.get_extra_info(end)[1] for end in ("peername", "sockname"))
        source = await asyncio.to_thread(self._caller, port, own_port)
        if source is None:
            return  # ended before it was looked for
        there, back = self._ways[source, target], self._ways[target, source]
        await there.passes.wait()  # the SYN
        await back.passes.wait()  # its answer
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target_port)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(reader, far_writer, there))
                pumps.create_task(_pump(far_reader, writer, back))
        except* OSError:
            pass
        finally:
            far_writer.close()

    def _caller(self, port: int, own_port: int) -> str | None:
        """The node whose process has a connection from this port to that one of ours.

        Both count: the system gives one port to several connections with different far ends.
        """
        for name, process_id in self._process_ids().items():
            try:
                connections = psutil.Process(process_id).net_connections(kind="tcp")
            except psutil.Error:
                continue
            for entry in connections:
                if entry.raddr and (entry.laddr.port, entry.raddr.port) == (port, own_port):
                    return name
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
    """Carry one direction; what is under way arrives in order, each piece at its time."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_UNDER_WAY_MAX)

    async def send() -> None:
        while True:
            data = await reader.read(CHUNK_BYTES)
            await under_way.put((way.arrival_s(loop.time(), len(data)), data))
            if not data:
                return

    async def arrive() -> None:
        while True:
            at_s, data = await under_way.get()
            await asyncio.sleep(max(0.0, at_s - loop.time()))
            await way.passes.wait()
            if not data:
                writer.close()
                return
            writer.write(data)
            await writer.drain()

    async with asyncio.TaskGroup() as both:
        both.create_task(send())
        both.create_task(arrive())
