"""`zring query`: records of an area and a time, to the terminal or a file."""

import sys
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from node.cli.encoding import encode_rows
from node.cli.exit_codes import OK, exit_code_of_coverage
from node.cli.options import (
    connect,
    connection_options,
    selection,
    selection_options,
    take_connection,
)
from node.cli.tables import print_rows
from node.client import AnswerCoverage, Client
from node.client.connection import Sink
from node.query import ROWS_PER_PAGE_MAX

FORMATS = ("table", "csv", "geojson", "ndjson", "arrow", "parquet")
BINARY = ("arrow", "parquet")
STREAMED = ("arrow", "csv", "ndjson")
"""Formats that a node sends whole; the others have a head or an end, and come in pages."""
TABLE_ROWS = 50
"""Rows of a table in the terminal where no limit is given; other formats give all."""


class CountingFile:
    """A binary file that moves a progress bar as it is written."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._task = progress.add_task("receiving", total=None)

    def write(self, data: bytes, /) -> None:
        self._file.write(data)
        self._progress.advance(self._task, len(data))


@click.command()
@click.argument("collection")
@selection_options
@click.option("--limit", type=click.IntRange(min=1), help="Rows at most.")
@click.option(
    "--require", type=click.Choice(["complete", "local", "settling"]),
    help="Fail rather than answer with less.",
)  # fmt: skip
@click.option("--format", "kind", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file."
)
@connection_options
@click.pass_context
def query(
    context: click.Context,
    /,
    *,
    collection: str,
    limit: int | None,
    require: str | None,
    kind: str,
    output: Path | None,
    **given: Any,
) -> None:
    """Print the records of COLLECTION in an area and a time.

    Exits with 4 when the answer is not the whole truth (areas without a node that has them).

    \b
    Examples:
      zring query amedas --bbox 135.1,34.1,135.3,34.3 --limit 10
      zring query amedas --sensor 65042 --from 2023-07-01T00:00:00Z --to 2023-08-01T00:00:00Z
      zring query amedas --filter "temp > 35" --columns temp --format csv
      zring query amedas --datetime 2023-07-13T00:00:00Z/.. --format parquet -o july.parquet
    """
    connection = take_connection(given)
    arguments = {**selection(**given), "require": require}
    with connect(**connection) as client:
        if kind == "table":
            result = client.query(collection, limit=limit or TABLE_ROWS, **arguments)
            print_rows(result.table, more=limit is None and len(result) == TABLE_ROWS)
            coverage = result.coverage
        else:
            arguments["limit"] = limit
            coverage = _save(client, collection, kind, output, arguments)
    report_coverage(context, coverage)


def report_coverage(context: click.Context, coverage: AnswerCoverage) -> None:
    """Say on standard error what an answer may lack, and leave with 4."""
    code = exit_code_of_coverage(coverage.state)
    if code == OK:
        return
    click.echo(f"zring: the answer is {coverage.state}; see zring status", err=True)
    context.exit(code)


def _save(
    client: Client, collection: str, kind: str, output: Path | None, arguments: dict[str, Any]
) -> AnswerCoverage:
    if output is None:
        if kind in BINARY and sys.stdout.isatty():
            raise click.UsageError(f"--format {kind} is not for a terminal; give -o FILE")
        return _fetch(client, collection, kind, sys.stdout.buffer, arguments)
    part = output.with_name(output.name + ".part")
    try:
        with part.open("wb") as file, _progress() as progress:
            coverage = _fetch(client, collection, kind, CountingFile(file, progress), arguments)
        part.replace(output)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return coverage


def _fetch(
    client: Client, collection: str, kind: str, sink: Sink, arguments: dict[str, Any]
) -> AnswerCoverage:
    """Pass the node's bytes through where it streams the format, else encode here."""
    limit = arguments["limit"]
    if kind in STREAMED and (limit is None or limit <= ROWS_PER_PAGE_MAX):
        return client.download(collection, sink, format=kind, **arguments)
    result = client.query(collection, **arguments)
    sink.write(encode_rows(result.table, kind))
    return result.coverage


def _progress() -> Progress:
    # Only drawn on a terminal; standard output stays for the data.
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
