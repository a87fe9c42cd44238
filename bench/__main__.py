"""`python -m bench`: measure figures and say whether they hold."""

import argparse
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from rich.console import Console

from bench.charts import FOLDER, draw_findings
from bench.figures import FIGURES, GROUPS, group_of
from bench.finding import Finding
from bench.report import print_findings, write_docs, write_json
from bench.session import Session

RECORDS = 2_000_000
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def main() -> int:
    """Returns the exit status: 0 all bars hold, 1 some do not, 2 a figure failed."""
    arguments = _arguments()
    console = Console() if sys.stdout.isatty() else Console(width=150)
    if arguments.list or not arguments.figures:
        for figure in FIGURES.values():
            console.print(f"{figure.name:22}{figure.title}", highlight=False)
        return 0
    names = [name for word in arguments.figures for name in _named(word)]
    signal.signal(signal.SIGTERM, _interrupt)
    findings: list[Finding] = []
    failed = []
    with Session(records=arguments.records, seconds=arguments.seconds, console=console) as session:
        for name in names:
            console.rule(FIGURES[name].title)
            try:
                found = FIGURES[name].run(session)
            except Exception:  # noqa: BLE001 - one broken figure must not cost the others' results
                console.print(traceback.format_exc(), markup=False, highlight=False)
                session.stop_cluster()
                failed.append(name)
                continue
            print_findings(found, console)
            findings += found
            if arguments.out:
                write_json(findings, arguments.out)
        origins = session.origins()
    console.rule("all figures of this run")
    print_findings(findings, console)
    if arguments.write_docs:
        for group in GROUPS:
            of_group = [finding for finding in findings if group_of(finding.figure) == group]
            if of_group:
                write_docs(of_group, DOCS, group=group, origins=origins)
                draw_findings(of_group, FOLDER / f"{group}.svg")
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}")
        return 2
    return 0 if all(finding.holds is not False for finding in findings) else 1


def _named(word: str) -> list[str]:
    """The figures that a word stands for: itself, those of a group, all."""
    if word in FIGURES:
        return [word]
    return [name for name in FIGURES if word in ("all", group_of(name))]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE",
                        help="names of --list, or groups: store, streams, analytics, all",
                        choices=[*FIGURES, *GROUPS, "all", []])  # fmt: skip
    parser.add_argument("--list", action="store_true", help="show the figures and leave")
    parser.add_argument("--records", type=int, default=RECORDS, help="records of each data set")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a throughput round")
    parser.add_argument("--out", type=Path, help="write the findings as JSON")
    parser.add_argument(
        "--write-docs", action="store_true", help="update docs/benchmarks.md, draw charts"
    )
    return parser.parse_args()


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
