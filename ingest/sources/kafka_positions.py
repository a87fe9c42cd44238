"""Which Kafka partitions this process holds, and how far each is handed out and acknowledged.

The rule that makes a record safe: an offset is committed only after everything before it was
acknowledged, and only by the process that holds the Kafka partition *now*. A rebalance that takes
one away and gives it back begins a new tenure, so that acknowledgements of the old one are ignored:
their messages come again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

Place = tuple[str, int]
"""Topic and number of a Kafka partition."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What acknowledges a batch of one Kafka partition.

    Attributes:
        tenure: during which it was handed out.
        next_offset: the one behind the batch: what is committed.
        expected: the offset that should come first in the batch: where the one before it ended, or
            what the group had committed; -1 where that is not known.
    """

    place: Place
    tenure: int
    next_offset: int
    expected: int = -1


def stream_name(place: Place) -> str:
    """`TOPIC/KAFKA-PARTITION`."""
    return f"{place[0]}/{place[1]}"


class Positions:
    """The book of one consumer; safe to use from the thread of a rebalance as well."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._tenure = 0
        self._tenures: dict[Place, int] = {}
        self._next: dict[Place, int | None] = {}
        self._uncommitted: dict[Place, int] = {}
        self._taken: dict[Place, int] = {}
        """The newest offset of each that was taken to be committed, or was when it was given."""
        self._lost: list[str] = []

    def hold(self, place: Place, next_offset: int | None) -> int:
        """This process has it from here on; None where the first offset is not known yet.

        Returns:
            The number of the tenure that begins.
        """
        with self._lock:
            self._tenure += 1
            self._tenures[place] = self._tenure
            self._next[place] = next_offset
            self._taken[place] = -1 if next_offset is None else next_offset
            return self._tenure

    def drop(self, places: Iterable[Place]) -> None:
        """These belong to somebody else: what was handed out of them will come again there."""
        with self._lock:
            for place in places:
                if self._tenures.pop(place, None) is not None:
                    self._lost.append(stream_name(place))
                self._next.pop(place, None)
                self._uncommitted.pop(place, None)

    def held(self) -> list[Place]:
        """What this process has, sorted."""
        with self._lock:
            return sorted(self._tenures)

    def hand_out(
        self, place: Place, next_offset: int, *, read_in: int | None = None
    ) -> Receipt | None:
        """The receipt of a batch that ends before `next_offset`; None if it must not go out.

        Args:
            read_in: the tenure in which the batch was read, where another may have begun since.
        """
        with self._lock:
            tenure = self._tenures.get(place)
            if tenure is None or read_in not in (None, tenure):
                return None
            before = self._next.get(place)
            self._next[place] = next_offset
            expected = -1 if before is None else max(before, -1)
            return Receipt(place, tenure, next_offset, expected)

    def next_offset(self, place: Place) -> int | None:
        """The first that was not handed out; None where that is not known."""
        with self._lock:
            return self._next.get(place)

    def acknowledge(self, receipt: Receipt) -> None:
        """Everything before the receipt's offset is durable; ignored for another tenure."""
        with self._lock:
            if self._tenures.get(receipt.place) == receipt.tenure:
                self._uncommitted[receipt.place] = receipt.next_offset

    def take_uncommitted(self) -> list[tuple[Place, int]]:
        """What to commit now; give it to `put_back` when that fails."""
        with self._lock:
            taken = sorted(self._uncommitted.items())
            self._uncommitted.clear()
            self._taken.update(taken)
            return taken

    def put_back(self, offsets: Iterable[tuple[Place, int]]) -> None:
        """These were not committed; later acknowledgements win over them.

        So do later commits: what failed before them is told after they were sent, and committing
        it then would take the group back.
        """
        with self._lock:
            for place, offset in offsets:
                if place in self._tenures and offset >= self._taken[place]:
                    self._uncommitted.setdefault(place, offset)

    def has_lost(self) -> bool:
        """Whether streams were dropped that nobody was told of yet.

        Until then nothing of a new tenure may go out: who is told afterwards that the stream was
        lost would drop it with the rest.
        """
        with self._lock:
            return bool(self._lost)

    def take_lost(self) -> list[str]:
        """Streams that were dropped since the last call."""
        with self._lock:
            lost, self._lost = self._lost, []
            return lost
