"""Any bytes on the peer port of a running node: they are answered or cut off, counted, and that is
all."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from random import Random
from typing import Any

import pytest

from ingest.demo.nodes import NodeProcess
from node.errors import NodeError
from node.peer.http import GREETING_PATH, PATH, SESSION_HEADER
from node.peer.identity import PeerIdentity
from node.peer.session import Session, Sessions
from node.peer.transport import Message
from node.peer.wire import decode_reply, encode_message
from tests.cluster.protected import KEY, Keyring, make_keyring, make_node, secure_places, start_all
from zring.domain import DEMO_DOMAIN

SEED = 20_240_501
KINDS = (
    "probe", "ring", "get_ring", "store", "copy", "scan", "aggregate", "latest", "collections",
    "in_step", "load", "", "none",
)  # fmt: skip
NAMES = (
    "ring", "from", "deadline_ms", "collection", "w", "absent", "spans", "after", "limit",
    "cluster", "node", "store", "sequence", "level", "step_us", "start", "stop", "filter",
    "sensors", "columns", "newest_in", "until", "owed", "addresses", "stores", "unfilled",
)  # fmt: skip


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    return make_keyring(tmp_path_factory.mktemp("keyring"), nodes=("sw", "sw2"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, keyring: Keyring) -> Iterator[NodeProcess]:
    """One protected node that must outlive everything here."""
    place = secure_places(tmp_path_factory.mktemp("fuzzed"), 1)[0]
    with ExitStack() as stack:
        started = make_node(place, [place], keyring)
        start_all(stack, [started])
        yield started
        assert started.is_running()
        with keyring.client(place) as client:
            assert client.status()["node"] == "sw"
        assert "Traceback" not in started.log.read_text()


def stranger(node: NodeProcess) -> socket.socket:
    """A plain connection to the peer port."""
    return socket.create_connection(("127.0.0.1", node.place.peer_port), timeout=10)


class Wire:
    """A TLS connection to the peer port, HTTP by hand."""

    def __init__(self, node: NodeProcess, keyring: Keyring) -> None:
        context = ssl.create_default_context(cafile=keyring.pem("ca"))
        context.load_cert_chain(keyring.pem("sw2"), keyring.pem("sw2-key"))
        self.socket = context.wrap_socket(stranger(node), server_hostname="127.0.0.1")

    def send(self, data: bytes) -> bytes:
        """What comes back, up to the end of one answer or of the connection."""
        answer = b""
        with suppress(OSError):
            self.socket.sendall(data)
            while b"\r\n\r\n" not in answer or len(answer) < _length(answer):
                part = self.socket.recv(1 << 16)
                if not part:
                    break
                answer += part
        return answer

    def close(self) -> None:
        self.socket.close()


def _length(answer: bytes) -> int:
    head, _, _ = answer.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(head) + 4 + int(line.partition(b":")[2])
    return len(head) + 4


def counted(node: NodeProcess, keyring: Keyring, outcome: str) -> int:
    """What the node's metrics say of its peer port."""
    with keyring.client(node.place) as client:
        (line,) = (
            line
            for line in client.metrics().splitlines()
            if line.startswith(f'zring_peer_door_total{{outcome="{outcome}"}}')
        )
    return int(line.rpartition(" ")[2])


def post(path: str, body: bytes, header: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{header}\r\n"
    return head.encode() + body


def greeted(wire: Wire) -> Session:
    domain = DEMO_DOMAIN
    identity = PeerIdentity(
        node="sw2",
        cluster="zring",
        domain=(domain.west, domain.south, domain.east, domain.north),
        grain_level=8,
    )
    sessions = Sessions(identity, KEY, covers_bodies=False)
    ask = sessions.ask()
    answer = wire.send(post(GREETING_PATH, packed(Message("greeting", ask))))
    return sessions.accept(ask, decode_reply(answer.partition(b"\r\n\r\n")[2]).header)


def packed(message: Message) -> bytes:
    return b"".join(bytes(piece) for piece in encode_message(message))


def anything(rng: Random, depth: int = 0) -> Any:
    """A value of a message's header that no node would send."""
    return rng.choice(
        [
            lambda: None,
            lambda: rng.choice([-1, 0, 1, 5_000, 1 << 62, (1 << 63) - 1, -(1 << 63)]),
            lambda: rng.choice([0.5, float("inf"), float("nan")]),
            lambda: rng.choice(["", "amedas", "temp > 1", "x" * 1_000, "\x00é"]),
            lambda: rng.randbytes(rng.randrange(20)),
            lambda: bool(rng.randrange(2)),
            lambda: [] if depth > 2 else [anything(rng, depth + 1) for _ in range(3)],
            lambda: {} if depth > 2 else {rng.choice(NAMES): anything(rng, depth + 1)},
        ]
    )()


def test_strangers_bytes_stop_nothing(node: NodeProcess) -> None:
    """Without TLS, without a certificate: whatever they send, they get nowhere."""
    rng = Random(SEED)
    for size in (0, 1, 10, 1_000, 100_000):
        for _ in range(4):
            with stranger(node) as wire, suppress(OSError):
                wire.sendall(rng.randbytes(size))
                wire.shutdown(socket.SHUT_WR)
                while wire.recv(1 << 16):
                    pass
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with stranger(node) as plain, suppress(OSError), context.wrap_socket(plain) as wire:
        wire.sendall(post(PATH, b"x"))
        assert not wire.recv(1 << 16).startswith(b"HTTP/1.1 2")


def test_broken_requests_of_someone_with_a_certificate(node: NodeProcess, keyring: Keyring) -> None:
    rng = Random(SEED + 1)
    good = post(PATH, packed(Message("probe", {})), f"{SESSION_HEADER}: {'0' * 32}.1.-.-\r\n")
    statuses = set()
    for _ in range(80):
        broken = bytearray(good)
        for _ in range(rng.randrange(1, 8)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        wire = Wire(node, keyring)
        wire.socket.settimeout(0.3)  # a request that promises more than it sends gets no answer
        answer = wire.send(bytes(broken))
        statuses.add(answer[9:12])
        wire.close()
    for outcome in ("refused", "unauthorised"):
        assert counted(node, keyring, outcome) > 0
    assert statuses <= {b"", b"400", b"401", b"405", b"413", b"417"}, statuses


def test_members_may_send_what_they_like(node: NodeProcess, keyring: Keyring) -> None:
    """With key and certificate: every kind, with headers and bodies that make no sense."""
    rng = Random(SEED + 2)
    with keyring.client(node.place) as client:
        digest = int(client.ring()["digest"], 16)
    wire = Wire(node, keyring)
    session = greeted(wire)
    faults, outcomes = [], set()
    for _ in range(800):
        header = {name: anything(rng) for name in rng.sample(NAMES, rng.randrange(8))}
        if rng.random() < 0.9:
            header.update({"ring": digest, "from": "sw2"})
        if rng.random() < 0.8:
            header.update({"deadline_ms": 2_000, "collection": "amedas"})
        message = Message(rng.choice(KINDS), header, rng.randbytes(rng.choice([0, 0, 5, 200])))
        body = packed(message)
        seal, _ = session.seal((body,), len(body))
        answer = wire.send(post(PATH, body, f"{SESSION_HEADER}: {seal}\r\n"))
        assert answer.startswith(b"HTTP/1.1 "), message
        if answer[9:12] == b"500":
            faults.append(message)
        try:
            decode_reply(answer.partition(b"\r\n\r\n")[2])
            outcomes.add("answered")
        except NodeError as error:
            outcomes.add(type(error).__name__)
        if b"connection: close" in answer.lower():
            wire.close()
            wire = Wire(node, keyring)
    wire.close()
    assert not faults, faults[:3]
    assert counted(node, keyring, "faults") == 0
    assert {"answered", "BadRequest", "StaleRing"} <= outcomes, outcomes
