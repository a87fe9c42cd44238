"""`zring deadletter`: look at messages that could not be stored, and try them again."""

from collections import Counter
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from ingest.commands.run import over_settings
from ingest.commands.service import failed
from ingest.deadletters import DeadLetter, keep_letters, read_letters
from ingest.errors import IngestError
from ingest.retrying import retry_letters
from ingest.stream_settings import DEAD_LETTERS, read_ingest_settings
from node.cli.exit_codes import OK, PARTIAL
from node.cli.options import connect, connection_options
from node.errors import NodeError

LETTERS_SHOWN = 20
PAYLOAD_SHOWN = 160
_PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}

_file = click.option(
    "--file", "path", default=DEAD_LETTERS, show_default=True, help="The file of dead letters.",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)  # fmt: skip


@click.group()
def deadletter() -> None:
    """Look at messages that could not be stored, and try them again."""


@deadletter.command("list")
@_file
@click.option("--reason", help="Only letters with this reason.")
@click.option("--source", "source_name", help="Only letters of this source.")
@click.option("--json", "as_json", is_flag=True, help="All of them, one JSON object a line.")
def list_letters(path: Path, reason: str | None, source_name: str | None, as_json: bool) -> None:
    """Show dead letters, newest last, and how many there are by reason.

    \b
    Examples:
      zring deadletter list
      zring deadletter list --file river.dead.ndjson --reason bad-time --json
    """
    try:
        letters = [
            letter
            for letter in read_letters(path)
            if reason in (None, letter.reason) and source_name in (None, letter.source)
        ]
    except IngestError as error:
        raise failed(error) from None
    if as_json:
        for letter in letters:
            click.echo(letter.to_json(), nl=False)
        return
    console = Console()
    for letter in letters[-LETTERS_SHOWN:]:
        place = f"{letter.source} {letter.stream} {letter.sequence}"
        console.print(f"{place}: {letter.reason}: {letter.detail}", **_PLAIN)
        console.print(f"  {_shown(letter)}", **_PLAIN)
    counts = Counter((letter.source, letter.reason) for letter in letters)
    console.print(f"{len(letters):,} dead letters", highlight=False)
    for (name, why), count in counts.most_common():
        console.print(f"  {name}: {why} {count:,}", markup=False, highlight=False)


@deadletter.command()
@_file
@click.option(
    "--config", "config", required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML with the sources, mended.",
)  # fmt: skip
@click.option("--reason", help="Only letters with this reason.")
@connection_options
@click.option("--json", "as_json", is_flag=True, help="The counts as JSON.")
@click.pass_context
def retry(
    context: click.Context,
    /,
    path: Path,
    config: Path,
    reason: str | None,
    as_json: bool,
    **connection: Any,
) -> None:  # fmt: skip
    """Decode and store dead letters again, with the mapping as it is now.

    What is stored is taken out of the file, what is not stays with its new reason. A record that
    is stored twice is stored once. Exits with 4 when letters are left.

    \b
    Example:
      zring deadletter retry --config ingest.toml --file river.dead.ndjson
    """
    try:
        settings = read_ingest_settings(config)
        size = path.stat().st_size
        letters = list(read_letters(path))
        wanted = [letter for letter in letters if reason in (None, letter.reason)]
        others = [letter for letter in letters if reason not in (None, letter.reason)]
        with connect(**over_settings(context, settings, connection)) as client:
            left = retry_letters(wanted, settings, client)
        keep_letters(path, [*others, *left], seen_bytes=size)
    except (IngestError, NodeError) as error:
        raise failed(error) from None
    stored = len(wanted) - len(left)
    if as_json:
        click.echo(orjson.dumps({"tried": len(wanted), "stored": stored, "left": len(left)}))
    else:
        click.echo(f"{stored:,} of {len(wanted):,} dead letters are stored; {len(left):,} are left")
    context.exit(PARTIAL if left else OK)


def _shown(letter: DeadLetter) -> str:
    if letter.payload is None:
        return "(no payload)"
    text = letter.payload[:PAYLOAD_SHOWN].decode("utf-8", "replace")
    more = len(letter.payload) - PAYLOAD_SHOWN
    shown = "".join(char if char.isprintable() else "·" for char in text)
    return shown if more <= 0 else f"{shown}… and {more:,} bytes more"
