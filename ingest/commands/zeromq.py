"""`zring ingest zeromq`: store what ZeroMQ sockets bring."""

from typing import Any

import click

from ingest.commands.kind_options import kind_options, take_kind
from ingest.commands.options import stream_options, take_stream
from ingest.commands.service import failed, run_sources
from ingest.errors import IngestError
from ingest.sources.zeromq_settings import ZeromqSettings
from node.cli.options import connect, take_connection

FLAGS = {
    "pattern": "--pattern",
    "bind": "--bind",
    "connect": "--connect",
    "topics": "--topic",
    "waiting_max": "--waiting-max",
    "insecure": "--insecure",
}


@click.command()
@stream_options
@kind_options(ZeromqSettings, FLAGS)
@click.pass_context
def zeromq(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """Store what ZeroMQ sockets bring, until SIGTERM.

    PULL and SUB know no acknowledgements: what this process holds in memory is lost when it is
    killed. With --pattern router every message is answered when its records are durable. Exits
    with 4 when there were dead letters.

    \b
    Examples:
      zring ingest zeromq --bind tcp://127.0.0.1:5556 --collection field
      zring ingest zeromq --pattern sub --connect tcp://station:5555 --topic tokyo/ \\
        --collection field
      zring ingest zeromq --pattern router --bind tcp://127.0.0.1:5557 --collection field
    """
    try:
        source = take_kind(ZeromqSettings, options, FLAGS)
        settings = take_stream(options, "zeromq", source)
    except IngestError as error:
        raise failed(error) from None
    with connect(**take_connection(options)) as client:
        context.exit(run_sources(settings, client, as_json=as_json))
