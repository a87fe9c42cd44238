"""Settings of a node: every limit by name with its reason, and where each value came from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a node allows; a request or a resource over a limit gets an error that names it."""

    request_bytes_max: int = 64 << 20
    """One POST body: a bulk batch of some 600,000 records as Arrow."""
    request_records_max: int = 1_000_000
    """Records of one POST."""
    response_rows_max: int = 10_000_000
    """Rows of one streamed answer: the ceiling that stops a query nobody meant."""
    query_timeout_ms: int = 30_000
    """A query's deadline when it names none; also the most it may ask for, times ten."""
    queries_max: int = 256
    """Queries at work at the same time; the next one is told to come back (503)."""
    write_queue_bytes_max: int = 256 << 20
    """Records waiting for the disk or for a peer before writers are slowed."""
    peer_timeout_ms: int = 5_000
    """Waiting for another node, where the caller's deadline does not end sooner."""
    probe_interval_ms: int = 1_000
    """Between two health checks of a peer."""
    probe_timeout_ms: int = 500
    """A health check without an answer for this long has failed."""
    away_after_probes: int = 3
    """Failed health checks in a row after which a member counts as away."""
