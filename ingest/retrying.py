"""Dead letters once more: the pump's own way, with the letters as a source that ends."""

import threading
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from ingest.deadletters import DeadLetter
from ingest.errors import SettingsInvalid
from ingest.messages import MessageDecoder
from ingest.pump import Pump
from ingest.running import WRITE_TIMEOUT_S
from ingest.sources.source import POLL_BYTES_MAX, POLL_MESSAGES_MAX, Lag, Messages
from ingest.stream_settings import IngestSettings
from node.client import Client
from node.client.writing import Written
from node.clock import SystemClock
from zring.domain import Domain


class LettersSource:
    """Dead letters of one source, in order; see `ingest.sources.source.Source`.

    Attributes:
        done: places of the letters whose messages were settled.
    """

    def __init__(self, name: str, letters: Sequence[DeadLetter]) -> None:
        self.name = name
        self._letters, self._next = letters, 0
        self.done = 0

    def open(self) -> None:
        """See `Source.open`."""

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        """See `Source.poll`."""
        size, stop = 0, self._next
        while stop < min(len(self._letters), self._next + POLL_MESSAGES_MAX):
            size += len(self._letters[stop].payload or b"")
            if size > POLL_BYTES_MAX and stop > self._next:
                break
            stop += 1
        taken, self._next = self._letters[self._next : stop], stop
        return list(_as_messages(taken))

    def keep_alive(self) -> None:
        """See `Source.keep_alive`."""

    def acknowledge(self, messages: Messages) -> None:
        """See `Source.acknowledge`."""
        self.done += len(messages)

    def lost_streams(self) -> Sequence[str]:
        """See `Source.lost_streams`."""
        return ()

    def lag(self) -> Lag:
        """See `Source.lag`."""
        return Lag(len(self._letters) - self._next, {})

    def is_at_end(self) -> bool:
        """See `Source.is_at_end`."""
        return self._next >= len(self._letters)

    def close(self) -> None:
        """See `Source.close`."""


class _Collected:
    """Keeps letters in memory: those that are left are written into the file as a whole."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def open(self) -> None:
        pass

    def add(self, letters: Sequence[DeadLetter]) -> None:
        self.letters += letters

    def close(self) -> None:
        pass


def retry_letters(
    letters: Sequence[DeadLetter], settings: IngestSettings, client: Client
) -> list[DeadLetter]:
    """Store the messages of letters; returns the letters that are left, in order.

    Raises:
        SettingsInvalid: a letter's source is not in the settings.
        NodeError: the nodes take nothing.
    """
    west, south, east, north = client.ring()["domain"]
    domain = Domain.from_degrees(west=west, south=south, east=east, north=north)
    left: list[DeadLetter] = []
    names = list(dict.fromkeys(letter.source for letter in letters))
    for name in names:  # all are known before anything is stored
        settings.one(name)
    for name in names:
        own = [letter for letter in letters if letter.source == name]
        left += _retry(own, settings, client, domain)
    return left


def _retry(
    letters: Sequence[DeadLetter], settings: IngestSettings, client: Client, domain: Domain
) -> list[DeadLetter]:
    stream = settings.one(letters[0].source)

    def write(collection: str, batch: object) -> Written:
        return client.write(collection, batch, w=stream.w, timeout_s=WRITE_TIMEOUT_S)

    source, collected = LettersSource(stream.name, letters), _Collected()
    pump = Pump(
        source,
        decoder=MessageDecoder(
            stream.format,
            domain=domain,
            context=stream.context(),
            message_bytes_max=stream.message_bytes_max,
        ),
        collection=stream.collection,
        write=write,
        dead_letters=collected,
        clock=SystemClock(),
    )
    pump.run(threading.Event())
    if source.done != len(letters):
        raise SettingsInvalid("the letters were not all tried; nothing is taken out of the file")
    return collected.letters


def _as_messages(letters: Sequence[DeadLetter]) -> Iterator[Messages]:
    for stream, group in groupby(letters, key=lambda letter: letter.stream):
        own = list(group)
        yield Messages(
            stream=stream,
            sequences=np.array([letter.sequence for letter in own], np.int64),
            payloads=[letter.payload for letter in own],
            keys=[letter.key for letter in own],
            produced_ms=np.array([letter.produced_ms for letter in own], np.int64),
        )
