"""Whose store a data folder is: written once, compared at every start.

A node that starts on the folder of another would answer with the other's records and hand them
away as its own; so it does not start. Layout of the setting `identity` in the store (JSON, fields
are append-only): version 1, cluster, domain (four e7 integers), grain_level, name.
"""

import re
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from node.cli.settings import Loaded
from node.config import NAME_LENGTH_MAX, Config
from node.errors import ConfigInvalid, StoreDamaged
from zring.domain import Domain

META_NAME = "identity"
IDENTITY_VERSION = 1
_OTHER_CHARACTERS = re.compile(r"[^a-zA-Z0-9._-]+")


def named_config(loaded: Loaded, stored: dict[str, Any] | None) -> Config:
    """The settings with a name: the one given, the store's, or one made from the host's name.

    Raises:
        ConfigInvalid: the store belongs to another cluster, domain, grain level or node.
    """
    config = loaded.config
    name = config.node.name or (stored or {}).get("name") or host_name()
    config = replace(config, node=replace(config.node, name=name))
    wanted = identity_of(config)
    for field, setting, shown in _FIELDS:
        if stored is not None and stored.get(field) != wanted[field]:
            raise ConfigInvalid(
                f"{config.node.data} is the store of {field} {shown(stored.get(field))}, but "
                f"{setting}={shown(wanted[field])} ({loaded.origin(setting)}); "
                f"correct {setting} or give another node.data",
                setting=setting,
            )
    return config


def identity_of(config: Config) -> dict[str, Any]:
    """What is written into the store of this node."""
    domain = config.cluster.domain
    return {
        "version": IDENTITY_VERSION,
        "cluster": config.cluster.id,
        "domain": [domain.west, domain.south, domain.east, domain.north],
        "grain_level": config.cluster.effective_grain_level,
        "name": config.node.name,
    }


def identity_to_bytes(config: Config) -> bytes:
    """The setting as stored."""
    return orjson.dumps(identity_of(config))


def bytes_to_identity(stored: bytes | None) -> dict[str, Any] | None:
    """The setting as read; None for a new store.

    Raises:
        StoreDamaged: it is no identity.
    """
    if stored is None:
        return None
    try:
        identity = orjson.loads(stored)
    except orjson.JSONDecodeError:
        identity = None
    if not isinstance(identity, dict) or identity.get("version") != IDENTITY_VERSION:
        raise StoreDamaged(
            "the store's identity cannot be read; it was written by a newer version, or the "
            "folder is damaged: set it aside and start with an empty one"
        )
    return identity


def host_name() -> str:
    """This machine's name as a node name."""
    short = socket.gethostname().split(".")[0]
    return _OTHER_CHARACTERS.sub("-", short).strip("-")[:NAME_LENGTH_MAX] or "node"


def _shown_domain(edges: Any) -> str:
    return Domain(*edges).describe() if isinstance(edges, list) else str(edges)


_FIELDS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("cluster", "cluster.id", str),
    ("domain", "cluster.domain", _shown_domain),
    ("grain_level", "cluster.grain_level", str),
    ("name", "node.name", str),
)
"""Field of the identity, its setting, how it is shown."""
