"""`zring`: the one command; finds its subcommands here and in the upper layers."""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from node.cli.exit_codes import INTERRUPTED, MEANINGS, exit_code_of
from node.errors import NodeError
from zring import __version__
from zring.errors import ZringError

OWN_COMMANDS = {
    "abort": "node.cli.changes:abort",
    "audit": "node.cli.audit:audit",
    "certs": "node.cli.certs:certs",
    "commit": "node.cli.changes:commit",
    "doctor": "node.cli.doctor:doctor",
    "follow": "node.cli.follow:follow",
    "forget": "node.cli.forget:forget",
    "init": "node.cli.init:init",
    "join": "node.cli.changes:join",
    "latest": "node.cli.latest:latest",
    "leave": "node.cli.changes:leave",
    "plan": "node.cli.plan:plan",
    "query": "node.cli.query:query",
    "rebalance": "node.cli.changes:rebalance",
    "repair": "node.cli.repair:repair",
    "ring": "node.cli.ring:ring",
    "serve": "node.cli.serve:serve",
    "status": "node.cli.status:status",
    "tasks": "node.cli.tasks:tasks",
    "token": "node.cli.token:token",
    "version": "node.cli.main:version",
    "wait": "node.cli.tasks:wait",
}
"""Name → where it is; imported only when used, so that `zring query` starts no server parts."""
ENTRY_POINTS = "zring.commands"


class CommandFailed(click.ClickException):
    """Raised in place of an expected error; shown as one line."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(" ".join(message.split()))
        # click reads the instance; its annotation as a class variable is an oversight.
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        click.echo(f"zring: {self.message}", err=True, file=file)


class Commands(click.Group):
    """The group whose commands are looked up by name, here and through entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*OWN_COMMANDS, *_found_outside()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = OWN_COMMANDS.get(cmd_name)
        if place is not None:
            module, _, attribute = place.partition(":")
            return getattr(import_module(module), attribute)
        outside = _found_outside().get(cmd_name)
        if outside is None:
            return None
        try:
            return outside.load()
        except ImportError as error:
            raise CommandFailed(
                f"the command {cmd_name} needs what is not installed: {error}", exit_code=1
            ) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (NodeError, ZringError) as error:
            raise CommandFailed(str(error), exit_code=exit_code_of(error)) from None
        except KeyboardInterrupt:
            click.echo(err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


def _found_outside() -> dict[str, EntryPoint]:
    return {found.name: found for found in entry_points(group=ENTRY_POINTS)}


EPILOG = "\b\nExit codes:\n" + "\n".join(
    f"  {code:<4}{meaning}" for code, meaning in MEANINGS.items()
)


@click.command(
    cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
def main() -> None:
    """Store sensor records by place, on peers that stand where the sensors are."""


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"zring {__version__}")
