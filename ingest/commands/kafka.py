"""`zring ingest kafka`: one or several topics to a collection."""

from pathlib import Path
from typing import Any

import click

from ingest.commands.options import stream_options, take_stream
from ingest.commands.service import failed, run_sources
from ingest.errors import IngestError
from ingest.formats.column_mapping import parse_pairs
from ingest.sources.kafka_settings import CLIENTS, OFFSET_RESETS, KafkaSettings
from node.cli.options import connect, take_connection

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--brokers", required=True, help="HOST:PORT, several with commas.")
@click.option("--topic", "topics", multiple=True, required=True, help="May be repeated.")
@click.option("--group", default="zring", show_default=True,
              help="Processes of one group share the topic.")  # fmt: skip
@click.option("--client", default="confluent", show_default=True, type=click.Choice(CLIENTS),
              help="confluent: any broker; pykafka: up to 3.9.")  # fmt: skip
@click.option("--offset-reset", default="earliest", show_default=True,
              type=click.Choice(OFFSET_RESETS), help="Where a new group begins.")  # fmt: skip
@click.option("--kafka-tls", is_flag=True, help="Encrypt the connection to the brokers.")
@click.option("--kafka-ca", type=_FILE, help="Authorities (PEM) of the brokers; turns TLS on.")
@click.option("--kafka-cert", type=_FILE, help="Own certificate (PEM) for the brokers.")
@click.option("--kafka-key", type=_FILE, help="Its private key (PEM).")
@click.option("--sasl-mechanism", default="", help="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512.")
@click.option("--sasl-user", default="", help="User at the brokers.")
@click.option("--sasl-password-file", type=_FILE, help="File with the password.")
@click.option("--option", "options", multiple=True, help="NAME=VALUE for the client.")
@stream_options
@click.pass_context
def kafka(context: click.Context, /, as_json: bool, **given: Any) -> None:
    """Store what the messages of topics hold, each record once, until SIGTERM comes.

    Offsets are committed when the nodes have the records on disk. Messages that cannot be stored
    go to the dead letters and stop nothing. Several processes with one group share the Kafka
    partitions and take over from each other. Exits with 4 when there were dead letters.

    \b
    Examples:
      zring ingest kafka --brokers 127.0.0.1:9092 --topic weather --collection amedas
      zring ingest kafka --brokers b1:9092,b2:9092 --topic river --collection river \\
          --format msgpack --dead-letters topic:river-dead --client pykafka
    """
    try:
        settings = take_stream(given, "kafka", _take_kafka(given))
    except IngestError as error:
        raise failed(error) from None
    with connect(**take_connection(given)) as client:
        context.exit(run_sources(settings, client, as_json=as_json))


def _take_kafka(given: dict[str, Any]) -> KafkaSettings:
    """Kafka's own options out of all that the command was given.

    Raises:
        IngestError: a setting that is wrong.
    """
    authority = given.pop("kafka_ca")
    encrypted = given.pop("kafka_tls")
    return KafkaSettings(
        brokers=(given.pop("brokers"),),
        topics=given.pop("topics"),
        group=given.pop("group"),
        client=given.pop("client"),
        offset_reset=given.pop("offset_reset"),
        tls=encrypted or authority is not None,
        tls_ca=authority,
        tls_cert=given.pop("kafka_cert"),
        tls_key=given.pop("kafka_key"),
        sasl_mechanism=given.pop("sasl_mechanism"),
        sasl_user=given.pop("sasl_user"),
        sasl_password_file=given.pop("sasl_password_file"),
        options=parse_pairs("--option", given.pop("options")),
    )
