"""Following what arrives: server-sent events from any node, and on at another when one goes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from node.client.channel import Channel
from node.errors import BadRequest, Forbidden, NodeError, PeerUnreachable, Unauthorised

SILENCE_S = 15.0
"""A node that sends nothing for so long, not even a heartbeat, is given up."""
RETRY_S = 0.25
FINAL = (BadRequest, Unauthorised, Forbidden)
"""Errors that asking another node does not mend."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream.

    Attributes:
        kind: `records`, `enter`, `leave`, `gap`, `coverage` or `end`.
        records: of the first three, as in NDJSON.
        details: of the others.
        id: where to go on after it: `client.follow(…, last_event_id=…)`.
    """

    kind: str
    records: tuple[dict[str, Any], ...]
    details: dict[str, Any]
    id: str


class _Parser:
    """Bytes of an event stream into events; a `Sink` that is asked for what it has."""

    def __init__(self, last_id: str) -> None:
        self._buffer = b""
        self.last_id = last_id

    def events(self, data: bytes) -> Iterator[Event]:
        """Those that are whole now."""
        self._buffer += data
        *blocks, self._buffer = self._buffer.split(b"\n\n")
        for block in blocks:
            kind, lines = "", []
            for line in block.split(b"\n"):
                name, _, value = line.partition(b": ")
                if name == b"event":
                    kind = value.decode()
                elif name == b"data":
                    lines.append(orjson.loads(value))
                elif name == b"id":
                    self.last_id = value.decode()
            if kind in ("records", "enter", "leave"):
                yield Event(kind, tuple(lines), {}, self.last_id)
            elif kind:
                yield Event(kind, (), lines[0], self.last_id)


def follow_events(
    channel: Channel, target: str, *, last_event_id: str | None, timeout_s: float
) -> Iterator[Event]:
    """Events of a stream, from one node after another.

    Args:
        target: path and query of the stream.
        timeout_s: how long no node may answer.
    Raises:
        NodeError: the question is wrong, or no node has answered for so long.
    """
    last_id = last_event_id or ""
    wait_until_s = time.monotonic() + timeout_s
    while True:
        headers = "Accept: text/event-stream\r\n"
        headers += f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        parser = _Parser(last_id)
        try:
            for data in channel.stream(target, headers=headers, silence_s=SILENCE_S):
                wait_until_s = time.monotonic() + timeout_s
                for event in parser.events(data):
                    last_id = event.id
                    if event.kind != "end":
                        yield event
                last_id = parser.last_id
        except FINAL:
            raise
        except NodeError as error:
            if time.monotonic() > wait_until_s:
                raise PeerUnreachable(f"no node has streamed for {timeout_s} s: {error}") from None
        time.sleep(RETRY_S)
