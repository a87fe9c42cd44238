"""Settings of a Kafka source: the same for both clients."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ingest.errors import SettingsInvalid, SourceRefused

CLIENTS = ("confluent", "pykafka")
OFFSET_RESETS = ("earliest", "latest")


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Which topics to read, as whom, and with which client.

    Attributes:
        brokers: `HOST:PORT`, some of the cluster's; the others are found through them.
        topics: names of topics; pykafka reads one topic a source.
        group: consumer group: processes with the same one share the Kafka partitions and take
            over from each other.
        client: `confluent` (any broker from 0.11 to 4.x) or `pykafka` (up to 3.9).
        offset_reset: where a group without committed offsets begins: `earliest` or `latest`.
        tls: encrypt; `tls_ca`, `tls_cert`, `tls_key` are PEM files (default: the system's
            authorities, no certificate of our own).
        sasl_mechanism: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; empty: no SASL.
        sasl_user, sasl_password: who we are; the password may stand in `sasl_password_file`.
        options: further settings of the client by their own names, for what is not above:
            librdkafka's (`session.timeout.ms`) or pykafka's (`fetch_wait_max_ms`).
    """

    brokers: tuple[str, ...]
    topics: tuple[str, ...]
    group: str = "zring"
    client: str = "confluent"
    offset_reset: str = "earliest"
    tls: bool = False
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    sasl_mechanism: str = ""
    sasl_user: str = ""
    sasl_password: str = field(default="", repr=False)
    sasl_password_file: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what can be checked without a broker.

        Raises:
            SettingsInvalid: a value is wrong or contradicts another.
        """
        for name in ("brokers", "topics"):
            if not getattr(self, name) or not all(getattr(self, name)):
                raise SettingsInvalid(f"kafka.{name}={getattr(self, name)!r}: name at least one")
        for broker in self.addresses():
            host, _, port = broker.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
                raise SettingsInvalid(f"kafka.brokers={broker!r} is not HOST:PORT")
        if not self.group:
            raise SettingsInvalid("kafka group is empty; processes that share a topic share a name")
        for name, value, known in (
            ("client", self.client, CLIENTS),
            ("offset_reset", self.offset_reset, OFFSET_RESETS),
        ):
            if value not in known:
                raise SettingsInvalid(f"kafka.{name}={value!r} is not one of {', '.join(known)}")
        if self.sasl_password and self.sasl_password_file is not None:
            raise SettingsInvalid("kafka sasl_password and sasl_password_file are both given")
        if bool(self.sasl_user) != bool(self.sasl_mechanism) and self.sasl_user:
            raise SettingsInvalid("kafka sasl_user needs sasl_mechanism (PLAIN, SCRAM-SHA-256, …)")

    def addresses(self) -> list[str]:
        """`HOST:PORT` of each broker; one text may name several, with commas."""
        return [one.strip() for text in self.brokers for one in text.split(",")]

    def password(self) -> str:
        """The password, from wherever it stands.

        Raises:
            SourceRefused: its file cannot be read.
        """
        if self.sasl_password_file is None:
            return self.sasl_password
        try:
            return self.sasl_password_file.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceRefused(
                f"kafka.sasl_password_file={self.sasl_password_file}: {error}"
            ) from None

    def librdkafka(self) -> dict[str, str]:
        """Where and as whom, in librdkafka's names: for consumers, producers and administration.

        Raises:
            SourceRefused: as `password`.
        """
        security = ("sasl_" if self.sasl_mechanism else "") + ("ssl" if self.tls else "plaintext")
        named: dict[str, str] = {
            "bootstrap.servers": ",".join(self.addresses()),
            "security.protocol": security,
        }
        if self.sasl_mechanism:
            named |= {
                "sasl.mechanisms": self.sasl_mechanism,
                "sasl.username": self.sasl_user,
                "sasl.password": self.password(),
            }
        places = (
            ("ssl.ca.location", self.tls_ca),
            ("ssl.certificate.location", self.tls_cert),
            ("ssl.key.location", self.tls_key),
        )
        return named | {name: str(path) for name, path in places if path is not None}
