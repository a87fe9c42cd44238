"""What a stream of arriving records has given out, and how it goes on at another node.

Every node numbers what it stores, line by line (`node.service.arrivals`). A record is news where
it was first taken: at its *origin*. A stream reads the logs of all members in contact and takes
from each the lines of that member's own; of an origin that does not answer it takes the copies in
the logs of the others, which are then *lenders* of that origin. So each record comes once, and a
record comes as long as one node that logged it is there.

A `Cursor` says how far each log was read, and which lenders were read for whom: enough for another
node to go on without a loss or a double. It is small, and opaque to clients.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack
import numpy as np

from node.errors import BadRequest
from node.records import Bools
from zring.digest import UInt64s
from zring.morton import Int64s

CURSOR_BYTES_MAX = 16 << 10
"""Text of one cursor: 256 nodes and 256 sensors inside a fence."""
CURSOR_VERSION = 1
FENCE_IN_CURSOR_MAX = 256
"""Sensors inside a fence that a cursor carries; with more, a stream begins anew elsewhere."""
SEEN_MAX = 1 << 17
"""Records that a stream, or a log, knows to have met: two generations of so many."""


class Position(NamedTuple):
    """A line of the log that one process of a node has written."""

    instance: int
    line: int


@dataclass(slots=True)
class Cursor:
    """How far a stream has come.

    Attributes:
        begun_us: when the stream began; a member that was met later is read from then on.
        at_us: when this was written, by the clock of the node that streamed.
        positions: node → the last line that was read of its log.
        lenders: origin → nodes whose logs were read for copies of its lines behind its position.
        inside: sensor (hash) → time of its last record, for those inside the fence; None where
            they are too many, or there is no fence.
    """

    begun_us: int
    at_us: int
    positions: dict[str, Position] = field(default_factory=dict)
    lenders: dict[str, set[str]] = field(default_factory=dict)
    inside: dict[int, int] | None = None

    def text(self) -> str:
        """The cursor as an event's id."""
        inside = None if self.inside is None else sorted(map(list, self.inside.items()))
        packed: bytes = msgpack.packb(
            [
                CURSOR_VERSION,
                self.begun_us,
                self.at_us,
                [[node, *self.positions[node]] for node in sorted(self.positions)],
                [[origin, sorted(self.lenders[origin])] for origin in sorted(self.lenders)],
                inside,
            ]
        )
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Undo `text`.

        Raises:
            BadRequest: no node has written this.
        """
        try:
            if len(text) > CURSOR_BYTES_MAX:
                raise ValueError("it is too long")
            packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            version, begun_us, at_us, positions, lenders, inside = msgpack.unpackb(
                packed, strict_map_key=False
            )
            if version != CURSOR_VERSION:
                raise ValueError(f"version {version}")
            return cls(
                int(begun_us),
                int(at_us),
                {str(node): Position(int(life), int(line)) for node, life, line in positions},
                {str(origin): {str(node) for node in nodes} for origin, nodes in lenders},
                None if inside is None else {int(name): int(time) for name, time in inside},
            )
        except (binascii.Error, ValueError, TypeError, msgpack.UnpackException) as error:
            raise BadRequest(
                f"last event id={text[:80]!r} is none that a node has given ({error}); leave it "
                "out to begin with what arrives now",
                field="last_event_id",
            ) from None


class Seen:
    """Digests met lately, in two generations: bounded, and each kept for at least one of them."""

    def __init__(self, most: int = SEEN_MAX) -> None:
        self._most = most
        self._new: set[int] = set()
        self._old: set[int] = set()

    def add(self, digests: UInt64s) -> Bools:
        """bool[n]: which were not met before; all of them are now."""
        fresh = np.ones(len(digests), np.bool_)
        new, old = self._new, self._old
        for row, digest in enumerate(digests.tolist()):
            if digest in new or digest in old:
                fresh[row] = False
            else:
                new.add(digest)
        if len(new) >= self._most:
            self._old, self._new = new, set()
        return fresh


class Crossing(NamedTuple):
    """One sensor that came in or went out with the row at `place`."""

    place: int
    entered: bool


class Fence:
    """Which sensors are inside an area, by their records as these arrive.

    A sensor whose first record lies inside has entered. A record that is older than the sensor's
    last one tells nothing. Of sensors outside only those are known that were inside lately, so
    that the memory is that of `sensors_max`, whatever passes by.
    """

    def __init__(self, sensors_max: int, inside: dict[int, int] | None = None) -> None:
        self._most = sensors_max
        self._inside: dict[int, int] = dict(inside or {})
        self._left: dict[int, int] = {}

    def cross(self, sensor_hash: UInt64s, time: Int64s, inside: Bools) -> list[Crossing]:
        """Take in rows in the order of their arrival.

        Cost: a step in Python for each row of a sensor that is or was inside.
        """
        names = (*self._inside, *self._left)
        known = np.concatenate((np.fromiter(names, np.uint64, len(names)), sensor_hash[inside]))
        found: list[Crossing] = []
        for place in np.flatnonzero(np.isin(sensor_hash, known)).tolist():
            name, moment = int(sensor_hash[place]), int(time[place])
            if moment < self._inside.get(name, moment) or moment < self._left.get(name, moment):
                continue
            if inside[place]:
                if name not in self._inside:
                    found.append(Crossing(place, True))
                    self._left.pop(name, None)
                self._inside[name] = moment
            elif self._inside.pop(name, None) is not None:
                found.append(Crossing(place, False))
                self._left[name] = moment
        self._bound()
        return found

    def inside(self) -> dict[int, int] | None:
        """For the cursor; None when they are too many."""
        return dict(self._inside) if len(self._inside) <= FENCE_IN_CURSOR_MAX else None

    def _bound(self) -> None:
        """Forget those first that left first, then those inside that entered first."""
        for kept in (self._left, self._inside):
            while kept and len(self._inside) + len(self._left) > self._most:
                del kept[next(iter(kept))]


def runs_of(crossings: Sequence[Crossing]) -> list[list[Crossing]]:
    """Neighbours of one kind together, in order: what one event tells."""
    runs: list[list[Crossing]] = []
    for crossing in crossings:
        if runs and runs[-1][-1].entered == crossing.entered:
            runs[-1].append(crossing)
        else:
            runs.append([crossing])
    return runs


def plain_to_positions(plain: Any) -> dict[str, Position]:
    """Node → position, from a message.

    Raises:
        BadRequest: it is no such map.
    """
    try:
        return {str(node): Position(int(life), int(line)) for node, (life, line) in plain.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise BadRequest(f"positions are malformed: {error}", field="positions") from None
