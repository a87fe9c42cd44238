"""Findings as a table in the terminal, as JSON, and as a page of the documentation."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.finding import Finding

BEGIN, END = "<!-- {group} figures: begin -->", "<!-- {group} figures: end -->"


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """One line each, and below it what else was measured."""
    table = Table(show_lines=True)
    for name, style in (("figure", "bold"), ("work", ""), ("ours", "bold"), ("others", ""),
                        ("ratio", ""), ("bar", ""), ("holds", "")):  # fmt: skip
        table.add_column(name, style=style, overflow="fold")
    for finding in findings:
        table.add_row(
            finding.figure, finding.work, _ours(finding), _others(finding), _ratio(finding),
            finding.bar, {True: "[green]yes", False: "[red]NO", None: "–"}[finding.holds],
        )  # fmt: skip
    console.print(table)


def write_json(findings: Sequence[Finding], path: Path) -> None:
    """Machine, commit, time and all findings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {**machine(), "findings": [asdict(finding) for finding in findings]}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_docs(
    findings: Sequence[Finding], path: Path, *, group: str, origins: Sequence[str]
) -> None:
    """Replace the measured section of a group in the page; the words around it stay."""
    begin, end = BEGIN.format(group=group), END.format(group=group)
    text = path.read_text()
    before, rest = text.split(begin)
    _, after = rest.split(end)
    path.write_text(f"{before}{begin}\n{_section(findings, origins)}\n{end}{after}")


def machine() -> dict[str, str]:
    """Where and when and with what was measured."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gb()} GB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _section(findings: Sequence[Finding], origins: Sequence[str]) -> str:
    lines = [f"- {name}: {value}" for name, value in machine().items()]
    lines += [f"- data: {origin}" for origin in origins]
    lines += ["", "| `python -m bench` | work | ours | others | ratio | bar | holds |",
              "|---|---|---|---|---|---|---|"]  # fmt: skip
    for finding in findings:
        holds = {True: "yes", False: "**no**", None: "–"}[finding.holds]
        cells = (finding.figure, finding.work, f"**{_ours(finding)}**", _others(finding),
                 _ratio(finding), finding.bar, holds)  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("\n", "<br>") for cell in cells) + " |")
    return "\n".join(lines)


def _ours(finding: Finding) -> str:
    text = f"{_number(finding.ours)} {finding.unit}"
    for name, value in finding.details.items():
        text += f"\n{name} {_number(value)}"
    return text


def _others(finding: Finding) -> str:
    return "\n".join(f"{name} {_number(value)}" for name, value in finding.references.items())


def _ratio(finding: Finding) -> str:
    return "" if finding.ratio is None else f"{finding.ratio:.2f} × {finding.compared}"


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> int:
    kilobytes = Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]
    return round(int(kilobytes) / (1 << 20))


def _commit() -> str:
    folder = Path(__file__).parent
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True
    )
    changed = subprocess.run(
        ["git", "status", "--porcelain", "-uno"], cwd=folder, capture_output=True, text=True
    )
    return head.stdout.strip() + (" with local changes" if changed.stdout.strip() else "")
