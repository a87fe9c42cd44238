"""`zring ingest audit`: is every message that was acknowledged stored, or a dead letter?"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from ingest.audit import StreamAudit, audit_streams, dead_sequences, stored_sequences
from ingest.commands.run import over_settings
from ingest.commands.service import failed
from ingest.deadletters import read_letters
from ingest.errors import IngestError
from ingest.sources.kinds import stream_extents, topic_letters
from ingest.stream_settings import TOPIC, StreamSettings, read_ingest_settings
from node.cli.exit_codes import OK, PARTIAL
from node.cli.options import connect, connection_options
from node.client import Client
from node.errors import NodeError

COLUMNS = ("begin", "end", "committed", "waiting", "deleted", "first", "stop", "stored", "dead",
           "gap")  # fmt: skip
"""Numbers of a stream, as `StreamAudit` calls them."""

FILE_WIDTH = 240
"""Characters of a line that is no terminal's: nothing is cut off in a log."""


@click.command()
@click.option(
    "--config", "path", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML with [[source]] tables.",
)  # fmt: skip
@click.option("--source", "source_names", multiple=True, help="Only this one; may be repeated.")
@connection_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def audit(
    context: click.Context,
    /,
    path: Path,
    source_names: tuple[str, ...],
    as_json: bool,
    **connection: Any,
) -> None:  # fmt: skip
    """Compare what sources have acknowledged with what can be queried.

    Kafka says which offsets a topic has (begin, end) and up to which they were acknowledged
    (committed): each of these must be stored or a dead letter; what is behind waits. Other sources
    are looked at from their first to their last sequence that is stored or dead. Needs no process
    that runs, and nothing that one remembers. Exits with 4 when a sequence is in neither place
    (gap), or was deleted by the broker before it was acknowledged.

    \b
    Example:
      zring ingest audit --config ingest.toml --source river
    """
    try:
        settings = read_ingest_settings(path)
        chosen = [settings.one(name) for name in source_names] or list(settings.sources)
        with connect(**over_settings(context, settings, connection)) as client:
            found = {source.name: _audit(client, source) for source in chosen}
    except (IngestError, NodeError) as error:
        raise failed(error) from None
    if as_json:
        document = {name: [asdict(entry) for entry in streams] for name, streams in found.items()}
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    else:
        console = Console()
        if not console.is_terminal:
            console.width = FILE_WIDTH
        console.print(_table(found))
    is_whole = all(entry.is_whole for streams in found.values() for entry in streams)
    context.exit(OK if is_whole else PARTIAL)


def _audit(client: Client, source: StreamSettings) -> list[StreamAudit]:
    # In this order: what is acknowledged in between is stored before.
    extents = stream_extents(source.kind, source.source)
    dead = dead_sequences(_letter_places(source), source.name)
    stored = stored_sequences(client, source.collection, source.name)
    return audit_streams(extents, stored, dead)


def _letter_places(source: StreamSettings) -> Iterable[tuple[str, str, int]]:
    """Source, stream and sequence of each dead letter, wherever they are kept."""
    if source.dead_letters.startswith(TOPIC):
        topic = source.dead_letters.removeprefix(TOPIC)
        return topic_letters(source.kind, source.source, topic)
    path = Path(source.dead_letters)
    letters = read_letters(path) if path.exists() else ()
    return ((letter.source, letter.stream, letter.sequence) for letter in letters)


def _table(found: dict[str, list[StreamAudit]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("source", "stream"):
        table.add_column(name)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    table.add_column("")
    for source, streams in found.items():
        for entry in streams:
            numbers = [getattr(entry, name) for name in COLUMNS]
            shown = ["" if number is None else f"{number:,}" for number in numbers]
            examples = ", ".join(map(str, entry.examples))
            table.add_row(source, entry.stream, *shown, examples)
    return table
