"""Settings of a node: every one by name with its default and its reason, checked when built.

`Config` is the whole tree; a section is one frozen dataclass. The text below a setting is its
documentation: `zring init` writes it into the TOML file and `docs/configuration.md` must name
every setting. Where values come from (file, environment, flags) is `node.cli.settings`.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from node.errors import ConfigInvalid
from zring.domain import DEMO_DOMAIN, Domain

Placement = Literal["halo", "edge", "corner", "moore"]
Role = Literal["read", "write", "admin"]
ROLES: tuple[Role, ...] = ("read", "write", "admin")
"""Each role may do what the ones before it may."""
PLACEMENTS: tuple[Placement, ...] = ("halo", "edge", "corner", "moore")
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
NAME_LENGTH_MAX = 64
"""Names of nodes and clusters stand in headers, file names and tables."""
GRAIN_LEVEL_MAX = 16
KEY_LENGTH_MIN = 16


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
    streams_max: int = 12
    """Streams of arriving records that are open here; each keeps a connection to every node."""
    stream_queue_bytes_max: int = 4 << 20
    """Records that wait for the reader of one stream; beyond it the logs wait for the stream."""
    stream_log_bytes_max: int = 32 << 20
    """Records that arrived lately, kept for streams: what a slow reader or a cut may be behind."""
    fence_sensors_max: int = 10_000
    """Sensors of which one stream knows whether they are inside its fence."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            _require(
                getattr(self, name) > 0, f"limits.{name}", getattr(self, name), "must be above 0"
            )


@dataclass(frozen=True, slots=True)
class MoverSettings:
    """How fast records move between nodes besides what people read and write."""

    link_bytes_per_s_max: int = 0
    """Bytes a second to each other node, live copies included; 0 is without a limit. A site on
    128 kbit/s does well with 8000: live copies go first, and the newest days of a backlog."""
    rest_share: int = 3
    """While reads or writes are being served, the mover rests this many times as long as it
    worked; 0 never rests."""
    compare_interval_h: int = 6
    """Hours between two comparisons of everything with every other holder, which find what no
    failure has announced; in agreement it costs some hundred bytes a collection and holder."""

    def __post_init__(self) -> None:
        rate = self.link_bytes_per_s_max
        _require(
            rate == 0 or rate >= 1_000, "mover.link_bytes_per_s_max", rate, "is below 1000 (or 0)"
        )
        _require(
            0 <= self.rest_share <= 1_000, "mover.rest_share", self.rest_share, "is not in 0-1000"
        )
        _require(
            self.compare_interval_h > 0,
            "mover.compare_interval_h",
            self.compare_interval_h,
            "must be above 0",
        )


TURNS_PER_PERIOD = 4


@dataclass(frozen=True, slots=True)
class LinkPreset:
    """How members keep in touch; chosen by name with `node.link`."""

    period_ms: int
    """Between two probes of this node; each goes to one other member."""
    timeout_ms: int
    """A probe without an answer for this long is tried through others."""
    relay_timeout_ms: int
    """For a probe through another member; longer than two of the other's."""
    relays: int
    """Members that are asked to probe somebody who does not answer."""
    probe_all_max: int
    """Where so few others are in contact, all of them are probed in every period."""
    suspicion_periods: int
    """Time to answer a suspicion, times the logarithm of the number of members."""
    suspicion_stretch: int
    """So many times as long while nobody else suspects the same."""
    rumour_times: int
    """How often a rumour is told, times the logarithm of the number of members."""
    rumours_max: int
    """Rumours in one message."""
    ages_max: int
    """Members of whom one answer says how old their word is."""
    words_bytes_max: int
    """Words of others in one answer, roughly."""
    exchange_periods: int
    """Every so many periods a probe exchanges all that is known (of a large cluster, a part)."""
    peer_timeout_ms_min: int
    """`limits.peer_timeout_ms` counts as this where it is less."""

    @property
    def turn_ms(self) -> int:
        """Between two looks at what has changed: suspicions end, the mover is woken, areas turn
        out to be filled or may be handed over."""
        return self.period_ms // TURNS_PER_PERIOD


LAN = LinkPreset(
    period_ms=1_000,
    timeout_ms=500,
    relay_timeout_ms=1_500,
    relays=3,
    probe_all_max=5,
    suspicion_periods=3,
    suspicion_stretch=3,
    rumour_times=4,
    rumours_max=16,
    ages_max=16,
    words_bytes_max=256 << 10,
    exchange_periods=30,
    peer_timeout_ms_min=0,
)
"""Sites joined by fast lines."""

WAN = replace(
    LAN,
    period_ms=12_000,
    timeout_ms=20_000,
    relay_timeout_ms=45_000,
    relays=2,
    probe_all_max=0,
    rumours_max=8,
    ages_max=6,
    words_bytes_max=16 << 10,
    peer_timeout_ms_min=20_000,
)
"""Radio and satellite: 128 kbit/s, a second of delay, 5 % loss; at most 20 MB a day when idle.

From site to site, over the lines of both, a round trip takes four seconds, and opening a connection
(TCP, TLS, greeting) three round trips before the first message: with shorter timeouts two sites
would never come to speak to each other."""

LINKS: Mapping[str, LinkPreset] = {"lan": LAN, "wan": WAN}


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What all nodes of a cluster must agree on; fixed when the cluster is born."""

    id: str = "zring"
    """Name of the cluster; nodes of different clusters never exchange records."""
    domain: Domain = DEMO_DOMAIN
    """The rectangle that the cluster covers: "west,south,east,north" in degrees, or "world"."""
    grain_level: int | None = None
    """Level of the finest cells that a node can own, 1-16; default: cells about 1 km high."""
    founders: tuple[str, ...] = ()
    """Names of the first nodes in curve order, each with an equal part of the domain; four are
    the quarters SW, NW, SE, NE. Default: without seeds this node alone; with seeds none: a
    newcomer asks them for the ring and owns nothing until it joins."""
    placement: Placement = "halo"
    """How replicas are placed: halo (nearest areas), edge, corner or moore (neighbour patterns)."""
    replicas: int = 2
    """Copies of every record besides the owner's."""
    key: str = ""
    """Shared secret by which nodes know each other, at least 16 characters; needed beyond
    loopback. Better given as ZRING_CLUSTER_KEY than written into a file."""

    def __post_init__(self) -> None:
        _require_name(self.id, "cluster.id")
        level = self.grain_level
        _require(
            level is None or 1 <= level <= GRAIN_LEVEL_MAX,
            "cluster.grain_level",
            level,
            f"is not within 1-{GRAIN_LEVEL_MAX}; leave it out for cells about 1 km high",
        )
        for name in self.founders:
            _require_name(name, "cluster.founders")
        _require(
            len(set(self.founders)) == len(self.founders),
            "cluster.founders",
            ",".join(self.founders),
            "names a node twice; every founder owns one part",
        )
        _require(
            self.placement in PLACEMENTS,
            "cluster.placement",
            self.placement,
            f"is unknown; choose one of {', '.join(PLACEMENTS)}",
        )
        _require(0 <= self.replicas <= 8, "cluster.replicas", self.replicas, "is not within 0-8")
        _require(
            not self.key or len(self.key) >= KEY_LENGTH_MIN,
            "cluster.key",
            "***",
            f"has fewer than {KEY_LENGTH_MIN} characters; make one with: openssl rand -hex 32",
        )

    @property
    def effective_grain_level(self) -> int:
        """The level given, or the one that makes cells about 1 km high."""
        return self.grain_level or self.domain.grain_level_for()


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What is this node's own."""

    name: str = ""
    """Made once and stored with the data; does not depend on addresses. Default: the name that
    the store has, else the host's name."""
    data: Path = Path("zring-data")
    """Folder of this node's store."""
    listen: str = "127.0.0.1:7070"
    """Address for people and programs (HTTP)."""
    peer_listen: str = "127.0.0.1:7170"
    """Address for the other nodes; never the same as `listen`."""
    advertise: str = ""
    """Address that the other nodes use for this one, where it differs from `peer_listen`."""
    url: str = ""
    """URL that clients use for this node, where it differs from `listen`."""
    seeds: tuple[str, ...] = ()
    """Peer addresses of some other nodes; one that answers is enough."""
    link: Literal["lan", "wan"] = "lan"
    """How nodes are joined: lan notices a failure within seconds; wan probes twelve times less
    often and waits longer, for radio and satellite links. The same on all nodes."""
    location: tuple[float, float] | None = None
    """Where this node stands: "lon,lat" in degrees; default: the middle of its area."""

    def __post_init__(self) -> None:
        if self.name:
            _require_name(self.name, "node.name")
        for setting, address in (
            ("node.listen", self.listen),
            ("node.peer_listen", self.peer_listen),
        ):
            parse_address(address, setting=setting)
        for address in self.seeds:
            parse_address(address, setting="node.seeds")
        if self.advertise:
            parse_address(self.advertise, setting="node.advertise")
        _require(
            self.listen != self.peer_listen,
            "node.peer_listen",
            self.peer_listen,
            "is the address of node.listen; people and nodes use different ports",
        )
        _require(self.link in LINKS, "node.link", self.link, f"is none of {', '.join(LINKS)}")
        if self.location is not None:
            lon, lat = self.location
            _require(
                -180 <= lon <= 180 and -90 <= lat <= 90,
                "node.location",
                f"{lon:g},{lat:g}",
                "is not on the map; longitude comes first",
            )


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """Who may talk to this node; required as soon as it listens beyond loopback."""

    tls_cert: Path | None = None
    """Certificate chain (PEM) for both ports."""
    tls_key: Path | None = None
    """Private key (PEM) of the certificate."""
    tls_ca: Path | None = None
    """Certificates (PEM) of the authority to trust: for calls to other nodes, and for those who
    must show a certificate; default for calls: the system's."""
    peer_certificates: bool = False
    """Nodes must show a certificate of tls_ca that names them (mutual TLS); instead of the cluster
    key, or besides it."""
    client_certificates: bool = False
    """Clients must show a certificate of tls_ca, besides their token."""
    token_file: Path | None = None
    """File of client tokens as zring token makes it: names, roles and digests; read again on
    SIGHUP."""
    tokens: Mapping[str, Role] = field(default_factory=dict)
    """Token of a client → its role: read, write (also reads) or admin (may do everything). For
    containers, as a variable token=role,token=role; elsewhere better in token_file. Without
    either no token is asked for."""
    insecure: bool = False
    """Listen beyond loopback although TLS, cluster key or tokens are missing."""

    def __post_init__(self) -> None:
        _require(
            (self.tls_cert is None) == (self.tls_key is None),
            "security.tls_key" if self.tls_key is None else "security.tls_cert",
            None,
            "is missing; certificate and private key come together",
        )
        for setting in ("peer_certificates", "client_certificates"):
            _require(
                not getattr(self, setting)
                or (self.tls_ca is not None and self.tls_cert is not None),
                f"security.{setting}",
                "true",
                "needs security.tls_ca, security.tls_cert and security.tls_key: zring certs "
                "makes them for a test",
            )
        for role in self.tokens.values():
            _require(
                role in ROLES,
                "security.tokens",
                role,
                f"is no role; choose one of {', '.join(ROLES)}",
            )


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The door for people and programs."""

    cors: tuple[str, ...] = ("*",)
    """Origins whose web pages may call this node from a browser; "*" is any, empty is none."""
    open_metrics: bool = False
    """Let everybody read /metrics where tokens are asked for; else it takes one that reads."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the node says on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important kind of message that is written."""
    json: bool = False
    """One JSON object a line, for log collectors; default: text for people."""

    def __post_init__(self) -> None:
        levels = ("debug", "info", "warning", "error")
        _require(self.level in levels, "log.level", self.level, f"is none of {', '.join(levels)}")


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one node."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    node: NodeSettings = field(default_factory=NodeSettings)
    limits: Limits = field(default_factory=Limits)
    mover: MoverSettings = field(default_factory=MoverSettings)
    security: SecuritySettings = field(default_factory=SecuritySettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    log: LogSettings = field(default_factory=LogSettings)

    def open_addresses(self) -> dict[str, str]:
        """Setting → address, of those that other machines can reach."""
        addresses = {
            "node.listen": self.node.listen,
            "node.peer_listen": self.node.peer_listen,
        }
        return {name: text for name, text in addresses.items() if not is_loopback(text)}

    def missing_protection(self) -> list[str]:
        """What this node lacks for listening where it is told to; empty on loopback.

        Each entry is a sentence that names the setting to give.
        """
        opened, security = self.open_addresses(), self.security
        missing: list[str] = []
        if not opened or security.insecure:
            return missing
        if security.tls_cert is None:
            missing.append(
                "TLS: give security.tls_cert and security.tls_key (for a test: zring certs)"
            )
        if not (self.cluster.key or security.peer_certificates):
            missing.append(
                "a cluster key: give cluster.key (openssl rand -hex 32), or "
                "security.peer_certificates"
            )
        if not (security.tokens or security.token_file):
            missing.append(
                "client tokens: give security.token_file (zring token make) or security.tokens"
            )
        return missing


def parse_address(text: str, *, setting: str = "address") -> tuple[str, int]:
    """Host and port of `HOST:PORT`; an IPv6 host stands in brackets.

    Raises:
        ConfigInvalid: names the setting.
    """
    host, colon, port = text.rpartition(":")
    valid = (
        bool(colon) and bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16
    )
    _require(valid, setting, text, "is no address; write HOST:PORT, for example 127.0.0.1:7070")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach the address `HOST:PORT`."""
    host, _ = parse_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_name(name: str, setting: str) -> None:
    valid = 0 < len(name) <= NAME_LENGTH_MAX and NAME_CHARACTERS.issuperset(name)
    rule = f"is no name; use 1-{NAME_LENGTH_MAX} of the characters a-z A-Z 0-9 . _ -"
    _require(valid, setting, name, rule)


def _require(valid: bool, setting: str, value: object, rule: str) -> None:
    if not valid:
        raise ConfigInvalid(f"{setting}={value} {rule}", setting=setting)
