"""`zring ingest run`: the sources of a TOML file, as a service."""

from pathlib import Path
from typing import Any

import click

from ingest.commands.service import failed, run_sources
from ingest.errors import IngestError
from ingest.stream_settings import IngestSettings, read_ingest_settings
from node.cli.options import connect, connection_options, take_connection


@click.command()
@click.option(
    "--config", "path", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML with [[source]] tables.",
)  # fmt: skip
@connection_options
@click.option("--metrics-listen", help="HOST:PORT for Prometheus metrics.")
@click.option("--direct", is_flag=True, help="Send everything to the node of --url, as it comes.")
@click.option(
    "--stop-on-eof", is_flag=True,
    help="Stop when standard input ends: with the process that started this one.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Statistics and summary as JSON lines.")
@click.pass_context
def run(
    context: click.Context,
    /,
    path: Path,
    metrics_listen: str | None,
    as_json: bool,
    direct: bool,
    stop_on_eof: bool,
    **connection: Any,
) -> None:  # fmt: skip
    """Store what the sources of a file bring, until they end or SIGTERM comes.

    A message is acknowledged to its source when its records are durable; what cannot be stored
    goes to the dead letters with the reason. Nodes and brokers that are away are waited for, from
    the start as well as later; so is a topic or user that does not exist: the source says why it
    waits, tries again 1 s to 15 s later, and the others go on. Flags win over the file. Exits with
    2 for settings that cannot be right, with 4 when there were dead letters.

    \b
    Examples:
      zring ingest run --config ingest.toml
      zring ingest run --config ingest.toml --metrics-listen 127.0.0.1:9101 --json
    """
    try:
        settings = read_ingest_settings(path)
    except IngestError as error:
        raise failed(error) from None
    settings = IngestSettings(
        settings.sources, settings.connection, metrics_listen or settings.metrics_listen
    )
    with connect(**over_settings(context, settings, connection), direct=direct) as client:
        context.exit(
            run_sources(settings, client, as_json=as_json, try_again=True, stop_on_eof=stop_on_eof)
        )


def over_settings(
    context: click.Context, settings: IngestSettings, given: dict[str, Any]
) -> dict[str, Any]:
    """The connection of a file, where no flag or variable says otherwise."""
    connection = take_connection(given)
    for name, value in settings.connection.items():
        if context.get_parameter_source(name) is click.core.ParameterSource.DEFAULT:
            connection[name] = value
    return connection
