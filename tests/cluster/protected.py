"""Nodes that listen on all addresses, with what `zring certs` and `zring token` make for them."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from click.testing import CliRunner

from ingest.demo.nodes import NodePlace, NodeProcess
from node.cli.main import main
from node.client import Client
from node.errors import NodeError
from tests.cluster.material import make_places

KEY = "a key of enough characters"
ROLES = {"reader": "read", "writer": "write", "operator": "admin"}
DEADLINE_S = 90.0


@dataclass(frozen=True, slots=True)
class Keyring:
    """Certificates and tokens in a folder.

    Attributes:
        tokens: name → token.
    """

    folder: Path
    tokens: Mapping[str, str]

    @property
    def token_file(self) -> Path:
        return self.folder / "tokens.toml"

    def pem(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def client(self, place: NodePlace, token: str | None = "reader", **other: str | None) -> Client:
        """A client of one node, with the certificate of a client."""
        options = {
            "token": self.tokens.get(token or "", token),
            "tls_ca": self.pem("ca"),
            "tls_cert": self.pem("alice"),
            "tls_key": self.pem("alice-key"),
            **other,
        }
        return Client(place.url, timeout_s=30.0, direct=True, **options)  # type: ignore[arg-type]


def run(*words: str, exit_code: int = 0) -> str:
    """What a command prints."""
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == exit_code, result.output
    return result.stdout


def make_keyring(folder: Path, *, nodes: Sequence[str]) -> Keyring:
    """All that the nodes and their clients need, made by the commands."""
    named = [word for name in nodes for word in ("--node", name)]
    run("certs", str(folder), *named, "--client", "alice")
    file = str(folder / "tokens.toml")
    tokens = {
        name: run("token", "make", name, "--role", role, "--file", file).strip()
        for name, role in ROLES.items()
    }
    return Keyring(folder, tokens)


def make_node(
    place: NodePlace,
    founders: Sequence[NodePlace],
    keyring: Keyring,
    *,
    flags: Sequence[str] = (),
    key: str = KEY,
    certificate: str | None = None,
) -> NodeProcess:
    """A node with mutual TLS on both ports, cluster key and tokens."""
    own = certificate or place.name
    return NodeProcess(
        place,
        founders,
        flags=(
            "--listen", f"0.0.0.0:{place.port}",
            "--peer-listen", f"0.0.0.0:{place.peer_port}",
            "--advertise", f"127.0.0.1:{place.peer_port}",
            "--node-url", place.url,
            "--tls-cert", keyring.pem(own),
            "--tls-key", keyring.pem(f"{own}-key"),
            *flags,
        ),
        environment={
            "ZRING_CLUSTER_KEY": key,
            "ZRING_SECURITY_TOKEN_FILE": str(keyring.token_file),
            "ZRING_SECURITY_TLS_CA": keyring.pem("ca"),
            "ZRING_SECURITY_PEER_CERTIFICATES": "true",
            "ZRING_SECURITY_CLIENT_CERTIFICATES": "true",
        },
        credentials={
            "token": keyring.tokens["reader"],
            "tls_ca": keyring.pem("ca"),
            "tls_cert": keyring.pem("alice"),
            "tls_key": keyring.pem("alice-key"),
        },
    )  # fmt: skip


def secure_places(folder: Path, count: int) -> list[NodePlace]:
    """Places of nodes that speak TLS."""
    return [replace(place, scheme="https") for place in make_places(folder)[:count]]


def start_all(stack: ExitStack, nodes: Sequence[NodeProcess]) -> None:
    """Start nodes together, wait until each answers, and stop them with the stack."""
    for node in nodes:
        stack.callback(node.stop)
        node.start()
    for node in nodes:
        node.wait_ready()


def wait_alive(place: NodePlace, keyring: Keyring) -> None:
    """Wait until a node sees all others."""
    with keyring.client(place) as client:
        wait_until(
            lambda: {entry["state"] for entry in client.status()["nodes"]} == {"alive"},
            f"{place.name} sees the others",
        )


def wait_until(condition: object, what: object) -> None:
    """Poll until something is so; `what` is told when it is not."""
    assert callable(condition)
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            if condition():
                return
        except NodeError:
            pass
        assert time.monotonic() < deadline_s, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.1)
