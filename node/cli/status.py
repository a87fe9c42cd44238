"""`zring status`: how the cluster is."""

import time
from typing import Any

import click
import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from node.cli.exit_codes import PARTIAL
from node.cli.options import connect, connection_options
from node.cli.repair import area_text
from node.cli.tables import bytes_text
from node.cli.tasks import tasks_table
from node.client import Client

REFRESH_S = 2.0
STATE_STYLES = {"alive": "green", "suspect": "yellow", "away": "red"}


@click.command()
@connection_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--watch", is_flag=True, help="Refresh every 2 seconds until Ctrl-C.")
@click.pass_context
def status(context: click.Context, /, as_json: bool, watch: bool, **connection: Any) -> None:
    """Show nodes, collections and how complete answers are now.

    Exits with 4 while a member is away, so that scripts can wait for a whole cluster.

    \b
    Examples:
      zring status
      zring status --watch
      zring status --json --url http://127.0.0.1:7071 | jq .nodes
    """
    with connect(**connection) as client:
        if watch and not as_json:
            _watch(client)
            return
        document = client.status()
    if as_json:
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    else:
        Console().print(status_view(document))
    if any(node["state"] == "away" for node in document["nodes"]):
        context.exit(PARTIAL)


def _watch(client: Client) -> None:
    with Live(status_view(client.status()), auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH_S)
            live.update(status_view(client.status()), refresh=True)


def status_view(document: dict[str, Any]) -> Group:
    """The status as it stands in a terminal."""
    head = Text(f"{document['node']}  {document['state']}  ring {document['ring_digest']}")
    coverage = document.get("coverage") or {}
    if coverage.get("state"):
        head.append(f"  answers are {coverage['state']}")
    parts: list[Text | Table | str] = [head, *_coverage_lines(coverage), "", _nodes(document)]
    if document.get("tasks"):
        parts += ["", tasks_table(document["tasks"])]
    parts += [Text(f"{node} {why}") for node, why in (document.get("silent") or {}).items()]
    parts += ["", _collections(document)]
    if document.get("sources"):
        parts += ["", _sources(document["sources"])]
    for one in document.get("set_aside") or ():
        words = f"set aside {one['since']}: {one['folder']}, {bytes_text(one['bytes'])}"
        parts.append(Text(f"damaged store {words}", style="yellow"))
    refusals = document.get("refusals") or {}
    if refusals:
        lines = [f"{who}  {why}" for who, why in refusals.items()]
        parts += ["", Text("\n".join(["refusals", *lines]), style="yellow")]
    return Group(*parts)


def _coverage_lines(coverage: dict[str, Any]) -> list[Text]:
    """Who is alone since when, what replicas answer for as of when, what nobody answers for."""
    lines: list[Text] = []
    if coverage.get("alone_since"):
        lines.append(Text(f"alone since {coverage['alone_since']}", style="red"))
    for owner, shape in (coverage.get("replicas") or {}).items():
        as_of = (coverage.get("replicas_as_of") or {}).get(owner)
        known = f"as of {as_of}" if as_of else "nobody knows as of when"
        words = f"replicas answer for {owner}, {known}: {area_text(shape)}"
        lines.append(Text(words, style="yellow"))
    for name, words in (
        ("settling", "records are still being handed over"),
        ("missing", "nobody in contact can answer for all"),
    ):
        if coverage.get(name):
            lines.append(Text(f"{words}: {area_text(coverage[name])}", style="yellow"))
    return lines


def _nodes(document: dict[str, Any]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("node")
    table.add_column("state")
    table.add_column("since")
    table.add_column("incarnation", justify="right")
    table.add_column("records", justify="right")
    table.add_column("url")
    for node in document["nodes"]:
        state = Text(node["state"], style=STATE_STYLES.get(node["state"], ""))
        if node.get("link_cut"):
            state.append(" (link cut)", style="yellow")
        records = node.get("records")
        table.add_row(
            node["id"],
            state,
            str(node.get("since") or ""),
            str(node.get("incarnation", "")),
            "" if records is None else f"{records:,}",
            node.get("url") or "",
        )
    return table


def _sources(sources: dict[str, Any]) -> Text:
    """The process that brings records in for the node that was asked."""
    text = Text(f"sources {', '.join(sources['names'])}  {sources['state']} since ")
    text.append(str(sources["since"]))
    if sources["restarts"]:
        text.append(f"  started again {sources['restarts']} times", style="yellow")
        text.append(f", ended with {sources['exit_code']}", style="yellow")
    return text


def _collections(document: dict[str, Any]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("collection")
    table.add_column("records", justify="right")
    table.add_column("values")
    for name, about in sorted(document["collections"].items()):
        values = about.get("value_types") or about.get("values") or {}
        table.add_row(name, f"{about.get('records', 0):,}", ", ".join(values))
    return table
