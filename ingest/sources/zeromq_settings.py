"""Settings of a ZeroMQ source."""

from dataclasses import dataclass

from ingest.errors import SettingsInvalid

PATTERNS = ("pull", "sub", "router")
LOCAL = ("tcp://127.", "tcp://localhost:", "tcp://[::1]:", "ipc://", "inproc://")


@dataclass(frozen=True, slots=True)
class ZeromqSettings:
    """A socket and its other ends."""

    pattern: str = "pull"
    """pull: from PUSH sockets; sub: from PUB sockets; router: from REQ or DEALER sockets, each
    message answered when it is stored."""
    bind: tuple[str, ...] = ()
    """Endpoints to listen on: tcp://127.0.0.1:5556, ipc:///run/zring/in."""
    connect: tuple[str, ...] = ()
    """Endpoints to connect to; ZeroMQ goes on trying when nobody is there."""
    topics: tuple[str, ...] = ("",)
    """Of sub: what the first frame begins with; an empty text takes all."""
    waiting_max: int = 10_000
    """Messages that may wait in this process for each sender (high-water mark)."""
    message_bytes_max: int = 16 << 20
    """A sender of a larger message is disconnected."""
    insecure: bool = False
    """Listen beyond loopback: ZeroMQ's TCP has neither encryption nor passwords here."""

    def __post_init__(self) -> None:
        if self.pattern not in PATTERNS:
            raise SettingsInvalid(
                f"zeromq.pattern={self.pattern} is unknown; use {', '.join(PATTERNS)}"
            )
        if not self.bind and not self.connect:
            raise SettingsInvalid("zeromq: give bind or connect, for example tcp://127.0.0.1:5556")
        opened = [text for text in self.bind if not text.startswith(LOCAL)]
        if opened and not self.insecure:
            raise SettingsInvalid(
                f"zeromq.bind={opened[0]} is reachable from other machines; give "
                "zeromq.insecure=true where the network itself is closed"
            )
        for name, value in (
            ("waiting_max", self.waiting_max),
            ("message_bytes_max", self.message_bytes_max),
        ):
            if value < 1:
                raise SettingsInvalid(f"zeromq.{name}={value} is less than 1")
