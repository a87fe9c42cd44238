"""The order of the demo, and what it prints."""

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ingest.demo.load import load_files, load_generated
from ingest.demo.nodes import LocalCluster, NodePlace
from ingest.demo.search import SEARCHES, Timing, quarter_counts, time_search
from ingest.demo.settle import wait_settled
from node.client import Client

NAMES = ("sw", "nw", "se", "ne")
COLLECTION = "amedas"
PUBLISHED_COUNTS = {"SW": 300_000, "NW": 1_000_000, "SE": 80_000, "NE": 620_000}
"""Experiment N3: records on nodes 1 to 4."""
RECORDS = 2_000_000


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True),
    help="Load the weather files below this folder instead of generated records.",
)  # fmt: skip
@click.option("--records", type=click.IntRange(min=1), default=RECORDS, show_default=True)
@click.option(
    "--port", type=click.IntRange(1, 65_000), default=7070, show_default=True,
    help="First port for clients; nodes talk to each other on ports 100 above.",
)  # fmt: skip
@click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False),
    help="Keep the stores in this folder; default: a temporary one.",
)  # fmt: skip
@click.option(
    "--exit", "leave", is_flag=True, envvar="ZRING_DEMO_EXIT",
    help="Leave when everything is printed instead of waiting for Ctrl-C.",
)  # fmt: skip
def demo(data: Path | None, records: int, port: int, store: Path | None, leave: bool) -> None:
    """Start four nodes here, load two million records, search them.

    \b
    Examples:
      zring demo
      zring demo --records 200000 --exit
      zring demo --data ~/amedas
    """
    console = Console()
    console.print("[bold]zring demo[/]: four nodes, each owning a quarter of the square "
                  "(135, 33)-(136.6, 34.6)", highlight=False)  # fmt: skip
    with _folder(store) as folder, LocalCluster(_places(folder, port)) as cluster:
        with Client(cluster.urls[0], timeout_s=60.0) as client:
            _load(client, data, records, console)
            waited_s = wait_settled(cluster.urls, console)
            console.print(f"replicas copied, blocks merged after {waited_s:.1f} s more")
            console.print(_counts_table(client))
            timings = [time_search(client, COLLECTION, search) for search in SEARCHES]
            console.print(_timings_table(timings))
        console.print("\nThe nodes answer at " + "  ".join(cluster.urls), highlight=False)
        if not leave:
            console.print("Open one in a browser for the map. Ctrl-C stops everything.")
            _wait_for_stop()
        console.print("stopping the nodes")


def _places(folder: Path, port: int) -> list[NodePlace]:
    return [
        NodePlace(name, port + index, port + 100 + index, folder / name)
        for index, name in enumerate(NAMES)
    ]


@contextmanager
def _folder(store: Path | None) -> Iterator[Path]:
    if store is not None:
        yield store.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="zring-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _load(client: Client, data: Path | None, records: int, console: Console) -> None:
    if data is None:
        loaded = load_generated(client, COLLECTION, count=records, console=console)
    else:
        loaded = load_files(client, COLLECTION, folder=data, console=console)
    console.print(
        f"{loaded.stored:,} records stored durably in {loaded.elapsed_s:.1f} s "
        f"({loaded.stored / loaded.elapsed_s:,.0f} a second)"
        + (f"; {loaded.rejected:,} rows rejected" if loaded.rejected else ""),
        highlight=False,
    )


def _counts_table(client: Client) -> Table:
    counts = quarter_counts(client, COLLECTION)
    table = Table(title="\nN3: records that each node owns", title_justify="left", box=None)
    table.add_column("node")
    for title in ("records", "share", "published", "share"):
        table.add_column(title, justify="right")
    total, published_total = sum(counts.values()), sum(PUBLISHED_COUNTS.values())
    for quarter, count in counts.items():
        published = PUBLISHED_COUNTS[quarter]
        table.add_row(
            quarter.lower(),
            f"{count:,}",
            f"{count / max(1, total):.1%}",
            f"{published:,}",
            f"{published / published_total:.1%}",
        )
    return table


def _timings_table(timings: list[Timing]) -> Table:
    table = Table(
        title="\nN2: search, mean of 5 runs, answer as an Arrow table",
        title_justify="left",
        box=None,
    )
    table.add_column("search")
    for title in ("records", "mean", "best", "published", "faster"):
        table.add_column(title, justify="right")
    table.add_column("answer")
    for timing in timings:
        table.add_row(
            timing.search.title,
            f"{timing.rows:,}",
            f"{timing.mean_s * 1e3:.1f} ms",
            f"{timing.best_s * 1e3:.1f} ms",
            f"{timing.search.published_s * 1e3:.1f} ms",
            f"{timing.search.published_s / timing.mean_s:,.0f} ×",
            timing.coverage,
        )
    return table


def _wait_for_stop() -> None:
    stop = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        while not stop.wait(3_600.0):
            continue
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)
