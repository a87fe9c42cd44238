"""`zring commit`, `abort`, `join`, `leave`, `rebalance`: changes that begin now."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from node.cli.options import bbox_option, connect, connection_options, take_connection
from node.cli.plan import PLAN_FILE, join_options, plan_view, without_defaults
from node.errors import BadRequest


def change_options(command: Any) -> Any:
    """`--json`, `--force` and the connection options."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="The answer as JSON."),
        click.option("--force", is_flag=True, help="In spite of the objections that are listed."),
    ):
        command = option(command)
    return connection_options(command)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                default=PLAN_FILE)  # fmt: skip
@change_options
def commit(file: Path, *, as_json: bool, force: bool, **connection: Any) -> None:
    """Commit a plan: data begins to move, and the owners hand over when it has arrived.

    Watch it with `zring tasks`, wait for it with `zring wait`, stop it with `zring abort`.

    \b
    Examples:
      zring plan rebalance && zring commit
      zring commit assign.json --json
    """
    try:
        plan = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError:
        raise BadRequest(f"{file} is no plan; make one with zring plan", field="plan") from None
    with connect(**connection) as client:
        _report(client.operations.commit(plan, force=force), as_json=as_json)


@click.command()
@bbox_option
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")
@connection_options
def abort(bbox: Sequence[float] | None, *, as_json: bool, **connection: Any) -> None:
    """Stop the moves that were not handed over yet; what has arrived is handed back.

    \b
    Examples:
      zring abort
      zring abort --bbox 135.1,33.1,135.4,33.4
    """
    with connect(**connection) as client:
        _report(client.operations.abort(bbox), as_json=as_json)


@click.command()
@click.argument("node")
@join_options
@change_options
def join(node: str, **options: Any) -> None:
    """Plan and commit that a node gets an area of its own (start it first).

    \b
    Examples:
      zring join n5 --lon 135.8 --lat 33.9
      zring join hub --archive
    """
    _at_once("join", node=node, **options)


@click.command()
@click.argument("node")
@change_options
def leave(node: str, **options: Any) -> None:
    """Plan and commit that a node hands its area to its neighbours and goes.

    \b
    Example:
      zring leave n3 && zring wait
    """
    _at_once("leave", node=node, **options)


@click.command()
@change_options
def rebalance(**options: Any) -> None:
    """Plan and commit areas in which no node has more than 1.25 times the mean.

    \b
    Example:
      zring rebalance && zring wait
    """
    _at_once("rebalance", **options)


def _at_once(kind: str, *, as_json: bool, force: bool, **details: Any) -> None:
    with connect(**take_connection(details)) as client:
        plan = client.operations.plan(kind, **without_defaults(details))
        if not as_json:
            Console().print(plan_view(plan))
        _report(client.operations.commit(plan, force=force), as_json=as_json)


def _report(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2))
        return
    click.echo(
        f"ring {answer['ring_digest']} of epoch {answer['epoch']} is in force; "
        f"{answer['spans_waiting']} spans wait for their new owner (zring tasks)"
    )
