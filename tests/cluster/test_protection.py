"""Nodes beyond loopback with TLS, key, certificates and tokens: who gets in, and who does not."""

import os
import signal
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from ingest.demo.nodes import NodePlace, NodeProcess
from node.errors import Forbidden, NodeError, PeerUnreachable, Unauthorised, Unavailable
from tests.cluster.material import make_records
from tests.cluster.protected import (
    Keyring,
    make_keyring,
    make_node,
    run,
    secure_places,
    start_all,
    wait_alive,
    wait_until,
)

STRANGERS = ("wrong-key", "cluster", "domain", "grain", "unnamed")


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """Made by the commands, as an operator would."""
    folder = tmp_path_factory.mktemp("keyring")
    return make_keyring(folder, nodes=("sw", "nw", *STRANGERS))


@pytest.fixture(scope="module")
def nodes(
    tmp_path_factory: pytest.TempPathFactory, keyring: Keyring
) -> Iterator[dict[str, NodeProcess]]:
    """Two protected nodes that see each other."""
    founders = secure_places(tmp_path_factory.mktemp("protected"), 2)
    with ExitStack() as stack:
        started = [make_node(place, founders, keyring) for place in founders]
        start_all(stack, started)
        for place in founders:
            wait_alive(place, keyring)
        yield {node.place.name: node for node in started}
        for node in started:
            assert node.is_running()
            assert "Traceback" not in node.log.read_text()


@pytest.fixture(scope="module")
def places(nodes: dict[str, NodeProcess]) -> list[NodePlace]:
    return [node.place for node in nodes.values()]


def test_records_cross_between_protected_nodes(places: list[NodePlace], keyring: Keyring) -> None:
    records = make_records(2_000, seed=21)
    with keyring.client(places[0], "writer") as client:
        assert client.write("secret", records, w="all").copies_durable == 2
    with keyring.client(places[1], "reader") as client:
        assert len(client.query("secret")) == 2_000


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (None, [401, 401, 401]),
        ("wrong", [401, 401, 401]),
        ("reader", [200, 403, 403]),
        ("writer", [200, 200, 403]),
        ("operator", [200, 200, 200]),
    ],
)
def test_each_role_may_do_what_its_table_says(
    places: list[NodePlace], keyring: Keyring, token: str | None, expected: list[int]
) -> None:
    by_class: dict[type[Exception], int] = {Unauthorised: 401, Forbidden: 403}
    with keyring.client(places[0], token) as client:
        calls: list[Any] = [
            lambda: client.collections(),
            lambda: client.write("roles", make_records(10, seed=22)),
            lambda: client.stored("roles"),
        ]
        found = []
        for call in calls:
            try:
                call()
                found.append(200)
            except (Unauthorised, Forbidden) as error:
                found.append(by_class[type(error)])
    assert found == expected


def test_health_and_readiness_need_no_token_and_metrics_do(
    places: list[NodePlace], keyring: Keyring
) -> None:
    context = ssl.create_default_context(cafile=keyring.pem("ca"))
    context.load_cert_chain(keyring.pem("alice"), keyring.pem("alice-key"))
    for path in ("/health", "/ready"):
        with urllib.request.urlopen(f"{places[0].url}{path}", context=context, timeout=10) as reply:
            assert reply.status == 200
    with keyring.client(places[0], None) as client, pytest.raises(Unauthorised):
        client.metrics()


def test_without_tls_trust_or_a_certificate_nobody_gets_in(
    places: list[NodePlace], keyring: Keyring
) -> None:
    plain = replace(places[0], scheme="http")
    with keyring.client(plain) as client, pytest.raises(NodeError):
        client.collections()
    with (
        keyring.client(places[0], tls_ca=None) as client,
        pytest.raises(PeerUnreachable, match="certificate"),
    ):
        client.collections()
    with (
        keyring.client(places[0], tls_cert=None, tls_key=None) as client,
        pytest.raises(PeerUnreachable),
    ):
        client.collections()


def test_a_token_that_is_removed_ends_with_the_next_hangup(
    nodes: dict[str, NodeProcess], keyring: Keyring
) -> None:
    file = str(keyring.token_file)
    place = nodes["sw"].place
    token = run("token", "make", "guest", "--role", "read", "--file", file).strip()
    os.kill(nodes["sw"].process_id, signal.SIGHUP)
    with keyring.client(place, token) as client:
        wait_until(lambda: client.collections() is not None, "the new token is taken")
    keyring.token_file.write_text(keyring.token_file.read_text() + "\n[[token]]\nbroken")
    os.kill(nodes["sw"].process_id, signal.SIGHUP)
    wait_until(lambda: "stay in force" in nodes["sw"].log.read_text(), "the broken file is told")
    with keyring.client(place, token) as client:
        client.collections()
    text = keyring.token_file.read_text()
    keyring.token_file.write_text(text[: text.rindex("\n[[token]]\nbroken")])
    run("token", "remove", "guest", "--file", file)
    os.kill(nodes["sw"].process_id, signal.SIGHUP)

    def is_out() -> bool:
        with keyring.client(place, token) as client:
            try:
                client.collections()
            except Unauthorised:
                return True
        return False

    wait_until(is_out, "the removed token is refused")
    with keyring.client(place) as client:
        client.collections()


def test_strangers_are_refused_and_both_sides_say_why(
    places: list[NodePlace], keyring: Keyring, tmp_path: Path
) -> None:
    """Wrong key, cluster, domain, grain level; a certificate of somebody else; a stolen name."""
    free = secure_places(tmp_path / "a", 4) + secure_places(tmp_path / "b", 2)
    made: dict[str, NodeProcess] = {}
    for name, place in zip((*STRANGERS, "sw"), free, strict=True):
        own = replace(place, name=name, folder=tmp_path / name)
        founders = [*places, own] if name != "sw" else [own, places[1]]
        flags = {
            "cluster": ("--cluster", "another"),
            "domain": ("--domain", "135,33,136,34"),
            "grain": ("--grain-level", "7"),
        }.get(name, ())
        made[name] = make_node(
            own,
            founders,
            keyring,
            flags=flags,
            key="another key altogether" if name == "wrong-key" else "a key of enough characters",
            certificate="alice" if name == "unnamed" else None,
        )
    reasons = {
        "wrong-key": "unauthorised",
        "cluster": "other-cluster",
        "domain": "other-domain",
        "grain": "other-grain-level",
        "sw": "duplicate-identity",
    }
    with ExitStack() as stack:
        # Its certificate serves no clients either, so nobody can wait for it.
        unnamed = made.pop("unnamed")
        stack.callback(unnamed.stop)
        unnamed.start()
        start_all(stack, list(made.values()))
        for name, node in made.items():
            with keyring.client(node.place) as client:
                wait_until(
                    lambda client=client, reason=reasons[name]: (
                        reason in orjson.dumps(client.status()["refusals"]).decode()
                    ),
                    f"{name} is told why: {reasons[name]}",
                )
                states = {entry["id"]: entry["state"] for entry in client.status()["nodes"]}
                assert "alive" not in {states[other] for other in ("sw", "nw") if other != name}
        wait_until(
            lambda: "certificate names" in unnamed.log.read_text(), "unnamed is told of its name"
        )
        with keyring.client(places[1]) as client:
            wait_until(
                lambda: (
                    set(reasons.values())
                    <= {
                        word
                        for text in client.status()["refusals"].values()
                        for word in text.replace(":", " ").split()
                    }
                ),
                "the cluster shows every stranger",
            )
            status = client.status()
            assert {entry["id"] for entry in status["nodes"]} == {"sw", "nw"}
            assert {entry["state"] for entry in status["nodes"]} == {"alive"}
            assert 'zring_peer_door_total{outcome="strangers"}' in client.metrics()
    lines = run(
        "audit", "--data", str(places[1].folder / "store"), "--event", "refused.peer", "--json"
    )
    told = {orjson.loads(line)["details"]["reason"] for line in lines.splitlines()}
    assert told == set(reasons.values())


def test_a_newcomer_with_seeds_of_another_cluster_does_not_start(
    places: list[NodePlace], keyring: Keyring, tmp_path: Path
) -> None:
    place = replace(secure_places(tmp_path, 1)[0], name="cluster")
    flags = ("--founders", "", "--cluster", "another")
    node = make_node(place, places, keyring, flags=flags)
    node.start()
    try:
        with pytest.raises(Unavailable, match=r"cluster\.id=another, sw has zring"):
            node.wait_ready()
    finally:
        node.stop()


def test_the_audit_log_names_who_did_what(places: list[NodePlace], keyring: Keyring) -> None:
    with keyring.client(places[0], "operator") as client:
        client.stored("secret")
    with keyring.client(places[0], "reader") as client, pytest.raises(Forbidden):
        client.stored("secret")
    folder = str(places[0].folder / "store")
    entries = [
        orjson.loads(line)
        for line in run("audit", "--data", folder, "--limit", "1000", "--json").splitlines()
    ]
    found = {(entry["event"], entry["subject"], entry["outcome"]) for entry in entries}
    assert {("call", "operator", "done"), ("refused.client", "reader", "refused")} <= found
    assert all(entry["node"] == "sw" and entry["time"] for entry in entries)
    secrets = (*keyring.tokens.values(), "a key of enough characters")
    assert not any(secret in orjson.dumps(entries).decode() for secret in secrets)
    assert "operator" in run("audit", "--data", folder, "--subject", "operator")
