"""What can be wrong with a node and its surroundings: one function per question.

Each check looks at one thing and returns findings; it never raises for what it looks for and
changes nothing but a probe file in the data folder.
"""

import os
import resource
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

from node.cli.tables import bytes_text
from node.client import Client
from node.config import Config, parse_address
from node.errors import NodeError
from node.storage.damage import NOTE_NAME, stores_set_aside
from node.storage.settings import disk_space

State = Literal["ok", "warn", "fail"]
DISK_FREE_MIN = 5 << 30
DISK_FREE_SHARE_MIN = 0.10
"""Writes stop at 90 % of the disk (PROTOCOL 7.5)."""
OPEN_FILES_MIN = 4_096
"""256 queries, their peers and the clients' connections, with room."""
CLOCK_DIFFERENCE_MAX_S = 2.0
"""HTTP dates are whole seconds; corrections are refused only from 5 minutes on."""
ANSWER_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        subject: what was looked at, in a word or two.
        message: what was found.
        advice: what to do about it; empty when nothing.
    """

    state: State
    subject: str
    message: str
    advice: str = ""


def check_protection(config: Config) -> Iterable[Finding]:
    """Whether the node may listen where it is told to."""
    missing = config.missing_protection()
    if missing:
        yield Finding(
            "fail",
            "protection",
            f"{', '.join(config.open_addresses().values())} is reachable from other machines "
            f"without {len(missing)} of TLS, cluster key, tokens",
            "; ".join(missing),
        )
    elif config.security.insecure and config.open_addresses():
        yield Finding(
            "warn", "protection", "security.insecure is on", "fine in a closed network only"
        )
    else:
        yield Finding("ok", "protection", f"listens on {config.node.listen}")


def check_data_folder(config: Config) -> Iterable[Finding]:
    """Whether the store can be written, and how much room it has."""
    folder = config.node.data
    place = _existing(folder)
    probe = place / f".zring-probe-{os.getpid()}"
    try:
        probe.write_bytes(b"zring")
    except OSError as error:
        yield Finding(
            "fail",
            "data folder",
            f"{folder} cannot be written: {error.strerror}",
            f"give the user that runs zring write access to {place}, or change node.data",
        )
        return
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    yield Finding("ok", "data folder", f"{folder} can be written")
    whole_bytes, free_bytes = disk_space(place)
    share = free_bytes / whole_bytes
    room = f"{free_bytes / 1e9:.1f} GB free ({share:.0%}) at {place}"
    if share < DISK_FREE_SHARE_MIN:
        yield Finding(
            "fail", "disk space", room, "writes stop at 90 %; free space or move the store"
        )
    elif free_bytes < DISK_FREE_MIN:
        yield Finding("warn", "disk space", room, "less than 5 GB; plan for more")
    else:
        yield Finding("ok", "disk space", room)


def check_damage(config: Config) -> Iterable[Finding]:
    """Whether the store was found damaged, now or before."""
    folder = config.node.data
    if (folder / NOTE_NAME).exists():
        yield Finding(
            "fail",
            "store",
            f"{folder} was found damaged",
            "start the node: it sets this store aside and is filled by the others; check the disk",
        )
    for found in stores_set_aside(folder):
        yield Finding(
            "warn",
            "damaged store",
            f"{found.path} ({bytes_text(found.size_bytes)}) was set aside",
            "check the disk; delete the folder when nobody needs what only this node had",
        )


def check_open_files() -> Iterable[Finding]:
    """Whether the process may open enough files and sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES_MIN:
        advice = f"raise it: ulimit -n {min(hard, 65_536)}, or LimitNOFILE= in the systemd unit"
        yield Finding("warn", "open files", f"limit is {soft}, below {OPEN_FILES_MIN}", advice)
    else:
        yield Finding("ok", "open files", f"limit is {soft}")


def check_port(setting: str, address: str, *, running: bool) -> Finding:
    """Whether the node could listen there, or does so already."""
    host, port = parse_address(address, setting=setting)
    if running:
        return Finding("ok", setting, f"{address} is this node")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = f"find who uses it (ss -ltnp 'sport = :{port}') or change {setting}"
            return Finding("fail", setting, f"{address} cannot be used: {error.strerror}", advice)
    return Finding("ok", setting, f"{address} is free")


def check_seed(address: str) -> Finding:
    """Whether something accepts connections at another node's peer address."""
    host, port = parse_address(address, setting="node.seeds")
    try:
        with socket.create_connection((host, port), timeout=ANSWER_TIMEOUT_S):
            return Finding("ok", "seed", f"{address} accepts connections")
    except OSError as error:
        advice = "start that node, or check the address, the route and the firewall"
        return Finding("warn", "seed", f"{address} cannot be reached: {error}", advice)


def check_node(client: Client, config: Config) -> Iterable[Finding]:
    """The running node: its answer, its store, its peers as it sees them."""
    status = client.status()
    yield Finding("ok", "node", f"{status['node']} runs and is {status['state']}")
    if config.node.name and config.node.name != status["node"]:
        yield Finding(
            "fail",
            "node name",
            f"the node at {client.url} is {status['node']}, settings say {config.node.name}",
            "check node.listen and node.name: two nodes seem to share an address",
        )
    for entry in status["nodes"]:
        if entry["state"] == "away":
            yield Finding(
                "warn",
                f"peer {entry['id']}",
                f"{entry['state']} since {entry.get('since') or 'the start'}",
                f"run zring doctor on that node; its peer address is {entry.get('peer')}",
            )
    for who, why in status.get("refusals", {}).items():
        yield Finding("warn", f"refusal {who}", why, "see zring audit on this node, and the log")
    yield from _check_peers(client, status)


def _check_peers(client: Client, status: dict[str, Any]) -> Iterable[Finding]:
    own = client.ring()
    for entry in status["nodes"]:
        if entry["id"] == status["node"] or entry["state"] == "away" or not entry.get("url"):
            continue
        subject = f"peer {entry['id']}"
        try:
            with client.beside(entry["url"]) as peer:
                ring, date = peer.ring(), peer.date()
        except NodeError as error:
            advice = "clients cannot use that node; check node.url there, the route, the token"
            yield Finding("warn", subject, str(error), advice)
            continue
        yield from _compare_rings(subject, own, ring)
        yield _compare_clocks(subject, date)


def _compare_rings(subject: str, own: dict[str, Any], other: dict[str, Any]) -> Iterable[Finding]:
    if (own["cluster"], own["domain"]) != (other["cluster"], other["domain"]):
        yield Finding(
            "fail",
            subject,
            f"belongs to cluster {other['cluster']} with domain {other['domain']}",
            "remove it from node.seeds: clusters never mix",
        )
    elif own["digest"] != other["digest"]:
        yield Finding(
            "warn",
            subject,
            f"has ring {other['digest']}, this node {own['digest']}",
            "rings settle within seconds; if this stays, check the peer ports of both",
        )
    else:
        yield Finding("ok", subject, "reachable, same cluster, same ring")


def _compare_clocks(subject: str, date: str | None) -> Finding:
    try:
        there = parsedate_to_datetime(date or "")
    except ValueError:
        return Finding("warn", f"clock of {subject}", "the node sent no date")
    difference_s = abs(datetime.timestamp(there) - time.time())
    message = f"differs by {difference_s:.0f} s"
    if difference_s > CLOCK_DIFFERENCE_MAX_S:
        return Finding("warn", f"clock of {subject}", message, "run an NTP client on both machines")
    return Finding("ok", f"clock of {subject}", message)


def _existing(folder: Path) -> Path:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return place
