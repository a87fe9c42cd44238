"""`zring ingest audit`: is every message that was acknowledged stored, or a dead letter?"""

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
from ingest.sources.kinds import expected_sequences
from ingest.stream_settings import TOPIC, StreamSettings, read_ingest_settings
from node.cli.exit_codes import OK, PARTIAL
from node.cli.options import connect, connection_options
from node.client import Client
from node.errors import NodeError


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

    Kafka says from which to which offset messages were acknowledged; other sources do not, and
    are looked at from their first to their last sequence that is stored or dead. Exits with 4 when
    a sequence is in neither place.

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
        Console().print(_table(found))
    missing = any(entry.unaccounted for streams in found.values() for entry in streams)
    context.exit(PARTIAL if missing else OK)


def _audit(client: Client, source: StreamSettings) -> list[StreamAudit]:
    expected = expected_sequences(source.kind, source.source)
    stored = stored_sequences(client, source.collection, source.name)
    letters = Path(source.dead_letters)
    is_file = not source.dead_letters.startswith(TOPIC) and letters.exists()
    dead = dead_sequences(read_letters(letters) if is_file else (), source.name)
    return audit_streams(expected, stored, dead)


def _table(found: dict[str, list[StreamAudit]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("source", "stream"):
        table.add_column(name)
    for name in ("first", "stop", "stored", "dead", "unaccounted"):
        table.add_column(name, justify="right")
    table.add_column("")
    for source, streams in found.items():
        for entry in streams:
            numbers = (entry.first, entry.stop, entry.stored, entry.dead, entry.unaccounted)
            examples = ", ".join(map(str, entry.examples))
            table.add_row(source, entry.stream, *(f"{number:,}" for number in numbers), examples)
    return table
