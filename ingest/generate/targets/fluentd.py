"""Whoever listens for Fluentd's forward protocol: events in chunks, each to be acknowledged."""

import socket
import time
from collections import Counter
from collections.abc import Sequence

import msgpack
import orjson

from ingest.errors import SourceRefused
from ingest.generate.payloads import Message
from ingest.generate.targets.target import Place
from ingest.sources.addresses import split_address
from ingest.sources.fluentd_messages import MSGPACK_ERRORS

EVENTS_PER_CHUNK = 500
CHUNKS_WAITING_MAX = 64
"""Sent and not acknowledged; the server stores them side by side."""
CONNECT_TIMEOUT_S = 5.0
ACKNOWLEDGE_TIMEOUT_S = 60.0
READ_BYTES = 64 << 10


class FluentdTarget:
    """See `MessageTarget`; an event is delivered when its chunk was acknowledged.

    The event's time is the present, its record what the message holds; a message that holds no
    record is sent as the text member `message`, as a log line would be.
    """

    def __init__(self, place: Place) -> None:
        self._address: str = place.need("address", "fluentd")
        self._tag: str = place.topic or "generated"
        self._socket: socket.socket | None = None
        self._unpacker = msgpack.Unpacker()
        self._chunks: dict[str, int] = {}
        self._events: list[bytes] = []
        self._count = 0
        self.delivered = 0
        self.failed: Counter[str] = Counter()

    def open(self) -> None:
        """See `MessageTarget`."""
        address = split_address(self._address, setting="--brokers")
        try:
            self._socket = socket.create_connection(address, CONNECT_TIMEOUT_S)
        except OSError as error:
            raise SourceRefused(f"--brokers {self._address} cannot be reached: {error}") from None
        self._socket.settimeout(ACKNOWLEDGE_TIMEOUT_S)

    def send(self, messages: Sequence[Message]) -> None:
        """See `MessageTarget`."""
        now_s = int(time.time())
        for message in messages:
            self._events.append(_event(now_s, message))
            if len(self._events) >= EVENTS_PER_CHUNK:
                self._send_chunk()
        if self._events:
            self._send_chunk()

    def _send_chunk(self) -> None:
        name, count = f"{self._count}", len(self._events)
        packed = b"".join(self._events)
        self._events.clear()
        if self._socket is None:
            self.failed["connection lost"] += count
            return
        self._count += 1
        self._chunks[name] = count
        try:
            self._socket.sendall(msgpack.packb([self._tag, packed, {"chunk": name, "size": count}]))
            while len(self._chunks) >= CHUNKS_WAITING_MAX and self._read():
                pass
        except OSError:
            self._give_up()

    def _read(self) -> bool:
        """Take acknowledgements; whether the connection is still there."""
        assert self._socket is not None
        data = self._socket.recv(READ_BYTES)
        self._unpacker.feed(data)
        for answer in self._unpacker:
            self.delivered += self._chunks.pop(answer["ack"], 0)
        if not data:
            self._give_up()
        return bool(data)

    def _give_up(self) -> None:
        if self._chunks:
            self.failed["connection lost"] += sum(self._chunks.values())
        self._chunks.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def finish(self) -> None:
        """See `MessageTarget`."""
        try:
            while self._chunks and self._read():
                pass
        except OSError:
            pass  # counted below
        self._give_up()


def _event(now_s: int, message: Message) -> bytes:
    """The packed event of one message."""
    body = message.payload or b""
    record: object = None
    for parse in (orjson.loads, msgpack.unpackb):
        try:
            record = parse(body)
        except MSGPACK_ERRORS:
            continue
        break
    if not isinstance(record, dict):
        record = {"message": body.decode(errors="replace")}
    packed: bytes = msgpack.packb([now_s, record])
    return packed
