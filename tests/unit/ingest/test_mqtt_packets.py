"""MQTT's packets and topic filters, without a broker."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import IngestError
from ingest.sources.mqtt_arrivals import Arrivals
from ingest.sources.mqtt_packets import MalformedPacket, acknowledgements, cut_packets
from ingest.sources.mqtt_settings import MqttSettings, is_filter, matches
from ingest.sources.source import POLL_BYTES_MAX, POLL_MESSAGES_MAX


def varint(value: int) -> bytes:
    out = b""
    while True:
        value, byte = divmod(value, 128)
        out += bytes([byte | (0x80 if value else 0)])
        if not value:
            return out


def publish(topic: bytes, payload: bytes, number: int = 0, properties: bytes = b"") -> bytes:
    body = struct.pack(">H", len(topic)) + topic
    if number:
        body += struct.pack(">H", number)
    body += varint(len(properties)) + properties + payload
    return bytes([0x32 if number else 0x30]) + varint(len(body)) + body


MESSAGES = st.lists(
    st.tuples(
        st.binary(max_size=20),
        st.binary(max_size=300),
        st.integers(0, 65_535),
        st.sampled_from([b"", b"\x0b\x01", b"x" * 200]),
    ),
    max_size=8,
)


@given(MESSAGES, st.data())
def test_messages_come_out_whole_wherever_the_bytes_are_cut(messages, data):
    stream = b"".join(publish(*message) for message in messages) + b"\xd0\x00"
    found, others, rest = [], [], b""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        rest += stream[start:stop]
        packets, arrivals, taken = cut_packets(rest)
        rest = rest[taken:]
        found += arrivals
        others += packets
    assert found == [(topic, payload, number) for topic, payload, number, _ in messages]
    assert (others, rest) == ([(0xD0, b"")], b"")


@given(st.binary(max_size=200))
def test_any_bytes_are_packets_or_malformed(data):
    try:
        others, arrivals, taken = cut_packets(data)
    except MalformedPacket:
        return
    assert taken <= len(data)
    assert taken >= 2 * (len(others) + len(arrivals))


def test_acknowledgements_are_in_order():
    assert acknowledgements([1, 65_535]) == b"\x40\x02\x00\x01\x40\x02\xff\xff"


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("+/b/#", "a/b/c", True),
        ("#", "$SYS/load", False),
        ("$SYS/#", "$SYS/load", True),
        ("$share/readers/a/+", "a/b", True),
        ("$share/readers/#", "a/b", True),
    ],
)
def test_filters(topic_filter, topic, expected):
    assert is_filter(topic_filter)
    assert matches(topic_filter, topic) is expected


@pytest.mark.parametrize("text", ["", "a/b#", "#/a", "a/+b", "$share/group"])
def test_what_is_no_filter_is_refused(text):
    with pytest.raises(IngestError, match=r"mqtt\.topics="):
        MqttSettings(topics=(text,))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"topics": ()}, "mqtt.topics"),
        ({"broker": "localhost"}, "mqtt.broker=localhost"),
        ({"broker": "kafka://a:1"}, "mqtt.broker=kafka"),
        ({"qos": 2}, "mqtt.qos=2"),
        ({"in_flight_max": 70_000}, "mqtt.in_flight_max=70000"),
    ],
)
def test_wrong_settings_are_named(given, named):
    with pytest.raises(IngestError, match=named):
        MqttSettings(**{"topics": ("a",), **given})


def test_a_poll_takes_no_more_than_its_limits():
    arrivals = Arrivals(100_000)
    arrivals.add([(b"t", b"x" * (POLL_BYTES_MAX + 1), 1)])
    arrivals.add([(b"t", b"y", number) for number in range(2, POLL_MESSAGES_MAX + 10)])
    assert len(arrivals.take(0, lambda: True)) == 1
    assert len(arrivals.take(0, lambda: True)) == POLL_MESSAGES_MAX
    assert len(arrivals.take(0, lambda: True)) == 8
    assert arrivals.take(0, lambda: True) == []


def test_numbers_of_an_ended_connection_are_forgotten_and_the_messages_kept():
    arrivals = Arrivals(2)
    arrivals.add([(b"t", b"a", 7), (b"t", b"b", 8)])
    assert not arrivals.wait_room(0)
    arrivals.forget_numbers()
    assert arrivals.take(0, lambda: True) == [(b"t", b"a", 0), (b"t", b"b", 0)]
    assert arrivals.wait_room(0)
