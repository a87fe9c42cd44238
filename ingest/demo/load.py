"""Records to the cluster, generated or from files, with a progress bar."""

import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ingest.files import client_domain
from ingest.formats import Context
from ingest.formats.station_table import StationTable, read_station_table
from ingest.generate import generate_records
from ingest.loading import Loader, find_files
from ingest.rejects import RejectFile
from ingest.sender import Sender
from node.client import Client, Written

WRITE_TIMEOUT_S = 120.0
STATION_TABLE_NAME = "amedastable.json"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading did.

    Attributes:
        stored: records that nodes acknowledged, durable.
        rejected: rows that were refused, with files only.
    """

    stored: int
    rejected: int
    elapsed_s: float


def load_generated(client: Client, collection: str, *, count: int, console: Console) -> Loaded:
    """Make and store `count` records; the next batch is made while the last one is stored."""
    start_s = time.monotonic()
    stored = 0
    with _bar(console) as bar, _sender(client) as sender:
        task = bar.add_task("loading records", total=count)

        def settle(written: Written) -> None:
            nonlocal stored
            stored += written.stored
            bar.update(task, completed=stored)

        for batch in generate_records(count):
            sender.send(collection, batch, settle)
        sender.drain()
    return Loaded(stored, 0, time.monotonic() - start_s)


def load_files(client: Client, collection: str, *, folder: Path, console: Console) -> Loaded:
    """Store what the weather files below a folder hold; a bad file never stops the rest."""
    start_s = time.monotonic()
    paths = find_files((folder,))
    outcomes = []
    with (
        _bar(console) as bar,
        _sender(client) as sender,
        RejectFile(None) as rejects,
    ):
        loader = Loader(
            domain=client_domain(client),
            collection=collection,
            context=Context(stations=_stations(folder)),
            rejects=rejects,
            sender=sender,
        )
        task = bar.add_task("loading files", total=len(paths))
        for path in paths:
            outcomes.append(loader.load(path, "auto", lambda position, records: None))
            bar.advance(task)
        loader.finish()
    return Loaded(
        stored=sum(outcome.stored for outcome in outcomes),
        rejected=sum(outcome.rejected.total() for outcome in outcomes),
        elapsed_s=time.monotonic() - start_s,
    )


def _sender(client: Client) -> Sender:
    def write(collection: str, batch: pa.RecordBatch) -> Written:
        return client.write(collection, batch, timeout_s=WRITE_TIMEOUT_S)

    return Sender(write)


def _stations(folder: Path) -> StationTable:
    table = next(iter(sorted(folder.rglob(STATION_TABLE_NAME))), None)
    return StationTable.of_square() if table is None else read_station_table(table.read_bytes())


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=True)
