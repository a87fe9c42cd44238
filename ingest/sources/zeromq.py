"""ZeroMQ: PULL and SUB sockets, and ROUTER with answers.

The guarantee is the pattern's. PUSH/PULL knows no answers: what this process has taken from the
network and not stored is lost when it is killed (at most once from the socket on; when the store
is slow, senders block at their high-water mark). PUB/SUB also drops, at the sender, what a slow
subscriber does not take. ROUTER answers every message when it is stored: a sender that repeats
what was not answered has at least once.

Frames: `[payload]` or `[key, payload]`, where the key is a SUB topic. To ROUTER: `[payload]` or
`[number, payload]`, after the empty frame that REQ sends by itself; the answer is `[number]`, or
`[stored]` where there was none.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import zmq

from ingest.errors import SourceRefused
from ingest.sources.source import POLL_BYTES_MAX, POLL_MESSAGES_MAX, Lag, Messages
from ingest.sources.zeromq_settings import ZeromqSettings

SOCKET_TYPES = {"pull": zmq.PULL, "sub": zmq.SUB, "router": zmq.ROUTER}
STORED = b"stored"
ANSWERS_MAX = 4 * POLL_MESSAGES_MAX
"""Answers on their way to one sender; ZeroMQ drops further ones, and the sender repeats."""
LINGER_MS = 1_000
"""For answers that are still under way when the source is closed."""


@dataclass(frozen=True, slots=True)
class _Envelope:
    """Whom to answer, and with what."""

    frames: list[bytes]


class ZeromqSource:
    """See `ingest.sources.Source`."""

    def __init__(self, name: str, settings: ZeromqSettings) -> None:
        self._name, self._settings = name, settings
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._stream = ",".join((*settings.bind, *settings.connect))
        self._sequence = 0
        self._held: list[bytes] = []
        """A message that was one too many for the last poll."""
        self.endpoints: list[str] = []
        """Bound endpoints with the ports that the system chose, after `open`."""

    @property
    def name(self) -> str:
        return self._name

    def open(self) -> None:
        settings = self._settings
        self._context = zmq.Context()
        self._socket = socket = self._context.socket(SOCKET_TYPES[settings.pattern])
        socket.set(zmq.RCVHWM, settings.waiting_max)
        socket.set(zmq.SNDHWM, ANSWERS_MAX)
        socket.set(zmq.MAXMSGSIZE, settings.message_bytes_max)
        socket.set(zmq.LINGER, LINGER_MS)
        if settings.pattern == "sub":
            for topic in settings.topics:
                socket.set(zmq.SUBSCRIBE, topic.encode())
        for setting, endpoints, action in (
            ("bind", settings.bind, socket.bind),
            ("connect", settings.connect, socket.connect),
        ):
            for endpoint in endpoints:
                try:
                    action(endpoint)
                except zmq.ZMQError as error:
                    self.close()
                    raise SourceRefused(
                        f"zeromq.{setting}={endpoint} cannot be used: {error.strerror}"
                    ) from None
                if setting == "bind":
                    bound = socket.get(zmq.LAST_ENDPOINT)
                    assert isinstance(bound, bytes)
                    self.endpoints.append(bound.rstrip(b"\0").decode())

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        socket = self._socket
        assert socket is not None, "poll before open"
        if not self._held and not socket.poll(max(0, round(timeout_s * 1_000))):
            return ()
        payloads: list[bytes | None] = []
        keys: list[bytes | None] = []
        envelopes: list[_Envelope] = []
        taken_bytes = 0
        while len(payloads) < POLL_MESSAGES_MAX and (frames := self._next()):
            taken_bytes += len(frames[-1])
            if payloads and taken_bytes > POLL_BYTES_MAX:
                self._held = frames
                break
            if self._settings.pattern == "router":
                frames, envelope = _opened(frames)
                envelopes.append(envelope)
            payloads.append(frames[-1] or None)
            keys.append(frames[0] if len(frames) > 1 else None)
        if not payloads:
            return ()
        return (self._messages(payloads, keys, envelopes),)

    def _next(self) -> list[bytes]:
        """What was held back, or what has arrived; nothing when there is neither."""
        assert self._socket is not None
        if self._held:
            held, self._held = self._held, []
            return held
        try:
            return self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return []

    def _messages(
        self, payloads: list[bytes | None], keys: list[bytes | None], envelopes: list[_Envelope]
    ) -> Messages:
        first, count = self._sequence, len(payloads)
        self._sequence += count
        return Messages(
            self._stream,
            np.arange(first, first + count, dtype=np.int64),
            payloads,
            keys,
            np.full(count, time.time_ns() // 1_000_000, np.int64),
            envelopes,
        )

    def acknowledge(self, messages: Messages) -> None:
        assert self._socket is not None and isinstance(messages.receipt, list)
        for envelope in messages.receipt:
            try:
                self._socket.send_multipart(envelope.frames, zmq.NOBLOCK)
            except zmq.Again:
                continue  # the sender reads no answers; it will repeat what it was not told

    def lost_streams(self) -> Sequence[str]:
        return ()

    def keep_alive(self) -> None:
        pass  # ZeroMQ's own thread keeps the connections

    def lag(self) -> Lag:
        return Lag(None, {})

    def is_at_end(self) -> bool:
        return False

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._context is not None:
            self._context.term()
            self._context = None


def _opened(frames: list[bytes]) -> tuple[list[bytes], _Envelope]:
    """The message without its envelope, and the answer: sender, REQ's empty frame, number."""
    start = 2 if len(frames) > 2 and not frames[1] else 1
    body = frames[start:] or [b""]
    answer = body[0] if len(body) > 1 else STORED
    return body, _Envelope([*frames[:start], answer])
