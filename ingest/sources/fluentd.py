"""Fluentd and Fluent Bit: a server of the forward protocol that answers after the store has it.

Senders with `require_ack_response` (Fluentd) or `Require_ack_response` (Fluent Bit) hear of a chunk
when all its records are stored or kept as dead letters, and send it again when they do not: at
least once. Without it the protocol knows no answer, and what is in this process's memory when it
is killed is lost: at most once from the socket on.

What it does not do: heartbeats over UDP (senders have used TCP connections for them since 2017,
`heartbeat_type transport`), and compression other than gzip.
"""

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ingest.errors import SettingsInvalid
from ingest.sources.addresses import split_address
from ingest.sources.first_line import first_line
from ingest.sources.fluentd_server import Door, ForwardServer, Received, make_tls
from ingest.sources.source import Lag, Messages
from node.config import is_loopback

STREAMS_MAX = 1_000
"""Tags that are streams of their own; what has another tag after that is in OTHER_TAGS."""
OTHER_TAGS = "other tags"


@dataclass(frozen=True, slots=True)
class FluentdSettings:
    """Where senders connect, and what they must know."""

    listen: str = "127.0.0.1:24224"
    """HOST:PORT for senders; beyond loopback it wants a shared key or `insecure`."""
    shared_key: str = ""
    """What senders and this server know: shared_key of Fluentd's <security>."""
    shared_key_file: Path | None = None
    """File that holds the shared key in its first line."""
    users: Mapping[str, str] = field(default_factory=dict)
    """User → password of senders, asked for besides the shared key."""
    server_name: str = ""
    """Self_hostname that senders are told; default: this host's name."""
    tls_cert: Path | None = None
    """Certificate chain (PEM); senders then connect with TLS."""
    tls_key: Path | None = None
    """Private key (PEM) of the certificate."""
    insecure: bool = False
    """Listen beyond loopback without a shared key."""

    def __post_init__(self) -> None:
        host, _ = split_address(self.listen, setting="fluentd.listen", port_min=0)
        has_key = bool(self.shared_key) or self.shared_key_file is not None
        if not has_key and not self.insecure and not is_loopback(f"{host}:1"):
            raise SettingsInvalid(
                f"fluentd.listen={self.listen} is reachable from other machines; give "
                "fluentd.shared_key, or fluentd.insecure=true where the network itself is closed"
            )
        if self.users and not has_key:
            raise SettingsInvalid("fluentd.users needs fluentd.shared_key")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsInvalid("fluentd.tls_cert and fluentd.tls_key come together")


class FluentdSource:
    """See `ingest.sources.Source`."""

    def __init__(self, name: str, settings: FluentdSettings) -> None:
        self._name, self._settings = name, settings
        self._server: ForwardServer | None = None
        self._sequences: dict[str, int] = {}

    @property
    def name(self) -> str:
        return self._name

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on, after `open`."""
        assert self._server is not None, "not open"
        return self._server.address

    def open(self) -> None:
        settings = self._settings
        host, port = split_address(settings.listen, setting="fluentd.listen", port_min=0)
        tls = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            tls = make_tls(str(settings.tls_cert), str(settings.tls_key))
        name = settings.server_name or socket.gethostname()
        key = settings.shared_key
        if settings.shared_key_file is not None:
            key = first_line(settings.shared_key_file, setting="fluentd.shared_key_file")
        server = ForwardServer(Door(host, port, name, key, settings.users, tls))
        server.start()
        self._server = server

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        assert self._server is not None, "poll before open"
        groups: dict[str, list[Received]] = {}
        for received in self._server.take(timeout_s):
            groups.setdefault(self._stream_of(received.chunk.tag), []).append(received)
        now_ms = time.time_ns() // 1_000_000
        return [self._messages(stream, group, now_ms) for stream, group in groups.items()]

    def _stream_of(self, tag: str) -> str:
        known = tag in self._sequences or len(self._sequences) < STREAMS_MAX
        stream = tag if known else OTHER_TAGS
        self._sequences.setdefault(stream, 0)
        return stream

    def _messages(self, stream: str, group: list[Received], now_ms: int) -> Messages:
        first = self._sequences[stream]
        self._sequences[stream] = first + len(group)
        return Messages(
            stream,
            np.arange(first, first + len(group), dtype=np.int64),
            [received.chunk.payload or None for received in group],
            [received.chunk.tag.encode(errors="replace") for received in group],
            np.full(len(group), now_ms, np.int64),
            group,
        )

    def acknowledge(self, messages: Messages) -> None:
        assert self._server is not None and isinstance(messages.receipt, list)
        self._server.acknowledge(messages.receipt)

    def lost_streams(self) -> Sequence[str]:
        return ()

    def keep_alive(self) -> None:
        pass  # the server's own thread answers senders; what they may send meanwhile is bounded

    def lag(self) -> Lag:
        return Lag(0 if self._server is None else self._server.waiting_count(), {})

    def is_at_end(self) -> bool:
        return False

    def close(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
