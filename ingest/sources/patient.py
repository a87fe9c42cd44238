"""A source that is not given up: what refuses it may be put right while nobody looks.

A service that was started before its broker, whose topic is made later, or whose password is
changed on the other side first, has nobody who would start it again for one of its sources. So a
refusal is a loss here: it is told as the reason why the source waits, and the source is made anew
after a pause that doubles. A command that a person types is not patient: who mistypes
a topic wants to read that at once, not a program that waits for it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ingest.errors import SourceLost, SourceRefused
from ingest.sources.source import Lag, Messages, Source

PAUSE_FIRST_S, PAUSE_MAX_S = 1.0, 15.0
"""Between two tries, each of which costs the broker a connection and a question or two."""


class PatientSource:
    """See `ingest.sources.Source`; never raises SourceRefused.

    Args:
        make: a new source, not open.
        prepare: called before each try to open it; may refuse as well.
    """

    def __init__(
        self,
        make: Callable[[], Source],
        *,
        prepare: Callable[[], None] = lambda: None,
        pause_first_s: float = PAUSE_FIRST_S,
    ) -> None:
        self._make, self._prepare, self._first_s = make, prepare, pause_first_s
        self._source = make()
        self._refusal: str | None = "not open yet"
        self._pause_s, self._due_s = pause_first_s, 0.0

    @property
    def name(self) -> str:
        return self._source.name

    def open(self) -> None:
        self._refusal, self._due_s = "not open yet", 0.0

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        self._open_when_due()
        try:
            polled = self._source.poll(timeout_s)
        except SourceRefused as error:
            raise self._refused(error) from None
        if polled:
            self._pause_s = self._first_s
        source = self._source
        return [replace(messages, receipt=(source, messages.receipt)) for messages in polled]

    def _open_when_due(self) -> None:
        """Open the source, at first or again.

        Raises:
            SourceLost: it was refused, or it is too early to try again.
        """
        if self._refusal is None:
            return
        if time.monotonic() < self._due_s:
            raise SourceLost(self._refusal)
        try:
            self._prepare()
            self._source.open()
        except SourceRefused as error:
            raise self._refused(error) from None
        self._refusal = None

    def _refused(self, error: SourceRefused) -> SourceLost:
        self._source.close()
        self._source = self._make()
        self._refusal = str(error)
        self._due_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)
        return SourceLost(self._refusal)

    def acknowledge(self, messages: Messages) -> None:
        assert isinstance(messages.receipt, tuple)
        source, receipt = messages.receipt
        if source is self._source:  # else it came by one that was closed, and comes again
            source.acknowledge(replace(messages, receipt=receipt))

    def lost_streams(self) -> Sequence[str]:
        return () if self._refusal is not None else self._source.lost_streams()

    def keep_alive(self) -> None:
        if self._refusal is None:
            try:
                self._source.keep_alive()
            except SourceRefused as error:
                raise self._refused(error) from None

    def lag(self) -> Lag:
        return Lag(None, {}) if self._refusal is not None else self._source.lag()

    def is_at_end(self) -> bool:
        return self._refusal is None and self._source.is_at_end()

    def close(self) -> None:
        self._source.close()
