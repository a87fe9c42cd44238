"""MQTT 5 on the wire, as far as it comes in masses: messages in, acknowledgements out; pure."""

import struct
from collections.abc import Sequence

from ingest.sources.mqtt_arrivals import Arrival

PUBLISH, PUBACK = 0x30, 0x40
_PUBACK = struct.Struct(">BBH")


class MalformedPacket(Exception):
    """The broker's bytes are no MQTT; the connection is begun anew."""


def cut_packets(data: bytes) -> tuple[list[tuple[int, bytes]], list[Arrival], int]:
    """All whole packets at the beginning of `data`.

    Returns:
        The packets that are no messages (first byte, body), the messages, and how many bytes both
        took.

    Raises:
        MalformedPacket: lengths that cannot be.
    """
    others: list[tuple[int, bytes]] = []
    arrivals: list[Arrival] = []
    at, end = 0, len(data)
    while end - at >= 2:
        length, start = _varint(data, at + 1)
        if length < 0 or start + length > end:
            break
        first, stop = data[at], start + length
        if first & 0xF0 == PUBLISH:
            arrivals.append(_arrival(first, data, start, stop))
        else:
            others.append((first, data[start:stop]))
        at = stop
    return others, arrivals, at


def _arrival(first: int, data: bytes, start: int, stop: int) -> Arrival:
    body = start + 2 + (data[start] << 8 | data[start + 1]) if stop - start >= 2 else stop + 1
    topic = data[start + 2 : body]
    number = 0
    if first & 0x06:
        if body + 2 > stop:
            raise MalformedPacket("a message without its number")
        number = data[body] << 8 | data[body + 1]
        body += 2
    if body >= stop:
        raise MalformedPacket("a message without its properties")
    length, body = _varint(data, body)
    if length < 0 or body + length > stop:
        raise MalformedPacket("properties longer than their message")
    return topic, data[body + length : stop], number


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to four bytes and where it ends; -1 where bytes are missing."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    for position in range(at + 1, at + 4):
        if position >= len(data):
            return -1, at
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise MalformedPacket("a length of more than four bytes")


def acknowledgements(numbers: Sequence[int]) -> bytes:
    """PUBACK packets, one after the other."""
    return b"".join([_PUBACK.pack(PUBACK, 2, number) for number in numbers])
