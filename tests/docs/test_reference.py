"""Every setting, command and flag is in the reference pages."""

from pathlib import Path

import click
import pytest

import node.client
from node.cli.catalogue import catalogue
from node.cli.exit_codes import MEANINGS
from node.cli.main import OWN_COMMANDS
from tests.docs.checkout import OUTSIDE, find_command

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def commands() -> list[tuple[str, click.Command]]:
    found = []
    for name in (*OWN_COMMANDS, *OUTSIDE):
        command = find_command(name)
        assert command is not None, name
        found.append((name, command))
        if isinstance(command, click.Group):
            found.extend((f"{name} {sub}", entry) for sub, entry in command.commands.items())
    return found


def test_every_setting_is_documented_with_its_reason() -> None:
    text = page("configuration.md")
    for setting in catalogue().values():
        assert f"| `{setting.path}` |" in text, setting.path
        assert setting.documentation.replace("|", "/") in text, setting.path


def test_no_setting_is_documented_that_does_not_exist() -> None:
    lines = [line for line in page("configuration.md").splitlines() if line.startswith("| `")]
    named = {line.split("`")[1] for line in lines}
    settings = {name for name in named if "." in name and not name.startswith("ZRING")}
    assert settings == set(catalogue())


def test_every_command_and_flag_is_documented() -> None:
    text = page("cli.md")
    for name, command in commands():
        assert f"## zring {name}\n" in text or f"### zring {name}\n" in text, name
        section = text.split(f"# zring {name}\n", 1)[1].split("\n## ", 1)[0]
        # What all commands of a group take stands once, before the first of them.
        section += text.split(f"\n## zring {name.split()[0]}\n", 1)[1].split("\n### ", 1)[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                flag = max(parameter.opts, key=len)
                shared = text.split("## Options of several commands\n", 1)[1].split("\n## ", 1)[0]
                assert f"`{flag}" in section or f"`{flag}" in shared, f"{name} {flag}"


def test_every_exit_code_is_documented() -> None:
    text = page("cli.md")
    for code, meaning in MEANINGS.items():
        assert f"| {code} | {meaning} |" in text


@pytest.mark.parametrize(
    "name", [name for name in vars(node.client.Client) if not name.startswith("_")]
)
def test_every_method_of_the_client_is_documented(name: str) -> None:
    assert name in page("client.md")
