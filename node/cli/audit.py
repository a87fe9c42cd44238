"""`zring audit`: what was done to this node and the cluster, and who was turned away."""

from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from node.cli.serve_options import load_settings, settings_options
from node.service.audit import read_audit

DETAILS_LENGTH_MAX = 100


@click.command()
@settings_options
@click.option("--event", help="Only events that begin so: plan, call, refused.")
@click.option("--subject", help="Only of this token or node.")
@click.option("--since", help="Only from this time on: 2026-01-31, 2026-01-31T12:00.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The newest ones."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def audit(
    event: str | None,
    subject: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
    **given: Any,
) -> None:
    """Print the audit log in the data folder of this node, oldest first.

    Works whether the node runs or not, with the same settings as `zring serve`. Each node keeps
    its own log: of what was asked of it, and of those it refused.

    \b
    Examples:
      zring audit
      zring audit --data data/sw --event refused --json
      zring audit --config zring.toml --since 2026-01-31 --limit 1000
    """
    folder = load_settings(**given).config.node.data
    entries = _entries(folder)
    chosen = [
        entry
        for entry in entries
        if str(entry.get("event", "")).startswith(event or "")
        and subject in (None, entry.get("subject"))
        and str(entry.get("time", "")) >= (since or "")
    ][-limit:]
    if as_json:
        for entry in chosen:
            click.echo(orjson.dumps(entry))
        return
    Console().print(_table(chosen))


def _entries(folder: Path) -> list[dict[str, Any]]:
    try:
        return list(read_audit(folder))
    except OSError as error:
        raise click.ClickException(
            f"{error.filename} cannot be read: {error.strerror}; run this as the node's user"
        ) from None


def _table(entries: list[dict[str, Any]]) -> Table:
    names = ("time", "event", "subject", "remote", "outcome")
    table = Table(box=None, header_style="bold")
    for name in (*names, "details"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        details = entry.get("details") or {}
        shown = " ".join(f"{name}={value}" for name, value in details.items() if value != "")
        if entry.get("repeated"):
            shown = f"({entry['repeated']} more) {shown}"
        table.add_row(*(str(entry.get(name, "")) for name in names), shown[:DETAILS_LENGTH_MAX])
    return table
