"""Rows of an answer as a table in the terminal."""

from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

TEXT_LENGTH_MAX = 40


def print_rows(rows: pa.Table, *, more: bool = False) -> None:
    """Print all rows; `more` adds a line that says that there are others."""
    names = [name for name in rows.column_names if name != "version" or _any_version(rows)]
    table = Table(box=None, header_style="bold")
    for name in names:
        number = pa.types.is_floating(rows[name].type) or pa.types.is_integer(rows[name].type)
        table.add_column(name, justify="right" if number else "left", overflow="ellipsis")
    for row in rows.select(names).to_pylist():
        table.add_row(*(cell_text(row[name]) for name in names))
    console = Console()
    console.print(table)
    ending = "; there are more: give --limit or --format" if more else ""
    console.print(f"{rows.num_rows} rows{ending}", style="dim")


def cell_text(value: Any) -> str:
    """A value in one line of bounded length."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        text = value.isoformat(sep=" ", timespec="auto")
        return text.removesuffix("+00:00") + "Z"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = str(value)
    return text if len(text) <= TEXT_LENGTH_MAX else text[: TEXT_LENGTH_MAX - 1] + "…"


def duration_text(seconds: float) -> str:
    """ "40 s", "12 min", "3.5 h", "9 d"."""
    for unit, size in (("d", 172_800), ("h", 7_200), ("min", 120)):
        if seconds >= size:
            return f"{seconds / (size / 2):.3g} {unit}"
    return f"{seconds:.0f} s"


def bytes_text(size: float) -> str:
    """In the unit that needs few digits."""
    for unit, bytes_of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_of:
            return f"{size / bytes_of:.3g} {unit}"
    return f"{size:.0f} B"


def _any_version(rows: pa.Table) -> bool:
    return bool(pc.any(pc.not_equal(rows["version"], 0)).as_py())
