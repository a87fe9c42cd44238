"""The listening side of the forward protocol: a thread of its own with one event loop.

Any bytes end their own connection at most. What senders may take of memory is bounded: so many
connections, so many of them in the middle of a large message, so much received and not polled;
beyond that their sockets are not read. A sender that stops in the middle of a message or does not
read its acknowledgements is disconnected.
"""

import asyncio
import logging
import os
import socket
import ssl
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgpack

from ingest.errors import SourceRefused
from ingest.sources.fluentd_handshake import Handshake
from ingest.sources.fluentd_messages import (
    CHUNK_BYTES_MAX,
    MSGPACK_ERRORS,
    Chunk,
    MalformedForward,
    document_to_chunk,
    make_unpacker,
)
from ingest.sources.source import POLL_BYTES_MAX, POLL_MESSAGES_MAX

log = logging.getLogger("zring.ingest")
READ_BYTES = 64 << 10
CONNECTIONS_MAX = 256
LARGE_BYTES = 128 << 10
LARGE_MESSAGES_MAX = 4
"""Connections that may hold more than LARGE_BYTES of an unfinished message; others wait."""
QUEUE_BYTES_MAX = 32 << 20
QUEUE_CHUNKS_MAX = 20_000
"""Received and not yet polled; above either no socket is read."""
HANDSHAKE_TIMEOUT_S = 10.0
MESSAGE_TIMEOUT_S = 30.0
"""From a message's first bytes to its last."""
UNREAD_BYTES_MAX = 256 << 10
"""Acknowledgements that a sender has not read; then it is disconnected."""
START_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Received:
    """A chunk and the connection that waits to hear that it is stored."""

    chunk: Chunk
    connection: "asyncio.StreamWriter"


@dataclass(frozen=True, slots=True)
class Door:
    """Where the server listens and whom it lets in.

    Attributes:
        shared_key: empty lets everybody in.
        users: user → password, where users are asked for besides.
    """

    host: str
    port: int
    server_name: str
    shared_key: str = ""
    users: Mapping[str, str] | None = None
    tls: ssl.SSLContext | None = None


class ForwardServer:
    """Receives chunks; `take` and `acknowledge` may be called from any thread."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._queue: deque[Received] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fluentd", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._large = asyncio.Semaphore(LARGE_MESSAGES_MAX)
        self._server: asyncio.Server | None = None
        self.address = (door.host, door.port)

    def start(self) -> None:
        """Listen.

        Raises:
            SourceRefused: the address cannot be used.
        """
        self._room.set()
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        try:
            listening.result(START_TIMEOUT_S)
        except OSError as error:
            self.stop()
            raise SourceRefused(
                f"fluentd.listen={self._door.host}:{self._door.port} cannot be used: "
                f"{error.strerror or error}"
            ) from None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._accepted, self._door.host, self._door.port, ssl=self._door.tls,
            family=socket.AF_UNSPEC, limit=READ_BYTES,
        )  # fmt: skip
        name = self._server.sockets[0].getsockname()
        self.address = (name[0], name[1])

    def stop(self) -> None:
        """Send the acknowledgements that wait, hang up; safe to call twice."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(2 * CLOSE_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)

    # What the source calls

    def take(self, timeout_s: float) -> list[Received]:
        """What one poll gives out; possibly nothing after `timeout_s`."""
        taken: list[Received] = []
        taken_bytes = 0
        with self._changed:
            self._changed.wait_for(lambda: self._queue, timeout_s)
            while self._queue and len(taken) < POLL_MESSAGES_MAX:
                taken_bytes += len(self._queue[0].chunk.payload)
                if taken and taken_bytes > POLL_BYTES_MAX:
                    break
                taken.append(self._queue.popleft())
            self._bytes -= sum(len(received.chunk.payload) for received in taken)
            has_room = self._has_room()
        if taken and has_room:
            self._loop.call_soon_threadsafe(self._room.set)
        return taken

    def acknowledge(self, stored: Sequence[Received]) -> None:
        """Tell the senders that asked for it."""
        self._loop.call_soon_threadsafe(self._reply, stored)

    def waiting_count(self) -> int:
        """Chunks received and not yet taken."""
        return len(self._queue)

    # In the thread of the loop

    def _reply(self, stored: Sequence[Received]) -> None:
        for received in stored:
            wanted, writer = received.chunk.acknowledge, received.connection
            if wanted is None or writer.is_closing():
                continue
            writer.write(msgpack.packb({"ack": wanted}))
            if writer.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
                log.warning("fluentd: %s does not read its acknowledgements", _peer(writer))
                writer.transport.abort()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if len(self._tasks) > CONNECTIONS_MAX:
                log.warning("fluentd: more than %d connections", CONNECTIONS_MAX)
            else:
                await self._connection(reader, writer)
        except (MalformedForward, TimeoutError, *MSGPACK_ERRORS) as error:
            log.warning("fluentd: %s disconnected: %s", _peer(writer), str(error) or "too slow")
        except (OSError, asyncio.CancelledError):
            pass  # the sender is gone, or this server ends
        finally:
            self._tasks.discard(task)
            with suppress(OSError, TimeoutError, asyncio.CancelledError):
                writer.close()
                await asyncio.wait_for(writer.wait_closed(), CLOSE_TIMEOUT_S)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming = _Incoming(reader, self._large)
        try:
            if self._door.shared_key:
                async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                    if not await self._greet(incoming, writer):
                        return
            while not incoming.ended:
                for document in await incoming.documents():
                    chunk = document_to_chunk(document)
                    if chunk is not None:
                        self._add(Received(chunk, writer))
                await self._room.wait()
        finally:
            incoming.let_go()

    async def _greet(self, incoming: "_Incoming", writer: asyncio.StreamWriter) -> bool:
        handshake = Handshake(
            self._door.server_name, self._door.shared_key, self._door.users or {},
            os.urandom(16), os.urandom(16),
        )  # fmt: skip
        writer.write(handshake.helo())
        ping: Sequence[Any] = ()
        while not ping and not incoming.ended:
            ping = await incoming.documents(count_max=1)
        if not ping:
            return False
        refusal, pong = handshake.answer(ping[0])
        writer.write(pong)
        await writer.drain()
        if refusal:
            log.warning("fluentd: %s refused: %s", _peer(writer), refusal)
        return not refusal

    def _add(self, received: Received) -> None:
        with self._changed:
            self._queue.append(received)
            self._bytes += len(received.chunk.payload)
            if not self._has_room():
                self._room.clear()
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._bytes < QUEUE_BYTES_MAX and len(self._queue) < QUEUE_CHUNKS_MAX


class _Incoming:
    """The documents of one connection; holds a permit while a large one is unfinished."""

    def __init__(self, reader: asyncio.StreamReader, large: asyncio.Semaphore) -> None:
        self._reader, self._large = reader, large
        self._unpacker = make_unpacker()
        self._fed_bytes = self._complete_bytes = 0
        self._has_permit = False
        self._deadline_s: float | None = None
        self.ended = False

    async def documents(self, count_max: int | None = None) -> list[Any]:
        """Those that the next bytes complete.

        Raises:
            TimeoutError: one has been under way for too long.
            MSGPACK_ERRORS: the bytes are no msgpack.
        """
        found = self._complete(count_max)
        if found:
            return found
        if self._pending() > LARGE_BYTES and not self._has_permit:
            await self._large.acquire()
            self._has_permit = True
        async with asyncio.timeout_at(self._deadline_s):
            data = await self._reader.read(READ_BYTES)
        self.ended = not data
        self._fed_bytes += len(data)
        self._unpacker.feed(data)
        found = self._complete(count_max)
        if found:
            self.let_go()
        if not self._pending():
            self._deadline_s = None
        elif found or self._deadline_s is None:
            self._deadline_s = asyncio.get_running_loop().time() + MESSAGE_TIMEOUT_S
        return found

    def _complete(self, count_max: int | None) -> list[Any]:
        found: list[Any] = []
        for document in self._unpacker:
            found.append(document)
            self._complete_bytes = self._unpacker.tell()
            if len(found) == count_max:
                break
        if self._pending() > CHUNK_BYTES_MAX:
            raise MalformedForward(f"a message has more than {CHUNK_BYTES_MAX} bytes")
        return found

    def _pending(self) -> int:
        """Bytes of a message that is not complete; the unpacker may have read them already."""
        return self._fed_bytes - self._complete_bytes

    def let_go(self) -> None:
        """Give the permit back."""
        if self._has_permit:
            self._large.release()
            self._has_permit = False


def make_tls(cert: str, key: str) -> ssl.SSLContext:
    """For a server with this certificate.

    Raises:
        SourceRefused: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:
        raise SourceRefused(f"fluentd.tls_cert={cert} cannot be used: {error}") from None
    return context


def _peer(writer: asyncio.StreamWriter) -> str:
    name = writer.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if name else "a sender"
