"""Who a node says it is when it greets another, and why two nodes may not talk."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from node.errors import BadRequest, PeerRefused

TEXT_LENGTH_MAX = 128
"""Names have 64 characters; whatever is longer comes from no node."""


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """What nodes compare before they exchange anything else.

    Attributes:
        domain: west, south, east, north in e7.
        instance: of this process: two with one name are told apart by it.
    """

    node: str = ""
    cluster: str = ""
    domain: tuple[int, ...] = ()
    grain_level: int = 0
    instance: str = field(default_factory=lambda: secrets.token_hex(8))

    def fields(self) -> list[Any]:
        """Plain values in the order in which they are signed."""
        return [self.node, self.cluster, list(self.domain), self.grain_level, self.instance]

    def check(self, other: "PeerIdentity") -> None:
        """Refuse one that this node must not talk to.

        Raises:
            PeerRefused: names what differs, with the values of both.
        """
        name = other.node or "a node without a name"
        for field_name, reason, setting in _COMPARED:
            here, there = getattr(self, field_name), getattr(other, field_name)
            if here != there:
                raise PeerRefused(
                    f"{name} has {setting}={_shown(there)}, {self.node or 'this node'} has "
                    f"{_shown(here)}; nodes of one cluster agree on it: correct it, or take the "
                    "address out of node.seeds",
                    peer_reason=reason,
                )
        if self.node and other.node == self.node and other.instance != self.instance:
            raise double(self.node)


def double(node: str) -> PeerRefused:
    """The error for a second process under one name."""
    return PeerRefused(
        f"two processes call themselves {node}; stop one of them, or give it another node.name "
        "and an empty node.data",
        peer_reason="duplicate-identity",
    )


def header_to_identity(header: Mapping[str, Any]) -> PeerIdentity:
    """Read an identity out of any plain values.

    Raises:
        BadRequest: they are none.
    """
    node, cluster, instance = (header.get(name) for name in ("node", "cluster", "instance"))
    domain, grain_level = header.get("domain"), header.get("grain_level")
    if (
        all(_is_text(text) for text in (node, cluster, instance))
        and isinstance(domain, list)
        and len(domain) in (0, 4)
        and all(_is_number(edge) for edge in domain)
        and _is_number(grain_level)
    ):
        return PeerIdentity(
            node=str(node),
            cluster=str(cluster),
            domain=tuple(domain),
            grain_level=int(grain_level or 0),
            instance=str(instance),
        )
    raise BadRequest("the greeting between nodes names no node", field="node")


def identity_to_header(identity: PeerIdentity) -> dict[str, Any]:
    """Undo `header_to_identity`."""
    names = ("node", "cluster", "domain", "grain_level", "instance")
    return dict(zip(names, identity.fields(), strict=True))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= TEXT_LENGTH_MAX


def _is_number(value: object) -> bool:
    return type(value) is int and -(1 << 62) < value < 1 << 62


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{edge / 1e7:.10g}" for edge in value)
    return str(value)


_COMPARED = (
    ("cluster", "other-cluster", "cluster.id"),
    ("domain", "other-domain", "cluster.domain"),
    ("grain_level", "other-grain-level", "cluster.grain_level"),
)
"""Field, reason, setting: compared in this order, so that a stranger hears of the cluster first."""
OTHER_CLUSTER = frozenset(reason for _, reason, _ in _COMPARED)
"""Reasons that no waiting mends: the settings of one side are wrong."""
