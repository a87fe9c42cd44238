"""Fluentd's own client library and ZeroMQ's sockets, talking to the sources that listen."""

from collections.abc import Callable, Iterator, Sequence

import msgpack
import pytest
import zmq
from fluent import sender

from ingest.errors import IngestError
from ingest.sources.fluentd import FluentdSettings, FluentdSource
from ingest.sources.source import Messages, Source
from ingest.sources.zeromq import STORED, ZeromqSource
from ingest.sources.zeromq_settings import ZeromqSettings
from tests.streams.waiting import wait_until

TIMEOUT_MS = 60_000
LOOPBACK = ("tcp://127.0.0.1:*",)


def received(source: Source, count: int) -> list[Messages]:
    found: list[Messages] = []

    def poll() -> bool:
        found.extend(source.poll(0.1))
        return sum(map(len, found)) >= count

    wait_until(poll, f"{count} messages")
    return found


def payloads(messages: Sequence[Messages]) -> list[bytes | None]:
    return [payload for batch in messages for payload in batch.payloads]


@pytest.mark.parametrize("exact", [False, True], ids=["seconds", "nanoseconds"])
def test_events_of_fluent_logger_arrive(exact: bool) -> None:
    source = FluentdSource("logger", FluentdSettings(listen="127.0.0.1:0"))
    source.open()
    host, port = source.address
    logger = sender.FluentSender("site", host=host, port=port, nanosecond_precision=exact)
    for number in range(100):
        assert logger.emit("a", {"sensor": "s", "number": number}), logger.last_error
    found = received(source, 100)
    logger.close()
    source.close()
    events = [msgpack.unpackb(payload) for payload in payloads(found)]
    assert [record["number"] for _, record in events] == list(range(100))
    assert {batch.stream for batch in found} == {"site.a"}
    assert isinstance(events[0][0], msgpack.ExtType if exact else int)


Client = Callable[[int], "zmq.Socket[bytes]"]


@pytest.fixture
def client() -> Iterator[Client]:
    """Makes sockets of other programs."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made: list[zmq.Socket[bytes]] = []

    def make(kind: int) -> "zmq.Socket[bytes]":
        socket = context.socket(kind)
        socket.set(zmq.RCVTIMEO, TIMEOUT_MS)
        socket.set(zmq.SNDTIMEO, TIMEOUT_MS)
        made.append(socket)
        return socket

    yield make
    for socket in made:
        socket.close(linger=0)
    context.term()


def test_pushed_messages_are_pulled(client: Client) -> None:
    source = ZeromqSource("pull", ZeromqSettings(bind=LOOPBACK))
    source.open()
    push = client(zmq.PUSH)
    push.connect(source.endpoints[0])
    for number in range(1_000):
        push.send(b"%d" % number)
    push.send_multipart([b"key", b""])
    found = received(source, 1_001)
    assert payloads(found) == [*(b"%d" % number for number in range(1_000)), None]
    assert found[-1].keys[-1] == b"key"
    assert [int(number) for batch in found for number in batch.sequences] == list(range(1_001))
    source.close()


def test_published_messages_of_the_wanted_topics(
    client: Client,
) -> None:
    publisher = client(zmq.XPUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    settings = ZeromqSettings(
        pattern="sub", connect=(f"tcp://127.0.0.1:{port}",), topics=("tokyo/",)
    )
    source = ZeromqSource("sub", settings)
    source.open()
    assert publisher.recv() == b"\x01tokyo/"  # the subscription is in force
    for topic in (b"osaka/1", b"tokyo/1", b"tokyo/2"):
        publisher.send_multipart([topic, b"of " + topic])
    found = received(source, 2)
    assert [key for messages in found for key in messages.keys] == [b"tokyo/1", b"tokyo/2"]
    assert payloads(found) == [b"of tokyo/1", b"of tokyo/2"]
    source.close()


def test_requests_are_answered_after_the_acknowledgement_and_not_before(
    client: Client,
) -> None:
    source = ZeromqSource("router", ZeromqSettings(pattern="router", bind=LOOPBACK))
    source.open()
    one, many = client(zmq.REQ), client(zmq.DEALER)
    for socket in (one, many):
        socket.connect(source.endpoints[0])
    one.send(b"alone")
    for number in range(20):
        many.send_multipart([b"%d" % number, b"of many"])
    found = received(source, 21)
    assert not one.poll(100) and not many.poll(0)
    for messages in found:
        source.acknowledge(messages)
    assert one.recv() == STORED
    assert [many.recv() for _ in range(20)] == [b"%d" % number for number in range(20)]
    source.close()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "give bind or connect"),
        ({"pattern": "push", "bind": LOOPBACK}, "zeromq.pattern=push"),
        ({"bind": ("tcp://0.0.0.0:5556",)}, "zeromq.bind=tcp://0.0.0.0:5556"),
        ({"connect": ("nowhere",)}, "zeromq.connect=nowhere cannot be used"),
        ({"bind": LOOPBACK, "waiting_max": 0}, "zeromq.waiting_max=0"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, object], named: str) -> None:
    with pytest.raises(IngestError, match=named):
        ZeromqSource("wrong", ZeromqSettings(**given)).open()  # type: ignore[arg-type]
