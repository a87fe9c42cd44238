"""Nodes beyond loopback with TLS, cluster key and tokens: who gets in, and who does not."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.demo.nodes import NodePlace, NodeProcess
from node.client import Client
from node.errors import Forbidden, NodeError, PeerUnreachable, Unauthorised
from tests.cluster.material import make_places, make_records

TLS = Path(__file__).parent / "tls"
TOKENS = {"reader-token": "read", "writer-token": "write", "admin-token": "admin"}
KEY = "a key of enough characters"


def protected(place: NodePlace, founders: list[NodePlace], *, key: str = KEY) -> NodeProcess:
    """A node that listens on all addresses."""
    return NodeProcess(
        place,
        founders,
        flags=(
            "--listen", f"0.0.0.0:{place.port}",
            "--peer-listen", f"0.0.0.0:{place.peer_port}",
            "--advertise", f"127.0.0.1:{place.peer_port}",
            "--node-url", place.url,
            "--tls-cert", str(TLS / "cert.pem"),
            "--tls-key", str(TLS / "key.pem"),
        ),
        environment={
            "ZRING_CLUSTER_KEY": key,
            "ZRING_SECURITY_TOKENS": ",".join(f"{token}={role}" for token, role in TOKENS.items()),
            "ZRING_SECURITY_TLS_CA": str(TLS / "cert.pem"),
        },
        credentials={"token": "reader-token", "tls_ca": str(TLS / "cert.pem")},
    )  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NodePlace]]:
    """Two protected nodes, and the place of a third that is not started."""
    folder = tmp_path_factory.mktemp("protected")
    founders = [replace(place, scheme="https") for place in make_places(folder)[:2]]
    with ExitStack() as stack:
        nodes = [protected(place, founders) for place in founders]
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        for node in nodes:
            node.wait_ready()
        for place in founders:
            wait_alive(place)
        yield founders


def connect(place: NodePlace, token: str | None) -> Client:
    return Client(place.url, token=token, tls_ca=str(TLS / "cert.pem"), timeout_s=10.0)


def wait_alive(place: NodePlace) -> None:
    """Wait until a node sees all others."""
    deadline_s = time.monotonic() + 60.0
    with connect(place, "reader-token") as client:
        while {entry["state"] for entry in client.status()["nodes"]} != {"alive"}:
            assert time.monotonic() < deadline_s, f"{place.name} sees nobody"
            time.sleep(0.1)


def test_records_cross_between_protected_nodes(places: list[NodePlace]) -> None:
    records = make_records(2_000, seed=21)
    with connect(places[0], "writer-token") as client:
        assert client.write("secret", records, w="all").copies_durable == 2
    with connect(places[1], "reader-token") as client:
        assert len(client.query("secret")) == 2_000


def test_without_or_with_a_wrong_token_nobody_gets_in(places: list[NodePlace]) -> None:
    for token in (None, "wrong"):
        with connect(places[0], token) as client, pytest.raises(Unauthorised):
            client.query("secret")


def test_a_reader_does_not_write(places: list[NodePlace]) -> None:
    with connect(places[0], "reader-token") as client, pytest.raises(Forbidden):
        client.write("secret", make_records(10, seed=22))


def test_plain_http_and_an_unknown_certificate_get_nowhere(places: list[NodePlace]) -> None:
    plain = Client(f"http://127.0.0.1:{places[0].port}", token="reader-token", timeout_s=5.0)
    with plain, pytest.raises(NodeError):
        plain.query("secret")
    with (
        Client(places[0].url, token="reader-token", timeout_s=5.0) as unknown,
        pytest.raises(PeerUnreachable, match="certificate"),
    ):
        unknown.query("secret")


def test_a_node_with_another_key_is_no_member(places: list[NodePlace], tmp_path: Path) -> None:
    """Its hellos are refused by both sides, so it goes on seeing nobody."""
    stranger_place = replace(make_places(tmp_path)[0], name="stranger", scheme="https")
    stranger = protected(stranger_place, [*places, stranger_place], key="another key altogether")
    stranger.start()
    try:
        stranger.wait_ready()
        with connect(stranger_place, "reader-token") as client:
            states = {entry["id"]: entry["state"] for entry in client.status()["nodes"]}
        assert "alive" not in {states[place.name] for place in places}
        with connect(places[0], "reader-token") as client:
            assert "stranger" not in {entry["id"] for entry in client.status()["nodes"]}
    finally:
        stranger.stop()
