"""Flags that the commands of all kinds of sources share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ingest.errors import IngestError
from ingest.formats.column_mapping import ColumnMapping
from ingest.messages import FORMATS
from ingest.messages.decoder import MESSAGE_BYTES_MAX
from ingest.stream_settings import DEAD_LETTERS, IngestSettings, StreamSettings
from node.cli.options import connection_options

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def stream_options(command: Command) -> Command:
    """Everything about one source but its kind: where records go and what messages look like."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Statistics and summary as JSON."),
        click.option("--metrics-listen", help="HOST:PORT for Prometheus metrics."),
        click.option(
            "--dead-letters", default=DEAD_LETTERS, show_default=True,
            help="File for messages that cannot be stored; topic:NAME where the kind has topics.",
        ),
        click.option(
            "--w", "level", default="one", show_default=True,
            type=click.Choice(["one", "quorum", "all"]),
            help="Nodes that must have a record on disk before its message is acknowledged.",
        ),
        click.option("--name", help="Of the source, in metadata and metrics; default: its kind."),
        click.option("--collection", required=True, help="Where records go."),
    ):  # fmt: skip
        command = option(command)
    return connection_options(message_options(command))


def message_options(command: Command) -> Command:
    """What messages look like: `--format`, `--map` and the like."""
    for option in (
        click.option(
            "--message-bytes-max", type=click.IntRange(min=1), default=MESSAGE_BYTES_MAX,
            show_default=True, help="Larger messages become dead letters.",
        ),
        click.option("--stations", type=_FILE, help="Table of positions: id, lon, lat, or JMA's."),
        click.option(
            "--mapping", "mapping_file", type=_FILE,
            help="TOML: [map], [constant], [types], time_format, zone, only_mapped.",
        ),
        click.option("--zone", help="Of times without one: Asia/Tokyo, +09:00."),
        click.option("--time-format", help="strptime format, epoch-s, epoch-ms or epoch-us."),
        click.option("--constant", "constants", multiple=True, help="NAME=TEXT for every record."),
        click.option("--map", "pairs", multiple=True, help="sensor=MEMBER,time=MEMBER,NAME=…"),
        click.option(
            "--format", "format_name", default="json", show_default=True,
            type=click.Choice(list(FORMATS)), help="Of the messages.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def take_mapping(given: dict[str, Any]) -> ColumnMapping:
    """The mapping options out of all that a command was given.

    Raises:
        IngestError: a mapping that cannot be read.
    """
    path = given.pop("mapping_file")
    mapping = ColumnMapping()
    if path is not None:
        try:
            mapping = ColumnMapping.from_toml(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise IngestError(f"{path} is not UTF-8") from None
    return mapping.with_flags(
        pairs=given.pop("pairs"),
        constants=given.pop("constants"),
        time_format=given.pop("time_format"),
        zone=given.pop("zone"),
    )


def take_stream(given: dict[str, Any], kind: str, source: Any) -> IngestSettings:
    """The stream options out of all that a command was given, as the settings of a service.

    Args:
        source: the settings of the kind.
    Raises:
        IngestError: a setting that is wrong.
    """
    settings = StreamSettings(
        name=given.pop("name") or kind,
        kind=kind,
        source=source,
        collection=given.pop("collection"),
        format=given.pop("format_name"),
        w=given.pop("level"),
        dead_letters=given.pop("dead_letters"),
        stations=given.pop("stations"),
        message_bytes_max=given.pop("message_bytes_max"),
        mapping=take_mapping(given),
    )
    return IngestSettings((settings,), metrics_listen=given.pop("metrics_listen"))
