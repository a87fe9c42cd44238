"""Where messages come from: one file for each kind, all of one shape (`source.Source`)."""

from ingest.sources.source import POLL_BYTES_MAX, POLL_MESSAGES_MAX, Lag, Messages, Source

__all__ = ["POLL_BYTES_MAX", "POLL_MESSAGES_MAX", "Lag", "Messages", "Source"]
