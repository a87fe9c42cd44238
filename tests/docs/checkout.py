"""The commands of this checkout, whatever version of the project is installed."""

import tomllib
from importlib.metadata import EntryPoint

import click

from node.cli.main import ENTRY_POINTS, OWN_COMMANDS, main
from tests.docs.markdown import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OUTSIDE: dict[str, str] = PROJECT["entry-points"][ENTRY_POINTS]


def find_command(name: str) -> click.Command | None:
    """A command of `zring` by its name."""
    if name in OWN_COMMANDS or name not in OUTSIDE:
        return main.get_command(click.Context(main), name)
    command: click.Command = EntryPoint(name, OUTSIDE[name], ENTRY_POINTS).load()
    return command
