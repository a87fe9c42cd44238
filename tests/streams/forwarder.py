"""A sender of the forward protocol that repeats what was not acknowledged, as Fluentd does."""

import socket
import threading
from collections.abc import Sequence
from contextlib import closing, suppress

import msgpack

PAUSE_S = 0.02
TIMEOUT_S = 0.05
READ_BYTES = 65_536


class Forwarder:
    """Connects again and again, and sends every chunk until its acknowledgement comes."""

    def __init__(self, address: tuple[str, int], tag: str = "site") -> None:
        self._address, self._tag = address, tag
        self._chunks: dict[str, bytes] = {}
        self._count = 0
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def send(self, payloads: Sequence[bytes]) -> None:
        """Queue chunks of packed events."""
        with self._changed:
            for payload in payloads:
                self._chunks[f"chunk {self._count}"] = payload
                self._count += 1

    @property
    def waiting(self) -> int:
        """Chunks that were not acknowledged."""
        return len(self._chunks)

    def close(self) -> None:
        """Stop; what was not acknowledged is given up."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(PAUSE_S):
            with suppress(OSError), closing(socket.create_connection(self._address, 5.0)) as line:
                self._serve(line)

    def _serve(self, line: socket.socket) -> None:
        sent: set[str] = set()
        unpacker = msgpack.Unpacker()
        while not self._stopped.is_set():
            with self._changed:
                due = [name for name in self._chunks if name not in sent]
            for name in due:
                line.settimeout(30.0)
                line.sendall(
                    msgpack.packb([self._tag, self._chunks[name], {"chunk": name, "size": 1}])
                )
                sent.add(name)
            line.settimeout(TIMEOUT_S)
            try:
                data = line.recv(READ_BYTES)
            except TimeoutError:
                continue
            if not data:
                return
            unpacker.feed(data)
            with self._changed:
                for answer in unpacker:
                    self._chunks.pop(answer["ack"], None)
