"""What a node has done since it started, for metrics and tests."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType


@dataclass(slots=True)
class Counters:
    """Live counters; all of them only rise, and only the event loop touches them."""

    queries: int = 0
    queries_failed: int = 0
    queries_cancelled: int = 0
    queries_hedged: int = 0
    rows_returned: int = 0
    rows_read: int = 0
    served: int = 0
    writes: int = 0
    records_stored: int = 0
    records_kept: int = 0
    records_expired: int = 0
    writes_refused: int = 0
    copies_sent: int = 0
    copies_failed: int = 0
    records_moved: int = 0
    records_removed: int = 0
    mover_bytes_sent: int = 0
    mover_bytes_received: int = 0
    peer_calls: int = 0
    peer_failures: int = 0
    peer_requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    rings_adopted: int = 0
    flips_done: int = 0
    flips_failed: int = 0
    members_refused: int = 0
    streams_opened: int = 0
    stream_records: int = 0

    def frozen(self) -> Mapping[str, int]:
        """The values as they are now; later work does not change them."""
        return MappingProxyType(asdict(self))
