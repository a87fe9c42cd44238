"""`zring ingest mqtt`: store what a broker's topics bring."""

from typing import Any

import click

from ingest.commands.kind_options import kind_options, take_kind
from ingest.commands.options import stream_options, take_stream
from ingest.commands.service import failed, run_sources
from ingest.errors import IngestError
from ingest.sources.mqtt_settings import MqttSettings
from node.cli.options import connect, take_connection

FLAGS = {
    "broker": "--broker",
    "topics": "--topic",
    "client_id": "--client-id",
    "qos": "--qos",
    "user": "--user",
    "password_file": "--password-file",
    "tls_ca": "--broker-tls-ca",
    "tls_cert": "--broker-tls-cert",
    "tls_key": "--broker-tls-key",
    "session_expiry_s": "--session-expiry-s",
    "in_flight_max": "--in-flight-max",
    "keepalive_s": "--keepalive-s",
}
"""The files for TLS have another name than those for the nodes."""


@click.command()
@stream_options
@kind_options(MqttSettings, FLAGS)
@click.pass_context
def mqtt(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """Store what the topics of an MQTT 5 broker bring, until SIGTERM.

    The broker hears of a message (QoS 1) when its records are durable or kept as a dead letter;
    what was not acknowledged comes again, also after this process was killed. Exits with 4 when
    there were dead letters.

    \b
    Examples:
      zring ingest mqtt --broker 127.0.0.1:1883 --topic 'sensors/#' --collection field
      zring ingest mqtt --broker mqtts://broker:8883 --broker-tls-ca ca.crt --user zring \\
        --password-file mqtt.password --topic '$share/zring/sensors/#' --client-id reader-1 \\
        --collection field --map sensor=id,time=ts --time-format epoch-s
    """
    try:
        source = take_kind(MqttSettings, options, FLAGS)
        settings = take_stream(options, "mqtt", source)
    except IngestError as error:
        raise failed(error) from None
    with connect(**take_connection(options)) as client:
        context.exit(run_sources(settings, client, as_json=as_json))
