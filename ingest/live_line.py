"""How the pumps of a process are doing, as one line that changes, as lines, or as JSON."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
import orjson
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ingest.pump import PumpStatistics
from ingest.running import Ended

REPORT_S = 1.0
LINE_S = 10.0
"""Between two lines where nobody looks at a terminal."""


class LiveLine:
    """Shows statistics on standard error; the summary and all JSON go to standard output."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(stderr=True)
        self._live = (
            Live(console=self._console, refresh_per_second=4, transient=True)
            if self._console.is_terminal and not as_json
            else None
        )
        self._stored: dict[str, int] = {}
        self._shown_s = time.monotonic()
        self._troubles: dict[str, str | None] = {}

    def __enter__(self) -> "LiveLine":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, message: str) -> None:
        """One line of its own."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def show(self, pumps: Sequence[PumpStatistics]) -> None:
        """How it goes now; to be called every REPORT_S."""
        now_s = time.monotonic()
        if not self._as_json and self._live is None and now_s - self._shown_s < LINE_S:
            self._tell_troubles(pumps)
            return
        seconds, self._shown_s = max(now_s - self._shown_s, 1e-9), now_s
        rates = {}
        for pump in pumps:
            stored = pump.account.total("stored")
            rates[pump.source] = round((stored - self._stored.get(pump.source, 0)) / seconds)
            self._stored[pump.source] = stored
        if self._as_json:
            for pump in pumps:
                click.echo(orjson.dumps(as_document(pump, rates[pump.source])))
        elif self._live is not None:
            self._live.update(_table(pumps, rates))
        else:
            for pump in pumps:
                self.tell(line(pump, rates[pump.source]))

    def _tell_troubles(self, pumps: Sequence[PumpStatistics]) -> None:
        """Between two lines: why a source waits that did not before."""
        for pump in pumps:
            if pump.trouble is not None and self._troubles.get(pump.source) is None:
                self.tell(f"{pump.source}: waiting: {pump.trouble}")
            self._troubles[pump.source] = pump.trouble

    def summary(
        self, pumps: Sequence[PumpStatistics], ended: Sequence[Ended], seconds: float
    ) -> None:
        """What became of everything, when all have ended."""
        errors = {end.source: end.error for end in ended}
        for pump in pumps:
            error = errors.get(pump.source)
            rate = round(pump.account.total("stored") / max(seconds, 1e-9))
            if self._as_json:
                document = as_document(pump, rate)
                document["ended"] = True
                document["error"] = None if error is None else str(error)
                click.echo(orjson.dumps(document))
            else:
                click.echo(line(pump, rate))


def line(pump: PumpStatistics, rate: int) -> str:
    """One source as a line of text."""
    account = pump.account
    words = [
        f"{pump.source}: {rate:,} records/s",
        f"{account.total('stored'):,} stored",
        f"{account.total('done'):,} messages done",
    ]
    if pump.lag.messages is not None:
        words.append(f"lag {pump.lag.messages:,}")
    if account.rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in _most(account.rejected))
        words.append(f"{sum(account.rejected.values()):,} rejected ({reasons})")
    if account.total("dead"):
        words.append(f"{account.total('dead'):,} dead letters")
    if pump.retries:
        words.append(f"{pump.retries:,} retries")
    if pump.trouble is not None:
        words.append(f"waiting: {pump.trouble}")
    return "  ".join(words)


def as_document(pump: PumpStatistics, rate: int) -> dict[str, Any]:
    """One source as JSON, without its streams."""
    account = pump.account
    totals = ("seen", "again", "done", "dead", "stored", "gaps", "missing")
    return {
        "source": pump.source,
        "records_per_s": rate,
        "lag": pump.lag.messages,
        **{name: account.total(name) for name in totals},
        "rejected": dict(account.rejected),
        "left_out": pump.left_out,
        "retries": pump.retries,
        "streams": len(account.streams),
        "waiting": pump.trouble,
    }


def _table(pumps: Sequence[PumpStatistics], rates: Mapping[str, int]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("source")
    names = ("records/s", "stored", "messages", "lag", "rejected", "dead", "retries")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("")
    for pump in pumps:
        account = pump.account
        cells = [
            rates[pump.source],
            account.total("stored"),
            account.total("done"),
            pump.lag.messages,
            sum(account.rejected.values()),
            account.total("dead"),
            pump.retries,
        ]
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in _most(account.rejected))
        shown = ["" if cell is None else f"{cell:,}" for cell in cells]
        waiting = f"waiting: {pump.trouble}" if pump.trouble is not None else reasons
        table.add_row(pump.source, *shown, waiting)
    return table


def _most(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda entry: -entry[1])[:3]
