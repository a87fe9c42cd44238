"""Settings of an MQTT source, and what topic filters mean."""

from dataclasses import dataclass
from pathlib import Path

from ingest.errors import SettingsInvalid
from ingest.sources.addresses import split_address

SCHEMES = ("mqtt", "mqtts")
SHARED = "$share"


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Topics of one broker."""

    broker: str = "127.0.0.1:1883"
    """HOST:PORT, or mqtt:// and mqtts:// (with TLS) before it."""
    topics: tuple[str, ...] = ()
    """Topic filters: sensors/+/reading, sensors/#; $share/GROUP/FILTER shares the messages among
    all processes that name the same group."""
    client_id: str = ""
    """The session's name at the broker, another one for each process; default: zring-NAME."""
    qos: int = 1
    """1: at least once. 0: at most once, for what may be lost."""
    user: str = ""
    """User name, where the broker asks for one."""
    password: str = ""
    """Its password; better given as a file."""
    password_file: Path | None = None
    """File that holds the password in its first line."""
    tls_ca: Path | None = None
    """Certificates (PEM) to trust instead of the system's; turns TLS on."""
    tls_cert: Path | None = None
    """Own certificate (PEM), where the broker asks for one."""
    tls_key: Path | None = None
    """Private key (PEM) of tls_cert."""
    session_expiry_s: int = 7 * 86_400
    """How long the broker keeps what arrives while this process is away."""
    in_flight_max: int = 20_000
    """Messages that the broker sends before it waits for acknowledgements; 65,535 at most."""
    keepalive_s: int = 60
    """A connection silent for so long is asked whether it is alive."""

    def __post_init__(self) -> None:
        split_address(self.broker, setting="mqtt.broker", schemes=SCHEMES)
        _require(bool(self.topics), "mqtt.topics= is empty; name a filter, for example sensors/#")
        for topic in self.topics:
            _require(is_filter(topic), f"mqtt.topics={topic} is no topic filter")
        _require(self.qos in (0, 1), f"mqtt.qos={self.qos} is neither 0 nor 1")
        _require(
            1 <= self.in_flight_max <= 65_535,
            f"mqtt.in_flight_max={self.in_flight_max} is not within 1-65535",
        )
        _require(
            (self.tls_cert is None) == (self.tls_key is None),
            "mqtt.tls_cert and mqtt.tls_key come together",
        )

    @property
    def wants_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.broker.startswith("mqtts://") or self.tls_ca is not None


def _require(valid: bool, message: str) -> None:
    if not valid:
        raise SettingsInvalid(message)


def is_filter(text: str) -> bool:
    """Whether a broker takes this as a topic filter."""
    levels = text.split("/")
    if levels[0] == SHARED:
        levels = levels[2:]
    whole = all("+" not in level and "#" not in level for level in levels if len(level) > 1)
    return bool(text) and bool(levels) and whole and "#" not in levels[:-1]


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic is one of a filter's; `$share/GROUP/` before the filter does not count."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    if wanted[0] == SHARED:
        wanted = wanted[2:]
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(given) or level not in ("+", given[at]):
            return False
    return len(wanted) == len(given)
