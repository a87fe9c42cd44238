"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from node.client import Client

Command = TypeVar("Command", bound=Callable[..., Any])
TIMEOUT_S = 30.0
DEFAULT_URL = "http://127.0.0.1:7070"


def connection_options(command: Command) -> Command:
    """`--url`, `--token`, `--tls-…`, `--timeout`: which cluster a command talks to, and as whom."""
    option = click.option(
        "--timeout", "timeout_s", type=click.FloatRange(min=0.001), default=TIMEOUT_S,
        show_default=True, help="Seconds to wait for an answer.",
    )  # fmt: skip
    return address_options(option(command))


def address_options(command: Command) -> Command:
    """The same without `--timeout`, for commands in which that says how long to wait in all."""
    for option in (
        click.option("--tls-key", envvar="ZRING_TLS_KEY", help="Its private key (PEM)."),
        click.option(
            "--tls-cert", envvar="ZRING_TLS_CERT", help="Own certificate, where one is asked for."
        ),
        click.option("--tls-ca", envvar="ZRING_TLS_CA", help="File of certificates to trust."),
        click.option("--token", envvar="ZRING_TOKEN", help="Token, where one is asked for."),
        click.option(
            "--url", envvar="ZRING_URL", default=DEFAULT_URL, show_default=True,
            help="Address of any node.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def selection_options(command: Command) -> Command:
    """An area, a time, sensors, a filter, and which values to return."""
    for option in (
        click.option("--metadata", is_flag=True, help="With @ingested, @source and so on."),
        click.option("--columns", help="Value names to return: temp,rain_1h."),
        click.option("--filter", "filter_text", help="CQL2 text over values: \"temp > 30\"."),
        click.option("--sensor", "sensors", multiple=True, help="Sensor name; may be repeated."),
        click.option("--to", help="Times before this one (RFC 3339 with zone)."),
        click.option("--from", "from_", help="Times from this one on (RFC 3339 with zone)."),
        click.option("--datetime", "datetime_text", help="Instant or interval a/b, ends included."),
    ):  # fmt: skip
        command = option(command)
    return bbox_option(command)


def bbox_option(command: Command) -> Command:
    """`--bbox`: an area."""
    option = click.option("--bbox", callback=_read_bbox, help="west,south,east,north in degrees.")
    return option(command)


def selection(
    *,
    bbox: tuple[float, ...] | None,
    datetime_text: str | None,
    from_: str | None,
    to: str | None,
    sensors: tuple[str, ...],
    filter_text: str | None,
    columns: str | None,
    metadata: bool,
) -> dict[str, Any]:
    """The selection options as arguments of the client."""
    return {
        "bbox": bbox,
        "datetime": datetime_text,
        "from_": from_,
        "to": to,
        "sensors": sensors or None,
        "filter": filter_text,
        "columns": columns.split(",") if columns else None,
        "metadata": metadata,
    }


def connect(
    *,
    url: str,
    token: str | None,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    timeout_s: float,
    direct: bool = False,
) -> Client:
    """A client as the connection options say; `direct` asks that one node for everything."""
    return Client(
        url, token=token, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key, timeout_s=timeout_s,
        direct=direct,
    )  # fmt: skip


def take_connection(given: dict[str, Any]) -> dict[str, Any]:
    """The connection options out of all that a command was given, which is left without them."""
    names = ("url", "token", "tls_ca", "tls_cert", "tls_key", "timeout_s")
    return {name: given.pop(name) for name in names}


def _read_bbox(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        edges = tuple(float(part) for part in text.split(","))
    except ValueError:
        edges = ()
    if len(edges) not in (4, 6):
        raise click.BadParameter(f"{text!r} is no box; write west,south,east,north in degrees")
    return edges
