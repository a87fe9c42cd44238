"""Messages as sensors send them, and a source that hands them out of memory."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import msgpack
import numpy as np
import orjson

from ingest.sources import Lag, Messages

BATCH = 500
SENSORS = 2_000
_DAY_S = 86_400


def make_records(count: int) -> list[dict[str, Any]]:
    """Stations all over the demo's square, one record a second, four values."""
    return [_record(number) for number in range(count)]


def _record(number: int) -> dict[str, Any]:
    sensor, second = number % SENSORS, number % _DAY_S
    day = 1 + number // _DAY_S % 28
    return {
        "sensor": f"s{sensor:05}",
        "time": f"2023-07-{day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z",
        "lon": round(135 + sensor * 0.618034 % 1 * 1.6, 4),
        "lat": round(33 + sensor * 0.414214 % 1 * 1.6, 4),
        "temp": 20 + number % 100 / 10,
        "rain_1h": 0.5 * (number % 3),
        "humidity": number % 100,
        "wind": number % 77 / 10,
    }


def as_json(records: Sequence[dict[str, Any]]) -> list[bytes]:
    """One record a message."""
    return [orjson.dumps(record) for record in records]


def as_lists(records: Sequence[dict[str, Any]]) -> list[bytes]:
    """msgpack, 500 records a message."""
    return [msgpack.packb(part) for part in _parts(records)]


def as_columns(records: Sequence[dict[str, Any]]) -> list[bytes]:
    """The same as columns."""
    return [
        msgpack.packb({name: [record[name] for record in part] for name in part[0]})
        for part in _parts(records)
    ]


def _parts(records: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    left = iter(records)
    return list(iter(lambda: list(islice(left, BATCH)), []))


FORMS: dict[str, tuple[str, Callable[[Sequence[dict[str, Any]]], list[bytes]]]] = {
    "JSON, one record a message": ("json", as_json),
    f"msgpack, lists of {BATCH}": ("msgpack", as_lists),
    f"msgpack, columns of {BATCH}": ("msgpack", as_columns),
}
"""What it is called → format and encoder."""


class MemorySource:
    """Hands out prepared messages as fast as they are taken; see `ingest.sources.Source`."""

    name = "memory"

    def __init__(self, bodies: Sequence[bytes], *, poll_messages: int) -> None:
        self._bodies, self._step, self._next = bodies, poll_messages, 0
        self.acknowledged = 0

    def open(self) -> None:
        """Nothing to connect."""

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        """The next messages."""
        taken = self._bodies[self._next : self._next + self._step]
        if not taken:
            return ()
        sequences = np.arange(self._next, self._next + len(taken))
        self._next += len(taken)
        return [Messages("memory", sequences, taken, (), np.zeros(len(taken), np.int64))]

    def keep_alive(self) -> None:
        """Nothing to keep."""

    def acknowledge(self, messages: Messages) -> None:
        """Count."""
        self.acknowledged += len(messages)

    def lost_streams(self) -> Sequence[str]:
        """None."""
        return ()

    def lag(self) -> Lag:
        """What is left."""
        return Lag(len(self._bodies) - self._next, {})

    def is_at_end(self) -> bool:
        """Whether all were handed out."""
        return self._next >= len(self._bodies)

    def close(self) -> None:
        """Nothing to close."""
