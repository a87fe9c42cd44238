"""How fast the mover may go: a bucket of bytes for each link, and rest while others work.

What people wait for always goes first: live copies never wait here, but what they send counts,
so that they and the mover together keep to the link's rate. On a link without a rate the size of
a step is found by doing, as TCP finds its window: by what the last ones took.
"""

from dataclasses import dataclass

STEP_MS = 1_000
"""A step holds a slow link for about this long, so that a live copy soon has its turn."""
STEP_BYTES_MAX = 2 << 20
"""The largest step on a link without a limit: some 20,000 records, a few ms of loopback."""
STEP_BYTES_FIRST = 128 << 10
"""The first step on a link of which nothing is known."""
STEP_BYTES_LEAST = 8 << 10
"""The smallest step on a link without a limit: it is slow, or fails."""
STEP_SLOW_MS, STEP_FAST_MS = 400, 100
"""A step that keeps a link for longer than the one is halved: probes behind it would be late, and
a member that only has much to carry would count as away. One shorter than the other is doubled."""
STEP_BYTES_MIN = 2_048
"""A handful of records with their columns' names; less would be mostly frame."""
MESSAGE_BYTES = 600
"""What a message costs besides the records in it and the heads of packets: its own heads, its
seal, TLS. (Its answer goes the other way, in few packets.)"""
PACKET_BYTES = 1_400
PACKET_HEAD_BYTES = 52
"""TCP/IP, with time stamps: 4 % of a full packet."""
RESENT_SHARE = 0.05
"""Part of the packets that a line worth a limit may lose: they go out again, and the line has to
carry them as well. A line that loses none is used up to 95 %."""
BUSY_STEP_BYTES_MAX = 128 << 10
"""A step while people are being served: some 1,300 records, a few ms of either end's event loop;
a full one would make one read in a hundred wait for tens of ms."""
BUSY_MS = 250
"""After a read or a write the node counts as busy for this long."""
REST_MS_MAX = 2_000
"""The longest rest after one step, so that a busy node goes on moving."""


def wire_bytes(count: int) -> int:
    """What a message with so many bytes takes of a line, with its answer and what gets lost."""
    whole = count + MESSAGE_BYTES
    packets = -(-whole // PACKET_BYTES)
    return int((whole + packets * PACKET_HEAD_BYTES) / (1 - RESENT_SHARE))


@dataclass(slots=True)
class LinkBudget:
    """Bytes that may go out on one link, `rate` a second.

    Attributes:
        rate: bytes a second; 0 is without a limit.
    """

    rate: int
    _debt_bytes: float = 0.0
    _at_ms: int = 0
    _found_bytes: int = STEP_BYTES_FIRST
    _round_trip_ms: int | None = None

    def spend(self, count: int, *, now_ms: int) -> None:
        """A message with so many bytes has gone out, or will at once."""
        if self.rate:
            self._pass_time(now_ms)
            self._debt_bytes += wire_bytes(count)

    def wait_ms(self, *, now_ms: int) -> int:
        """How long the mover must wait before its next step."""
        if not self.rate:
            return 0
        self._pass_time(now_ms)
        return max(0, int(self._debt_bytes * 1_000 / self.rate))

    def took(self, count: int, took_ms: int) -> None:
        """A message with so many bytes was answered after so long.

        What the quickest answer so far took is the distance, not the width of the link.
        """
        known_ms = self._round_trip_ms
        self._round_trip_ms = took_ms if known_ms is None else min(known_ms, took_ms)
        held_ms = took_ms - self._round_trip_ms
        if held_ms > STEP_SLOW_MS:
            self._found_bytes = max(STEP_BYTES_LEAST, self._found_bytes // 2)
        elif held_ms < STEP_FAST_MS and 2 * count >= self._found_bytes:
            self._found_bytes = min(STEP_BYTES_MAX, 2 * self._found_bytes)

    def failed(self) -> None:
        """A message had no answer in time: perhaps the link was full of it."""
        self._found_bytes = max(STEP_BYTES_LEAST, self._found_bytes // 4)

    @property
    def step_bytes(self) -> int:
        """Bytes of one step."""
        if not self.rate:
            return self._found_bytes
        return min(STEP_BYTES_MAX, max(STEP_BYTES_MIN, self.rate * STEP_MS // 1_000))

    def _pass_time(self, now_ms: int) -> None:
        gone = (now_ms - self._at_ms) * self.rate / 1_000
        # Idle time is not saved up: a burst after it would stand in the way of live copies.
        self._debt_bytes = max(0.0, self._debt_bytes - gone)
        self._at_ms = now_ms


@dataclass(slots=True)
class Foreground:
    """Whether reads and writes are being served, seen from a counter that they raise.

    Attributes:
        rest_share: the mover rests this many times as long as it worked while the node is busy.
    """

    rest_share: float
    _seen: int = 0
    _busy_until_ms: int = 0

    def busy(self, served: int, *, now_ms: int) -> bool:
        """Look at the counter; call it at every step."""
        if served != self._seen:
            self._seen = served
            self._busy_until_ms = now_ms + BUSY_MS
        return now_ms < self._busy_until_ms

    def rest_ms(self, worked_ms: int, *, busy: bool) -> int:
        """How long to rest after a step, here or at the other end busy."""
        return min(REST_MS_MAX, int(worked_ms * self.rest_share)) if busy else 0
