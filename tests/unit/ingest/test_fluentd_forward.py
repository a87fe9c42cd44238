"""The forward protocol: its messages, its handshake, and a server that survives any bytes."""

import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import IngestError, SourceRefused
from ingest.sources.fluentd import OTHER_TAGS, STREAMS_MAX, FluentdSettings, FluentdSource
from ingest.sources.fluentd_handshake import Handshake, digest
from ingest.sources.fluentd_messages import (
    MSGPACK_ERRORS,
    MalformedForward,
    document_to_chunk,
    make_unpacker,
)

EVENT = [1_700_000_000, {"sensor": "a", "temp": 1.5}]
PACKED = msgpack.packb(EVENT)
EVENT_TIME = [msgpack.ExtType(0, b"\x65\x00\x00\x00\x00\x00\x00\x01"), {"bytes": b"\xff"}]
GARBAGE = [
    b"\xc1",
    b"hello world",
    b"\xdd\xff\xff\xff\xff",
    msgpack.packb({"tag": 1}),
    msgpack.packb(["tag"]),
    msgpack.packb(["tag", 5]),
    msgpack.packb(["tag", 5, {}, "options"]),
    b"\x91" * 5_000,
]
TIMEOUT_S = 60.0


@pytest.mark.parametrize(
    ("document", "payload"),
    [
        (["t", *EVENT], PACKED),
        (["t", *EVENT, {"chunk": "c"}], PACKED),
        (["t", [EVENT, EVENT], {"chunk": "c"}], PACKED * 2),
        (["t", PACKED * 2, {"chunk": "c", "size": 2}], PACKED * 2),
        (["t", gzip.compress(PACKED), {"chunk": "c", "compressed": "gzip"}], PACKED),
        (["t", gzip.compress(PACKED) * 3, {"chunk": "c", "compressed": "gzip"}], PACKED * 3),
        (["t", [EVENT_TIME]], msgpack.packb(EVENT_TIME)),
    ],
)
def test_the_four_forms_become_packed_events(document, payload):
    unpacker = make_unpacker()
    unpacker.feed(msgpack.packb(document))
    chunk = document_to_chunk(unpacker.unpack())
    assert chunk is not None
    assert (chunk.tag, chunk.payload) == ("t", payload)
    options = document[-1] if isinstance(document[-1], dict) else {}
    assert chunk.acknowledge == options.get("chunk")


@pytest.mark.parametrize(
    "data",
    [b"no gzip", gzip.compress(PACKED)[:-3], gzip.compress(bytes(40 << 20))],
    ids=["garbage", "cut", "bomb"],
)
def test_what_cannot_be_unpacked_is_handed_on_as_it_came(data):
    chunk = document_to_chunk(["t", data, {"compressed": "gzip"}])
    assert chunk is not None
    assert chunk.payload == data


@given(st.binary(max_size=300))
def test_any_bytes_are_messages_or_one_of_the_documented_errors(data):
    unpacker = make_unpacker()
    try:
        unpacker.feed(data)
        for document in unpacker:
            document_to_chunk(document)
    except (MalformedForward, *MSGPACK_ERRORS):
        return


@pytest.fixture
def source() -> Iterator[FluentdSource]:
    made = FluentdSource("events", FluentdSettings(listen="127.0.0.1:0"))
    made.open()
    yield made
    made.close()


def connect(source: FluentdSource) -> socket.socket:
    return socket.create_connection(source.address, TIMEOUT_S)


def read_one(connection: socket.socket):
    unpacker = msgpack.Unpacker()
    while data := connection.recv(4_096):
        unpacker.feed(data)
        for document in unpacker:
            return document
    return None


def polled(source: FluentdSource):
    deadline_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline_s:
        if found := source.poll(0.1):
            return found
    raise AssertionError("nothing arrived")


def test_the_answer_comes_after_the_acknowledgement_and_not_before(source):
    with closing(connect(source)) as connection:
        connection.sendall(msgpack.packb(["site.a", PACKED, {"chunk": "one"}]))
        (messages,) = polled(source)
        assert (messages.stream, list(messages.keys)) == ("site.a", [b"site.a"])
        assert list(messages.payloads) == [PACKED]
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        source.acknowledge(messages)
        connection.settimeout(TIMEOUT_S)
        assert read_one(connection) == {"ack": "one"}


def test_chunks_that_come_together_are_all_answered(source):
    with closing(connect(source)) as connection:
        sent = [f"chunk {number}" for number in range(50)]
        connection.sendall(
            b"".join(msgpack.packb(["t", PACKED, {"chunk": chunk}]) for chunk in sent)
        )
        count = 0
        while count < len(sent):
            for messages in polled(source):
                count += len(messages)
                source.acknowledge(messages)
        unpacker, heard = msgpack.Unpacker(), []
        while len(heard) < len(sent):
            unpacker.feed(connection.recv(4_096))
            heard += [answer["ack"] for answer in unpacker]
        assert heard == sent


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_ends_its_connection_and_nothing_else(source, garbage):
    with closing(connect(source)) as good, closing(connect(source)) as bad:
        bad.sendall(garbage)
        assert bad.recv(1) == b""
        good.sendall(msgpack.packb(["t", *EVENT]))
        (messages,) = polled(source)
        assert list(messages.payloads) == [PACKED]


def test_a_message_in_many_pieces(source):
    data = msgpack.packb(["t", [EVENT] * 3_000, {"chunk": "c"}])
    with closing(connect(source)) as connection:
        for start in range(0, len(data), 10_007):
            connection.sendall(data[start : start + 10_007])
        (messages,) = polled(source)
    assert list(messages.payloads) == [PACKED * 3_000]


def test_tags_without_end_share_one_stream(source):
    with closing(connect(source)) as connection:
        for number in range(STREAMS_MAX + 5):
            connection.sendall(msgpack.packb([f"t{number}", *EVENT]))
        found: dict[str, int] = {}
        while sum(found.values()) < STREAMS_MAX + 5:
            for messages in polled(source):
                found[messages.stream] = found.get(messages.stream, 0) + len(messages)
    assert found.pop(OTHER_TAGS) == 5
    assert len(found) == STREAMS_MAX


KEY, USERS = "a shared key of the test", {"site": "secret"}


@pytest.fixture
def guarded() -> Iterator[FluentdSource]:
    given = FluentdSettings(listen="127.0.0.1:0", shared_key=KEY, users=USERS, server_name="server")
    made = FluentdSource("events", given)
    made.open()
    yield made
    made.close()


def shake(connection: socket.socket, *, key: str = KEY, user: str = "site", password: str):
    name, options = read_one(connection)
    assert name == "HELO"
    salt = "salt of the client"
    ping = [
        "PING", "client", salt, digest(salt, "client", options["nonce"], key),
        user, digest(options["auth"], user, password),
    ]  # fmt: skip
    connection.sendall(msgpack.packb(ping))
    return options, read_one(connection)


def test_who_knows_key_and_password_is_let_in(guarded):
    with closing(connect(guarded)) as connection:
        options, pong = shake(connection, password="secret")
        shown = digest("salt of the client", "server", options["nonce"], KEY)
        assert pong == ["PONG", True, "", "server", shown]
        connection.sendall(msgpack.packb(["t", *EVENT]))
        assert len(polled(guarded)) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"password": "wrong"}, {"password": "secret", "key": "x"}, {"password": "", "user": "nobody"}],
)
def test_who_does_not_is_told_and_disconnected(guarded, wrong):
    with closing(connect(guarded)) as connection:
        _, pong = shake(connection, **wrong)
        assert pong[:2] == ["PONG", False]
        assert connection.recv(1) == b""
    assert guarded.poll(0) == []


def test_events_before_the_handshake_are_not_taken(guarded):
    with closing(connect(guarded)) as connection:
        connection.sendall(msgpack.packb(["t", *EVENT]))
        assert read_one(connection)[0] == "HELO"
        while connection.recv(4_096):
            pass
    assert guarded.poll(0) == []


@settings(max_examples=30)
@given(st.recursive(st.none() | st.integers() | st.text() | st.binary(), st.lists, max_leaves=8))
def test_any_ping_is_answered(ping):
    handshake = Handshake("server", KEY, USERS, b"n" * 16, b"s" * 16)
    refusal, pong = handshake.answer(ping)
    assert refusal
    assert msgpack.unpackb(pong)[1] is False


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"listen": "0.0.0.0:24224"}, "fluentd.listen=0.0.0.0:24224"),
        ({"listen": "24224"}, "fluentd.listen=24224"),
        ({"users": {"a": "b"}}, "fluentd.users"),
    ],
)
def test_wrong_settings_are_named(given, named):
    with pytest.raises(IngestError, match=named):
        FluentdSettings(**given)


def test_an_address_that_is_taken_is_refused(source):
    host, port = source.address
    second = FluentdSource("second", FluentdSettings(listen=f"{host}:{port}"))
    with pytest.raises(SourceRefused, match=f"fluentd.listen={host}:{port}"):
        second.open()
    second.close()
