"""Pumps side by side in one process, each in a thread of its own."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest.errors import IngestError
from ingest.messages import MessageDecoder
from ingest.pump import Pump, PumpStatistics
from ingest.sources.kinds import make_source
from ingest.sources.patient import PatientSource
from ingest.sources.source import Source
from ingest.stream_settings import StreamSettings
from node.client import Client
from node.client.writing import Written
from node.clock import SystemClock
from node.errors import NodeError
from zring.domain import Domain

WRITE_TIMEOUT_S = 10.0
"""Of one try; a pump that is told to stop waits no longer than this for a node."""
ASK_AGAIN_S = 1.0
JOIN_S = 0.2


def make_pump(
    settings: StreamSettings, client: Client, domain: Domain, *, try_again: bool = False
) -> Pump:
    """The pump of one source.

    Args:
        try_again: a source that is refused is opened again later, and so are its dead letters.
    Raises:
        IngestError: a setting that is wrong, a library that is absent; without `try_again` also
            dead letters that have no place.
    """
    letters = settings.letters()
    if not try_again:
        letters.open()

    def write(collection: str, batch: object) -> Written:
        return client.write(collection, batch, w=settings.w, timeout_s=WRITE_TIMEOUT_S)

    def make() -> Source:
        return make_source(settings.kind, settings.name, settings.source)

    return Pump(
        PatientSource(make, prepare=letters.open) if try_again else make(),
        decoder=MessageDecoder(
            settings.format,
            domain=domain,
            context=settings.context(),
            message_bytes_max=settings.message_bytes_max,
        ),
        collection=settings.collection,
        write=write,
        dead_letters=letters,
        clock=SystemClock(),
    )


def wait_for_domain(
    client: Client, stop: threading.Event, tell: Callable[[str], None]
) -> Domain | None:
    """The domain of the cluster, as soon as a node answers; None when stopped before.

    Raises:
        NodeError: a node answers, but not as it would to this client later either.
    """
    told = False
    while not stop.is_set():
        try:
            west, south, east, north = client.ring()["domain"]
        except NodeError as error:
            if not error.retryable:
                raise
            if not told:
                tell(f"no node answers yet: {error}; waiting")
                told = True
            stop.wait(ASK_AGAIN_S)
        else:
            return Domain.from_degrees(west=west, south=south, east=east, north=north)
    return None


@dataclass(frozen=True, slots=True)
class Ended:
    """How one source ended; `error` is None when it was told to, or is at its end."""

    source: str
    error: IngestError | NodeError | None


class Running:
    """Pumps and their threads; `wait` from the thread that made it."""

    def __init__(self, pumps: Sequence[Pump], stop: threading.Event) -> None:
        self._pumps, self._stop = pumps, stop
        self._ended: list[Ended] = []
        self._threads = [
            threading.Thread(target=self._run, args=(pump,), name=f"pump {pump.source_name}")
            for pump in pumps
        ]
        self._began_s = time.monotonic()

    def start(self) -> None:
        """Begin all."""
        for thread in self._threads:
            thread.start()

    def wait(self, report: Callable[[], None], *, every_s: float) -> list[Ended]:
        """Call `report` from time to time until all have ended.

        One source that fails does not stop the others; the process ends with the last one.
        """
        due_s = time.monotonic() + every_s
        for thread in self._threads:
            while thread.is_alive():
                thread.join(min(JOIN_S, every_s))
                if time.monotonic() >= due_s:
                    report()
                    due_s = time.monotonic() + every_s
        return list(self._ended)

    def statistics(self) -> list[PumpStatistics]:
        """Of all pumps."""
        return [pump.statistics() for pump in self._pumps]

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._began_s

    def _run(self, pump: Pump) -> None:
        error: IngestError | NodeError | None = None
        try:
            pump.run(self._stop)
        except (IngestError, NodeError) as raised:
            error = raised
        self._ended.append(Ended(pump.source_name, error))
