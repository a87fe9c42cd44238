"""What became of the files, as a table or as JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from ingest.loading import FileOutcome

FILES_SHOWN = 25
"""Files with a line of their own; more are summed up by format."""


def show_summary(
    outcomes: Sequence[FileOutcome],
    sums: Mapping[str, Any],
    *,
    as_json: bool,
    dry_run: bool,
    rejects: Path | None,
) -> None:
    """Print what became of the files.

    Args:
        sums: see `ingest.loading.totals`.
    """
    if as_json:
        document = {**sums, "dry_run": dry_run}
        document["outcomes"] = [outcome.to_dict() for outcome in outcomes]
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    console = Console()
    console.print(_table(outcomes))
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed[:FILES_SHOWN]:
        console.print(f"{outcome.path}: {outcome.error}", soft_wrap=True, markup=False)
    if len(failed) > FILES_SHOWN:
        console.print(f"… and {len(failed) - FILES_SHOWN:,} more files that failed; see --json")
    done = "would be stored" if dry_run else "stored"
    console.print(
        f"{sums['files']:,} files, {sums['records']:,} records, {sums['stored']:,} {done} in "
        f"{sums['seconds']:.1f} s ({sums['records_per_s']:,}/s)"
    )
    if sums["left_out"]:
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in sums["left_out"].items())
        console.print(f"values left out by rule: {dropped}")
    if "unknown-station" in sums["rejected"]:
        console.print(
            "unknown stations: give a table that has them with --stations and load the same files "
            "again; what is stored already stays as it is"
        )
    if sums["rejected"] and rejects is not None:
        console.print(f"rejected rows: {rejects}", soft_wrap=True, markup=False)


def _table(outcomes: Sequence[FileOutcome]) -> Table:
    """A row for each file, or for each format where there are many files."""
    table = Table(box=None, pad_edge=False)
    for name in ("file", "format"):
        table.add_column(name)
    for name in ("records", "stored", "rejected"):
        table.add_column(name, justify="right")
    table.add_column("why")
    groups: dict[tuple[str, str], list[FileOutcome]] = {}
    for at, outcome in enumerate(outcomes):
        single = len(outcomes) <= FILES_SHOWN
        key = (f"{at}" if single else "", outcome.format)
        groups.setdefault(key, []).append(outcome)
    for (_, format_name), group in groups.items():
        rejected = sum((outcome.rejected for outcome in group), Counter[str]())
        name = Path(group[0].path).name if len(group) == 1 else f"{len(group):,} files"
        why = [f"{reason} {count:,}" for reason, count in rejected.most_common()]
        if any(outcome.error is not None for outcome in group):
            why.append("see below")
        table.add_row(
            name,
            format_name,
            f"{sum(outcome.records for outcome in group):,}",
            f"{sum(outcome.stored for outcome in group):,}",
            f"{rejected.total():,}",
            "; ".join(why),
        )
    return table
