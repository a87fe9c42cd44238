"""`zring ingest fluentd`: store what Fluentd and Fluent Bit forward."""

from typing import Any

import click

from ingest.commands.kind_options import kind_options, take_kind
from ingest.commands.options import stream_options, take_stream
from ingest.commands.service import failed, run_sources
from ingest.errors import IngestError
from ingest.sources.fluentd import FluentdSettings
from node.cli.options import connect, take_connection

FLAGS = {
    "listen": "--listen",
    "shared_key_file": "--shared-key-file",
    "users": "--user",
    "server_name": "--server-name",
    "tls_cert": "--listen-tls-cert",
    "tls_key": "--listen-tls-key",
    "insecure": "--insecure",
}
"""The files for TLS have another name than those for the nodes."""


@click.command()
@stream_options
@kind_options(FluentdSettings, FLAGS)
@click.pass_context
def fluentd(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """Listen for the forward protocol and store the events, until SIGTERM.

    A sender that asks for acknowledgements (require_ack_response) hears of a chunk when all its
    records are durable or kept as dead letters. Give --format fluentd for events as they are.
    Exits with 4 when there were dead letters.

    \b
    Examples:
      zring ingest fluentd --format fluentd --collection logs
      zring ingest fluentd --listen 0.0.0.0:24224 --shared-key-file key --format fluentd \\
        --collection logs --map sensor=host
    """
    try:
        source = take_kind(FluentdSettings, options, FLAGS)
        settings = take_stream(options, "fluentd", source)
    except IngestError as error:
        raise failed(error) from None
    with connect(**take_connection(options)) as client:
        context.exit(run_sources(settings, client, as_json=as_json))
