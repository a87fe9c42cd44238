"""Kafka's old message formats: what brokers up to 3.9 give to old clients."""

import gzip
import struct

import pyarrow as pa
import pytest

from ingest.errors import SettingsInvalid, SourceRefused
from ingest.sources.kafka_message_set import decode_message_set, fetch_answer
from ingest.sources.kafka_settings import KafkaSettings


def cell(value):
    return struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value


def entry(offset, value, *, key=None, form=1, attributes=0, at_ms=7):
    body = struct.pack("!ibb", 0, form, attributes)
    body += struct.pack("!q", at_ms) if form else b""
    body += cell(key) + cell(value)
    return struct.pack("!qi", offset, len(body)) + body


def decoded(data, start=0):
    found = decode_message_set(memoryview(data), start=start)
    return list(zip(found.offsets, found.values, strict=True))


def snappy(plain):
    """As Java's library writes it: blocks behind a head."""
    block = pa.Codec("snappy").compress(plain, asbytes=True)
    return b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01" + cell(block)


def lz4(plain):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(plain)
    return sink.getvalue().to_pybytes()


def test_plain_messages_of_both_formats():
    data = entry(5, b"a", key=b"k") + entry(6, None, form=0) + entry(7, b"")
    found = decode_message_set(memoryview(data), start=0)
    assert found.offsets == [5, 6, 7]
    assert found.values == [b"a", None, b""]
    assert found.keys == [b"k", None, None]
    assert found.produced_ms == [7, -1, 7]


def test_what_is_cut_off_waits_for_the_next_answer():
    whole = entry(5, b"a")
    following = entry(6, b"b" * 50)
    for count in range(len(following)):
        assert decoded(whole + following[:count]) == [(5, b"a")]
    assert decoded(following[:-1]) == []


@pytest.mark.parametrize(
    ("attributes", "compress"),
    [(1, gzip.compress), (2, snappy), (2, lambda p: pa.Codec("snappy").compress(p)), (3, lz4)],
    ids=["gzip", "snappy of Java", "snappy", "lz4"],
)
def test_compressed_sets_with_gaps_keep_their_offsets(attributes, compress):
    """The outer offset is that of the last message; the inner ones count from 0, with gaps."""
    inner = entry(0, b"a" * 100) + entry(3, b"b" * 100) + entry(4, b"c")
    data = entry(104, bytes(compress(inner)), attributes=attributes)
    assert decoded(data) == [(100, b"a" * 100), (103, b"b" * 100), (104, b"c")]
    assert decoded(data, start=103) == [(103, b"b" * 100), (104, b"c")]


def test_the_time_of_the_broker_stands_for_that_of_the_messages():
    data = entry(1, gzip.compress(entry(0, b"a") + entry(1, b"b")), attributes=1 | 8, at_ms=99)
    assert decode_message_set(memoryview(data), start=0).produced_ms == [99, 99]


@pytest.mark.parametrize("attributes", [1, 2, 3, 4, 7])
@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", gzip.compress(b"nonsense", mtime=0), b"\x00" * 40],
    ids=["empty", "text", "packed text", "zeros"],
)
def test_a_set_that_cannot_be_read_is_one_message_with_its_offset(attributes, body):
    assert decoded(entry(9, body, attributes=attributes) + entry(10, b"x")) == [
        (9, body),
        (10, b"x"),
    ]


def test_an_answer_says_what_each_kafka_partition_has():
    first, second = entry(0, b"a"), entry(4, b"b")
    data = struct.pack("!ii", 0, 1) + struct.pack("!h", 5) + b"river" + struct.pack("!i", 2)
    data += struct.pack("!ihqi", 0, 0, 1, len(first)) + first
    data += struct.pack("!ihqi", 3, 76, 5, len(second)) + second
    answers = list(fetch_answer(memoryview(data)))
    assert [(one.number, one.error, one.end) for one in answers] == [(0, 0, 1), (3, 76, 5)]
    assert [decoded(bytes(one.messages)) for one in answers] == [[(0, b"a")], [(4, b"b")]]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"brokers": ("here",)}, "HOST:PORT"),
        ({"brokers": ()}, "brokers"),
        ({"topics": ("",)}, "topics"),
        ({"client": "java"}, "confluent, pykafka"),
        ({"offset_reset": "never"}, "earliest, latest"),
        ({"group": ""}, "group"),
        ({"sasl_user": "me"}, "sasl_mechanism"),
    ],
)
def test_wrong_settings_are_named(wrong, words):
    with pytest.raises(SettingsInvalid, match=words):
        KafkaSettings(**{"brokers": ("a:1,b:2",), "topics": ("t",), **wrong})


def test_a_password_may_stand_in_a_file_and_is_never_shown(tmp_path):
    path = tmp_path / "password"
    path.write_text("secret\n")
    known = {"brokers": ("a:1",), "topics": ("t",), "sasl_mechanism": "PLAIN", "sasl_user": "me"}
    settings = KafkaSettings(**known, sasl_password_file=path)
    assert settings.librdkafka()["sasl.password"] == "secret"
    assert settings.librdkafka()["security.protocol"] == "sasl_plaintext"
    assert "hidden" not in repr(KafkaSettings(**known, sasl_password="hidden"))
    with pytest.raises(SourceRefused, match="absent"):
        KafkaSettings(**known, sasl_password_file=tmp_path / "absent").password()
