"""`zring repair`: have every member compare, and accept what is lost for good."""

from collections.abc import Sequence
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from node.cli.exit_codes import PARTIAL
from node.cli.options import bbox_option, connect, connection_options
from node.client import Client


@click.command()
@bbox_option
@click.option("--from", "from_", help="Only days from this time on (RFC 3339 with zone).")
@click.option("--to", help="Only days before this time (RFC 3339 with zone).")
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Give up what no node in contact has for certain; asks before it does.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON; does not ask.")
@connection_options
@click.pass_context
def repair(
    context: click.Context,
    /,
    bbox: Sequence[float] | None,
    from_: str | None,
    to: str | None,
    accept_loss: bool,
    yes: bool,
    as_json: bool,
    **connection: Any,
) -> None:
    """Have every node compare its records with the other holders, and send what is lacking.

    Nodes do this by themselves after every failure that they notice; this is for what nobody
    noticed. With --accept-loss, areas that no filled node in contact can answer for count as
    whole with what is left of them.

    Exits with 4 when a member could not be told.

    \b
    Examples:
      zring repair && zring wait
      zring repair --bbox 135.1,33.1,135.4,33.4 --from 2026-01-01T00:00:00Z
      zring repair --accept-loss
    """
    with connect(**connection) as client:
        if accept_loss and not yes and not as_json:
            _ask(client, bbox)
        answer = client.operations.repair(bbox=bbox, from_=from_, to=to, accept_loss=accept_loss)
    if as_json:
        click.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2))
    else:
        click.echo(f"{', '.join(answer['told'])} compare now; wait for them with zring wait")
        for node, shape in answer["accepted"].items():
            click.echo(f"{node} counts as filled for {len(shape['coordinates'])} cells more")
        for node, why in answer["silent"].items():
            click.echo(f"{node} {why}: it was not told")
    if answer["silent"]:
        context.exit(PARTIAL)


def _ask(client: Client, bbox: Sequence[float] | None) -> None:
    """Show what would be given up; goes on only when the person says so."""
    loss = client.operations.repair(bbox=bbox, dry_run=True)["loss"]
    if not loss["area"]["coordinates"]:
        click.echo("nothing is missing: every area has a filled node in contact")
        return
    Console().print(_losses(loss))
    click.confirm(
        "What only these nodes had is given up; what they still have comes back when they do. "
        "Answers for these areas will no longer be partial. Accept the loss?",
        abort=True,
    )


def _losses(loss: dict[str, Any]) -> Table:
    table = Table(title="missing now", title_justify="left", box=None, header_style="bold")
    for name in ("node", "state", "area"):
        table.add_column(name)
    for lost in loss["nodes"]:
        state = "in contact, not filled" if lost["in_contact"] else f"away since {lost['since']}"
        table.add_row(lost["node"], state, area_text(lost["area"]))
    return table


def area_text(shape: dict[str, Any]) -> str:
    """The box around a shape, and how many cells it has; "" for none."""
    points = [point for (ring,) in shape["coordinates"] for point in ring]
    if not points:
        return ""
    lons, lats = [lon for lon, _ in points], [lat for _, lat in points]
    cells = len(shape["coordinates"])
    box = f"{min(lons):g},{min(lats):g} – {max(lons):g},{max(lats):g}"
    return box if cells == 1 else f"{cells} cells within {box}"
