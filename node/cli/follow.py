"""`zring follow`: records as they arrive, one a line."""

import sys
from typing import Any

import click
import orjson

from node.cli.options import bbox_option, connect, connection_options, take_connection


@click.command()
@click.argument("collection")
@bbox_option
@click.option("--sensor", "sensors", multiple=True, help="Sensor name; may be repeated.")
@click.option("--filter", "filter_text", help='CQL2 text over values: "temp > 30".')
@click.option("--columns", help="Value names to print: temp,rain_1h.")
@click.option("--metadata", is_flag=True, help="With @ingested, @source and so on.")
@click.option("--fence", is_flag=True, help="Only sensors that come into --bbox or go out.")
@click.option("--last-event-id", help="Go on after this event.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many records.")
@connection_options
def follow(
    *,
    collection: str,
    bbox: tuple[float, ...] | None,
    sensors: tuple[str, ...],
    filter_text: str | None,
    columns: str | None,
    metadata: bool,
    fence: bool,
    last_event_id: str | None,
    count: int | None,
    **given: Any,
) -> None:
    """Print the records of COLLECTION as they arrive at any node, as NDJSON.

    With --fence each line says with "event" whether the sensor came in or went out. What may be
    missing, and which nodes are away, is said on standard error.

    \b
    Examples:
      zring follow amedas --bbox 135.1,34.1,135.3,34.3
      zring follow buses --bbox 135.15,34.2,135.2,34.25 --fence
      zring follow amedas --filter "temp > 35" --columns temp
    """
    printed = 0
    with connect(**take_connection(given)) as client:
        for event in client.follow(
            collection, bbox=bbox, sensors=sensors or None, filter=filter_text,
            columns=columns.split(",") if columns else None, metadata=metadata, fence=fence,
            last_event_id=last_event_id,
        ):  # fmt: skip
            if event.details:
                click.echo(f"zring: {event.kind}: {orjson.dumps(event.details).decode()}", err=True)
            for record in event.records:
                line = record if event.kind == "records" else {"event": event.kind, **record}
                click.echo(orjson.dumps(line).decode())
                printed += 1
                if printed == count:
                    return
            sys.stdout.flush()
