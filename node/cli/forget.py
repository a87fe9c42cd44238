"""`zring forget`: give up a removed member that died for good."""

from typing import Any

import click
import orjson

from node.cli.options import connect, connection_options
from node.cli.repair import area_text


@click.command()
@click.argument("node")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON; does not ask.")
@connection_options
def forget(node: str, *, yes: bool, as_json: bool, **connection: Any) -> None:
    """Give up a removed member that died for good: nobody asks for it any more.

    Shows what goes with it, and asks. A member that owns an area is removed by a plan first; one
    that comes back after all is a member again, and hands over what it has.

    \b
    Examples:
      zring plan remove n3 && zring commit && zring forget n3
      zring forget n3 --yes --json
    """
    with connect(**connection) as client:
        if not as_json and not yes:
            click.echo(_given_up(client.operations.forget(node, dry_run=True)))
            click.confirm("Give it up?", abort=True)
        answer = client.operations.forget(node)
    if as_json:
        click.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2))
    elif answer["already"]:
        click.echo(f"{node} was forgotten before")
    else:
        click.echo(f"{node} is forgotten; all members hear of it")


def _given_up(answer: dict[str, Any]) -> str:
    node = answer["node"]
    if answer["already"]:
        return f"{node} was forgotten before"
    last = f"{node} was last heard {answer['since']}"
    if not answer["heard"]:
        return f"{last}; since then nobody here knows which records only it may have had"
    if not answer["owed_to"]:
        return f"{last}; it owed no other node a record then"
    return (
        f"{last}; records that it had for {', '.join(answer['owed_to'])} may be on no other node: "
        f"{area_text(answer['area'])}"
    )
