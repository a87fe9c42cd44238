"""A sender to a ROUTER socket that repeats what was not answered."""

import threading
from collections.abc import Sequence

import zmq

POLL_MS = 50
SILENCE_POLLS = 20
"""After so many polls without an answer everything is sent again: its receiver may be another."""


class Requester:
    """Sends `[number, payload]` until the answer `[number]` comes."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._waiting: dict[bytes, bytes] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def send(self, payloads: Sequence[bytes]) -> None:
        """Queue messages."""
        with self._lock:
            for payload in payloads:
                self._waiting[b"%d" % self._count] = payload
                self._count += 1

    @property
    def waiting(self) -> int:
        """Messages that were not answered."""
        return len(self._waiting)

    def close(self) -> None:
        """Stop; what was not answered is given up."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        with zmq.Context() as context:
            while not self._stopped.is_set():
                with context.socket(zmq.DEALER) as socket:
                    socket.linger = 0
                    socket.connect(self._address)
                    self._serve(socket)

    def _serve(self, socket: "zmq.Socket[bytes]") -> None:
        """Until nothing is answered any more."""
        sent: set[bytes] = set()
        silent = 0
        while not self._stopped.is_set() and silent < SILENCE_POLLS:
            with self._lock:
                due = {name: body for name, body in self._waiting.items() if name not in sent}
            for name, body in due.items():
                socket.send_multipart([b"", name, body])
            sent.update(due)
            silent = 0 if socket.poll(POLL_MS) or not self._waiting else silent + 1
            while socket.poll(0):
                answer = socket.recv_multipart()[-1]
                with self._lock:
                    self._waiting.pop(answer, None)
