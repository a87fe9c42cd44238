"""`zring ring`: who owns what."""

from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from node.cli.exit_codes import FAILURE
from node.cli.map_drawing import area_shares, draw_ring
from node.cli.options import connect, connection_options
from node.cli.ring_difference import difference_view, ring_difference


@click.command()
@connection_options
@click.option("--json", "as_json", is_flag=True, help="The whole ring as JSON.")
@click.option("--map", "as_map", is_flag=True, help="A map in the terminal.")
@click.option("--diff", "other_url", metavar="URL", help="Where the node at URL sees it otherwise.")
@click.pass_context
def ring(
    context: click.Context,
    /,
    as_json: bool,
    as_map: bool,
    other_url: str | None,
    **connection: Any,
) -> None:
    """Show which node owns which part of the map.

    With --diff it exits with 1 when the two nodes' rings differ.

    \b
    Examples:
      zring ring
      zring ring --map
      zring ring --json | jq .digest
      zring ring --diff http://127.0.0.1:7071
    """
    with connect(**connection) as client:
        document = client.ring()
        other = None if other_url is None else client.beside(other_url).ring()
    if other is not None:
        _show_difference(context, document, other, as_json=as_json)
        return
    if as_json:
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    console = Console()
    if as_map:
        coloured = console.color_system is not None
        console.print(draw_ring(document, columns=min(64, console.width), coloured=coloured))
        return
    console.print(_table(document))


def _show_difference(
    context: click.Context, here: dict[str, Any], there: dict[str, Any], *, as_json: bool
) -> None:
    found = ring_difference(here, there)
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    elif found:
        Console().print(difference_view(found, here=here["digest"], there=there["digest"]))
    else:
        click.echo(f"both have ring {here['digest']}")
    if found:
        context.exit(FAILURE)


def _table(document: dict[str, Any]) -> Table:
    table = Table(
        title=f"{document['cluster']}  ring {document['digest']}",
        title_justify="left",
        box=None,
        header_style="bold",
    )
    for name, justify in (
        ("node", "left"), ("state", "left"), ("area", "right"), ("spans", "right"),
        ("epoch", "right"), ("url", "left"), ("peer", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    shares = area_shares(document)
    for node in document["nodes"]:
        own = [span for span in document["spans"] if span["owner"] == node["id"]]
        table.add_row(
            node["id"],
            node["state"],
            f"{shares.get(node['id'], 0.0):.1%}",
            str(len(own)),
            str(max((span["epoch"] for span in own), default=0)),
            node.get("url") or "",
            node.get("peer") or "",
        )
    return table
