"""What the mover shows of itself: frozen values for status, tasks and metrics."""

from dataclasses import dataclass
from typing import Literal

Phase = Literal["idle", "comparing", "sending", "waiting"]
RATE_WINDOW_MS = 5_000
"""Rates are those of about the last five seconds."""
RATE_WINDOW_MS_MIN = 2_500
"""At first they are the mean since the job began, with what came in a burst spread over this."""


@dataclass(frozen=True, slots=True)
class PeerProgress:
    """The work of one peer.

    Attributes:
        reason: what it waits for, in words; "" while it goes on.
        buckets_left, records_left, bytes_left: estimates, of what is known to differ by now.
        eta_s: None while nothing is being sent.
        started_us: when the job began; None when there is none.
    """

    phase: Phase
    reason: str
    buckets_left: int
    records_left: int
    bytes_left: int
    bytes_per_s: int
    eta_s: int | None
    started_us: int | None
    records_moved: int


@dataclass(slots=True)
class Progress:
    """The same, while it changes."""

    phase: Phase = "comparing"
    reason: str = ""
    started_us: int | None = None
    buckets_left: int = 0
    records_left: int = 0
    records_moved: int = 0
    bytes_moved: int = 0
    _rate: float = 0.0
    _rate_at_ms: int = 0
    _measured_ms: int = 0

    def next_job(self, *, now_us: int, now_ms: int) -> "Progress":
        """Of the job that follows on this one: what was measured so far stays."""
        return Progress(
            started_us=now_us,
            records_moved=self.records_moved,
            bytes_moved=self.bytes_moved,
            _rate=self._rate,
            _rate_at_ms=now_ms,
            _measured_ms=self._measured_ms,
        )

    def found(self, *, buckets: int, records: int) -> None:
        """Some buckets differ."""
        self.buckets_left += buckets
        self.records_left += records

    def finished(self, *, buckets: int, records: int) -> None:
        """Some buckets are done, whether anything had to be sent or not."""
        self.buckets_left = max(0, self.buckets_left - buckets)
        self.records_left = max(0, self.records_left - records)

    def moved(self, records: int, size: int, *, now_ms: int) -> None:
        """The peer has confirmed some records."""
        self.records_moved += records
        self.bytes_moved += size
        gone_ms = max(1, now_ms - self._rate_at_ms)
        self._measured_ms = min(RATE_WINDOW_MS, self._measured_ms + gone_ms)
        share = min(1.0, gone_ms / max(RATE_WINDOW_MS_MIN, self._measured_ms))
        self._rate += share * (size * 1_000 / gone_ms - self._rate)
        self._rate_at_ms = now_ms

    def frozen(self) -> PeerProgress:
        """As it is now."""
        record_bytes = self.bytes_moved / self.records_moved if self.records_moved else 0.0
        bytes_left = int(self.records_left * record_bytes)
        rate = int(self._rate)
        return PeerProgress(
            phase=self.phase,
            reason=self.reason,
            buckets_left=self.buckets_left,
            records_left=self.records_left,
            bytes_left=bytes_left,
            bytes_per_s=rate,
            eta_s=bytes_left // rate if rate and bytes_left else None,
            started_us=self.started_us,
            records_moved=self.records_moved,
        )
