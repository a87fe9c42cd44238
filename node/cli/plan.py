"""`zring plan`: what a change of the cluster would move, before anything moves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table

from node.cli.options import bbox_option, connect, connection_options, take_connection
from node.cli.tables import bytes_text, duration_text

Command = TypeVar("Command", bound=Callable[..., Any])
PLAN_FILE = "zring-plan.json"
RATE_WORDS = {
    "measured": "as measured lately",
    "limit": "the limit of a link",
    "default": "assumed",
}
POLICIES = ("place", "halve", "balance")


@click.group()
def plan() -> None:
    """Plan a change: who would own what, what would be carried, what is at risk.

    Nothing moves before `zring commit`. The plan is written to a file, which `zring commit`
    reads; a plan made on a ring that has changed since is refused.

    \b
    Examples:
      zring plan join n5 --lon 135.8 --lat 33.9
      zring plan rebalance --json | jq .imbalance_after
      zring plan assign --bbox 135.1,33.1,135.4,33.4 --to n2 -o assign.json
    """


def plan_options(command: Command) -> Command:
    """`--json`, `--out` and the connection options."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="The plan as JSON."),
        click.option(
            "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), default=PLAN_FILE,
            show_default=True, help="Where the plan is written for zring commit.",
        ),
    ):  # fmt: skip
        command = option(command)
    return connection_options(command)


def join_options(command: Command) -> Command:
    """How a node joins."""
    for option in (
        click.option("--side-grains", type=click.IntRange(min=1),
                     help="Side of the area that it takes, in grains; default: a fair share."),
        click.option("--lat", type=float, help="Where the node stands, degrees."),
        click.option("--lon", type=float, help="Where the node stands, degrees."),
        click.option("--archive", is_flag=True, help="It owns nothing and keeps everything."),
        click.option("--policy", type=click.Choice(POLICIES),
                     help="place: around its position (default with --lon, --lat); halve: half of "
                          "the largest area (default otherwise); balance: all areas cut anew."),
    ):  # fmt: skip
        command = option(command)
    return command


@plan.command("join")
@click.argument("node")
@join_options
@plan_options
def plan_join(node: str, **options: Any) -> None:
    """Plan that a node gets an area of its own, or becomes an archive."""
    _make("join", node=node, **options)


@plan.command("leave")
@click.argument("node")
@plan_options
def plan_leave(node: str, **options: Any) -> None:
    """Plan that a node hands its area to its neighbours and goes."""
    _make("leave", node=node, **options)


@plan.command("remove")
@click.argument("node")
@click.option("--accept-loss", is_flag=True, help="Even where the node has the only copy.")
@plan_options
def plan_remove(node: str, **options: Any) -> None:
    """Plan that a dead node's area goes to its neighbours at once."""
    _make("remove", node=node, **options)


@plan.command("rebalance")
@plan_options
def plan_rebalance(**options: Any) -> None:
    """Plan areas in which no node has more than 1.25 times the mean."""
    _make("rebalance", **options)


@plan.command("assign")
@bbox_option
@click.option("--to", "node", required=True, help="The node that gets the area.")
@plan_options
def plan_assign(**options: Any) -> None:
    """Plan that an area goes to a node."""
    _make("assign", **options)


@plan.command("settings")
@click.option("--replicas", type=click.IntRange(0, 64), help="Copies besides the owner's.")
@click.option("--placement", type=click.Choice(("halo", "edge", "corner", "moore")))
@click.option("--far-copies", type=click.IntRange(0, 64), help="Copies on the farthest nodes.")
@click.option(
    "--keep",
    "keep_days",
    multiple=True,
    metavar="COLLECTION=DAYS",
    callback=lambda _context, _parameter, texts: _read_days(texts),
    help="Days that a collection's records are kept; 0 keeps them for ever.",
)
@plan_options
def plan_settings(**options: Any) -> None:
    """Plan other copies, how many and where, and how long records are kept."""
    _make("settings", **options)


def _read_days(texts: tuple[str, ...]) -> dict[str, int] | None:
    days: dict[str, int] = {}
    for text in texts:
        collection, _, number = text.rpartition("=")
        if not collection or not number.isdecimal():
            raise click.BadParameter(f"{text!r} is not COLLECTION=DAYS, such as amedas=400")
        days[collection] = int(number)
    return days or None


def _make(kind: str, *, as_json: bool, out: Path, **details: Any) -> None:
    with connect(**take_connection(details)) as client:
        document = client.operations.plan(kind, **without_defaults(details))
    out.write_bytes(orjson.dumps(document))
    if as_json:
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    Console().print(plan_view(document))
    click.echo(f"\nNothing has moved. Commit it with: zring commit {out}")


def without_defaults(details: dict[str, Any]) -> dict[str, Any]:
    """Details that were given: flags that are not set and options of None are left out."""
    return {name: value for name, value in details.items() if value not in (None, False)}


def plan_view(document: dict[str, Any]) -> Table:
    """A plan as it stands in a terminal."""
    table = Table(
        title=f"{document['kind']}  on ring {document['ring_digest']}",
        title_justify="left",
        box=None,
        show_header=False,
    )
    table.add_column()
    table.add_column()
    flows: dict[tuple[str, str], int] = {}
    for move in document["moves"]:
        flow = (move["source"], move["target"])
        flows[flow] = flows.get(flow, 0) + int(move["stop"]) - int(move["start"])
    for (source, target), codes in sorted(flows.items()):
        table.add_row(f"{source} → {target}", f"{codes / 2**62:.2%} of the domain")
    if document["settings"] is not None:
        for name, value in document["settings"].items():
            table.add_row(name, str(value))
    table.add_row(
        "to carry", f"{document['records']:,} records, about {bytes_text(document['bytes'])}"
    )
    if "seconds" in document:
        table.add_row(
            "time",
            f"at most {duration_text(document['seconds'])} at "
            f"{bytes_text(document['bytes_per_s'])}/s ({RATE_WORDS[document['rate_is']]})",
        )
    table.add_row(
        "imbalance",
        f"{document['imbalance_before']:.2f} → {document['imbalance_after']:.2f} (fullest / mean)",
    )
    risk = sum(int(stop) - int(start) for start, stop in document["at_risk"]) / 2**62
    table.add_row("at risk", f"{risk:.1%} of the domain has fewer copies" if risk else "nothing")
    return table
