"""`zring token`: client tokens in the file of a node."""

from pathlib import Path

import click

from node.config import ROLES
from node.tokens import TokenEntry, digest_of, make_token, read_tokens, write_tokens

FILE = "zring-tokens.toml"
file_option = click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), default=FILE, show_default=True,
    envvar="ZRING_SECURITY_TOKEN_FILE", help="The node's security.token_file.",
)  # fmt: skip


@click.group()
def token() -> None:
    """Make, list and remove the tokens of clients.

    The file keeps names, roles and digests, never the tokens: a lost one is replaced, not looked
    up. A running node reads the file again on SIGHUP.
    """


@token.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(ROLES), required=True,
    help="read: questions; write: also storing; admin: everything.",
)  # fmt: skip
@file_option
def make(name: str, role: str, file: Path) -> None:
    """Make a token for NAME and print it, this once.

    \b
    Examples:
      zring token make dashboard --role read
      zring token make operator --role admin --file /etc/zring/tokens.toml
    """
    entries = read_tokens(file) if file.exists() else ()
    if any(entry.name == name for entry in entries):
        raise click.UsageError(f"{name} has a token in {file}; remove it first, or take another")
    fresh = make_token()
    made = TokenEntry(name, role, digest_of(fresh))  # type: ignore[arg-type]
    _write(file, (*entries, made))
    click.echo(fresh)
    click.echo(
        f"{file} has it as a digest; give it to {name} now, it is not shown again. A running node "
        "takes it on SIGHUP",
        err=True,
    )


@token.command("list")
@file_option
def list_tokens(file: Path) -> None:
    """Show names and roles."""
    for entry in read_tokens(file):
        click.echo(f"{entry.role:<6} {entry.name}")


@token.command()
@click.argument("name")
@file_option
def remove(name: str, file: Path) -> None:
    """Take the token of NAME out of the file."""
    entries = read_tokens(file)
    kept = [entry for entry in entries if entry.name != name]
    if len(kept) == len(entries):
        raise click.UsageError(f"{file} has no token of {name}; see zring token list")
    _write(file, kept)
    click.echo(f"{file} is without {name}; a running node notices on SIGHUP", err=True)


def _write(file: Path, entries: tuple[TokenEntry, ...] | list[TokenEntry]) -> None:
    try:
        write_tokens(file, entries)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None
