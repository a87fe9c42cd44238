"""Running sources from a command: signals, metrics, the live line, and the exit code."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from ingest.errors import IngestError, SettingsInvalid, SourceRefused
from ingest.live_line import REPORT_S, LiveLine
from ingest.metrics import ingest_metrics
from ingest.running import Ended, Running, make_pump, wait_for_domain
from ingest.stream_settings import IngestSettings
from node.api.metrics_server import MetricsServer
from node.cli.exit_codes import FAILURE, OK, PARTIAL, USAGE, exit_code_of
from node.client import Client
from node.errors import NodeError


def run_sources(
    settings: IngestSettings,
    client: Client,
    *,
    as_json: bool,
    try_again: bool = False,
    stop_on_eof: bool = False,
) -> int:
    """Run all sources until they end or the process is asked to (SIGTERM, Ctrl-C).

    Args:
        try_again: as a service: a source that was refused is opened again later.
        stop_on_eof: the end of standard input asks, too.

    Returns:
        The exit code: 0; 4 when messages became dead letters; 2 when a source was refused as it
        is set; else that of the node's error.
    Raises:
        ClickException: settings that cannot be used at all.
    """
    with _stop_on_signals() as stop, LiveLine(as_json=as_json) as live:
        if stop_on_eof:
            _set_on_eof(stop)
        try:
            domain = wait_for_domain(client, stop, live.tell)
            if domain is None:
                return OK
            pumps = [
                make_pump(source, client, domain, try_again=try_again)
                for source in settings.sources
            ]
            running = Running(pumps, stop)
            server = _metrics(settings.metrics_listen, running)
        except (IngestError, NodeError) as error:
            raise failed(error) from None
        try:
            if server is not None:
                live.tell(f"metrics on port {server.port}")
            running.start()
            ended = running.wait(lambda: live.show(running.statistics()), every_s=REPORT_S)
        finally:
            stop.set()
            if server is not None:
                server.close()
        statistics = running.statistics()
        live.summary(statistics, ended, running.seconds)
    for end in ended:
        if end.error is not None:
            click.echo(f"Error: source {end.source!r}: {end.error}", err=True)
    if any(end.error is not None for end in ended):
        return next(code_of(end) for end in ended if end.error is not None)
    return PARTIAL if any(pump.account.total("dead") for pump in statistics) else OK


def _metrics(listen: str | None, running: Running) -> MetricsServer | None:
    if listen is None:
        return None
    return MetricsServer(listen, lambda: ingest_metrics(running.statistics()))


def code_of(end: Ended) -> int:
    """The exit code for a source that failed."""
    assert end.error is not None, "only a source that failed has a code"
    if isinstance(end.error, NodeError):
        return exit_code_of(end.error)
    return USAGE if isinstance(end.error, SettingsInvalid | SourceRefused) else FAILURE


def failed(error: IngestError | NodeError) -> click.ClickException:
    """An error as the end of a command."""
    exception = click.ClickException(str(error))
    code = code_of(Ended("", error))
    exception.exit_code = code  # type: ignore[misc]  # click reads it from the instance
    return exception


def _set_on_eof(stop: threading.Event) -> None:
    """Set the event when standard input ends."""

    def read() -> None:
        while sys.stdin.buffer.read(1_024):
            pass
        stop.set()

    threading.Thread(target=read, name="standard input", daemon=True).start()


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set; the second Ctrl-C ends the process at once."""
    stop = threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
