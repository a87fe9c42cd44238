"""What an MQTT connection has received and nobody has polled: bounded, shared by two threads."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from ingest.sources.source import POLL_BYTES_MAX, POLL_MESSAGES_MAX

QUEUE_BYTES_MAX = 32 << 20
"""Payload bytes received and not yet polled; above it the socket is not read."""

Arrival = tuple[bytes, bytes, int]
"""Topic, payload, and the broker's number of the message (0: none to acknowledge)."""


class Arrivals:
    """What the connection has received and nobody has polled; bounded, thread-safe."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._queue: deque[Arrival] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def add(self, arrivals: Sequence[Arrival]) -> None:
        """What one read of the socket brought, in order."""
        with self._changed:
            self._queue.extend(arrivals)
            self._bytes += sum(len(payload) for _, payload, _ in arrivals)
            self._changed.notify_all()

    def wait_room(self, timeout_s: float) -> bool:
        """Whether there is room for another read, at the latest after so long."""
        with self._changed:
            return self._changed.wait_for(self._has_room, timeout_s)

    def _has_room(self) -> bool:
        return len(self._queue) < self._count_max and self._bytes < QUEUE_BYTES_MAX

    def take(self, timeout_s: float, ended: Callable[[], bool]) -> list[Arrival]:
        """What one poll gives out; waits while there is nothing and it has not `ended`."""
        taken: list[Arrival] = []
        taken_bytes = 0
        with self._changed:
            self._changed.wait_for(lambda: self._queue or ended(), timeout_s)
            queue = self._queue
            while queue and len(taken) < POLL_MESSAGES_MAX:
                taken_bytes += len(queue[0][1])
                if taken and taken_bytes > POLL_BYTES_MAX:
                    break
                taken.append(queue.popleft())
            self._bytes -= sum(len(payload) for _, payload, _ in taken)
            self._changed.notify_all()
        return taken

    def wake(self) -> None:
        """Let a waiting `take` look again."""
        with self._changed:
            self._changed.notify_all()

    def forget_numbers(self) -> None:
        """The connection they came by has ended: they are stored, but nobody waits to hear it."""
        with self._changed:
            self._queue = deque((topic, payload, 0) for topic, payload, _ in self._queue)

    def __len__(self) -> int:
        return len(self._queue)
