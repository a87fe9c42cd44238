"""`zring ingest generate`: seeded records to a cluster or a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import Progress

from ingest.generate import MODES, generate_records
from ingest.generate.records import DEFAULT_START, RECORDS_MAX
from ingest.sender import Sender
from node.cli.exit_codes import OK, PARTIAL
from node.cli.options import connect, connection_options
from node.client.writing import Written

SUFFIXES = (".parquet", ".csv", ".arrow")


@click.command()
@connection_options
@click.option("--count", type=click.IntRange(0, RECORDS_MAX), default=2_000_000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same records.")
@click.option("--start", default=DEFAULT_START.isoformat(), show_default=True, help="First time.")
@click.option("--mode", type=click.Choice(MODES), default="grouped", show_default=True)
@click.option("--collection", default="amedas", show_default=True, help="Where records go.")
@click.option("--w", "level", type=click.Choice(["one", "quorum", "all"]), default="one")
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a file instead: .parquet, .csv or .arrow.",
)
@click.pass_context
def generate(
    context: click.Context,
    /,
    count: int,
    seed: int,
    start: str,
    mode: str,
    collection: str,
    level: str,
    target: Path | None,
    **connection: Any,
) -> None:  # fmt: skip
    """Make observations of the 40 stations of the square, or of 20,000 vehicles.

    \b
    Examples:
      zring ingest generate --count 2000000
      zring ingest generate --mode moving --count 100000 --to vehicles.parquet
    """
    if target is not None and target.suffix not in SUFFIXES:
        raise click.BadParameter(f"{target} ends in none of {', '.join(SUFFIXES)}")
    try:
        first = datetime.fromisoformat(start)
        batches = generate_records(count, seed=seed, start=first, mode=mode)
    except ValueError as error:
        raise click.BadParameter(f"--start {start!r}: {error}") from None
    with _bar(count) as advance:
        if target is not None:
            _write_file(target, batches, advance)
            stored = count
        else:
            stored = _write_cluster(collection, batches, advance, level, connection)
    place = str(target) if target is not None else f"collection {collection}"
    click.echo(f"{stored:,} of {count:,} records in {place}")
    context.exit(OK if stored == count else PARTIAL)


@contextmanager
def _bar(count: int) -> Iterator[Any]:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("records", total=count)
        yield lambda records: bar.advance(task, records)


def _write_cluster(
    collection: str,
    batches: Iterator[pa.RecordBatch],
    advance: Any,
    level: str,
    connection: dict[str, Any],
) -> int:
    stored = 0

    def settle(written: Written) -> None:
        nonlocal stored
        stored += written.stored
        advance(written.received)

    with connect(**connection) as client:

        def write(name: str, batch: pa.RecordBatch) -> Written:
            return client.write(name, batch, w=level)  # type: ignore[arg-type]

        with Sender(write) as sender:
            for batch in batches:
                sender.send(collection, batch, settle)
    return stored


def _write_file(target: Path, batches: Iterator[pa.RecordBatch], advance: Any) -> None:
    first = next(batches, None)
    schema = first.schema if first is not None else next(generate_records(1)).schema
    with _open_writer(target, schema) as writer:
        while first is not None:
            writer.write_batch(first)
            advance(len(first))
            first = next(batches, None)


def _open_writer(target: Path, schema: Any) -> Any:
    if target.suffix == ".parquet":
        return pq.ParquetWriter(target, schema, compression="zstd")
    if target.suffix == ".csv":
        return pcsv.CSVWriter(target, schema)
    return pa.ipc.new_stream(str(target), schema)
