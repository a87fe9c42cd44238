"""A sender of Fluentd's forward protocol for measurements: packed chunks, each acknowledged."""

import socket
import time
from collections.abc import Sequence
from contextlib import closing

import msgpack

WINDOW = 64
"""Chunks sent and not acknowledged, as a forwarder with several flush threads has them."""
TIMEOUT_S = 300.0
READ_BYTES = 64 << 10


def send_chunks(port: int, frames: Sequence[bytes]) -> None:
    """Send all frames and wait for as many acknowledgements; the listener may come later."""
    with closing(_connect(port)) as line:
        line.settimeout(TIMEOUT_S)
        unpacker, heard = msgpack.Unpacker(), 0
        for sent, frame in enumerate(frames):
            while sent - heard >= WINDOW:
                heard += _read(line, unpacker)
            line.sendall(frame)
        while heard < len(frames):
            heard += _read(line, unpacker)


def _connect(port: int) -> socket.socket:
    deadline = time.perf_counter() + TIMEOUT_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        except ConnectionRefusedError:
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.05)


def _read(line: socket.socket, unpacker: msgpack.Unpacker) -> int:
    data = line.recv(READ_BYTES)
    assert data, "the listener hung up"
    unpacker.feed(data)
    return sum(1 for _ in unpacker)
