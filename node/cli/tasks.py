"""`zring tasks` and `zring wait`: what is under way, and waiting until nothing is."""

import time
from typing import Any

import click
import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from node.cli.exit_codes import PARTIAL
from node.cli.options import (
    TIMEOUT_S,
    address_options,
    connect,
    connection_options,
    take_connection,
)
from node.cli.tables import bytes_text, duration_text
from node.client import Client
from node.errors import PeerUnreachable, Unavailable

POLL_S = 0.5
LOOKS = 2
"""Looks in a row that must find nothing: the nodes are asked one after the other, and what moves
between two of them could be missed by both answers once, but not twice."""
TASKS_SHOWN_MAX = 40


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, with areas as GeoJSON.")
@connection_options
@click.pass_context
def tasks(context: click.Context, /, as_json: bool, **connection: Any) -> None:
    """Show what is under way in the cluster: moves, hand-overs, areas that are being filled.

    Exits with 0 when nothing is, with 4 while something is or a member does not tell.

    \b
    Examples:
      zring tasks
      zring tasks --json | jq '.tasks[] | {kind, node, target, records_left}'
    """
    with connect(**connection) as client:
        document = client.operations.tasks()
    if as_json:
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    else:
        Console().print(tasks_view(document))
    if document["tasks"] or document["silent"]:
        context.exit(PARTIAL)


@click.command()
@click.option(
    "--timeout", "wait_s", type=click.FloatRange(min=0.0),
    help="Seconds to wait in all; default: as long as it takes.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The last look as JSON.")
@address_options
@click.pass_context
def wait(context: click.Context, /, wait_s: float | None, as_json: bool, **connection: Any) -> None:
    """Wait until nothing is under way and every answer would be complete.

    Exits with 0 then, with 4 when time was up before, with 3 when the node gave no answer then.

    \b
    Examples:
      zring leave n3 && zring wait
      zring wait --timeout 600 --json
    """
    given = {**connection, "timeout_s": TIMEOUT_S}
    deadline_s = None if wait_s is None else time.monotonic() + wait_s
    with connect(**take_connection(given)) as client:
        document = _wait(client, deadline_s=deadline_s, quiet=as_json)
    if as_json:
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    elif document["settled"]:
        click.echo("nothing is under way; answers are complete")
    else:
        Console().print(tasks_view(document))
    if not document["settled"]:
        context.exit(PARTIAL)


def _wait(client: Client, *, deadline_s: float | None, quiet: bool) -> dict[str, Any]:
    """The last look: one that is settled, or the one after which time was up."""
    calm = 0
    console = Console(stderr=True, quiet=quiet)
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while True:
            late = deadline_s is not None and time.monotonic() >= deadline_s
            try:
                document = client.operations.tasks()
            except (PeerUnreachable, Unavailable) as error:
                # The node may be starting again; others go on without it.
                if late:
                    raise
                calm = 0
                live.update(Text(str(error), style="yellow"), refresh=True)
            else:
                calm = calm + 1 if document["settled"] else 0
                if calm == LOOKS or late:
                    return document
                live.update(Text(progress_line(document)), refresh=True)
            time.sleep(POLL_S)


def progress_line(document: dict[str, Any]) -> str:
    """What is left, in one line."""
    found = document["tasks"]
    left = sum(task["records_left"] for task in found if task["kind"] == "hand-over")
    rate = sum(task["bytes_per_s"] for task in found if task["kind"] == "hand-over")
    parts = [f"{len(found)} under way" if found else "nothing under way"]
    if left:
        parts.append(f"{left:,} records left at {bytes_text(rate)}/s")
    if found:
        parts.append(task_words(found[0]))
    parts += [f"{node} {why}" for node, why in document["silent"].items()]
    if document["state"] != "complete":
        parts.append(f"answers are {document['state']}")
    return "; ".join(parts)


def task_words(task: dict[str, Any]) -> str:
    """Who does what for whom, and what it waits for."""
    whom = f" → {task['target']}" if task["target"] else ""
    words = f"{task['kind']} {task['node']}{whom}: {task['phase']}"
    return f"{words} ({task['reason']})" if task["reason"] else words


def tasks_view(document: dict[str, Any]) -> Group:
    """Tasks as they stand in a terminal."""
    parts: list[Text | Table] = []
    if document["tasks"]:
        parts.append(tasks_table(document["tasks"]))
    else:
        parts.append(Text("nothing is under way"))
    parts += [Text(f"{node} {why}", style="yellow") for node, why in document["silent"].items()]
    parts.append(Text(f"answers are {document['state']}"))
    return Group(*parts)


def tasks_table(tasks: list[dict[str, Any]]) -> Table:
    """One line for each task, the first TASKS_SHOWN_MAX of them."""
    table = Table(box=None, header_style="bold")
    for name in ("task", "node", "for", "phase"):
        table.add_column(name, no_wrap=True)
    for name in ("records left", "rate", "time left"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("waits for")
    for task in tasks[:TASKS_SHOWN_MAX]:
        table.add_row(
            task["kind"],
            task["node"],
            task["target"] or "",
            task["phase"],
            f"{task['records_left']:,}" if task["records_left"] else "",
            f"{bytes_text(task['bytes_per_s'])}/s" if task["bytes_per_s"] else "",
            "" if task["eta_s"] is None else duration_text(task["eta_s"]),
            task["reason"],
        )
    if len(tasks) > TASKS_SHOWN_MAX:
        table.add_row(f"and {len(tasks) - TASKS_SHOWN_MAX} more")
    return table
