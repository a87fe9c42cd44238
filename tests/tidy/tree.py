"""The files of the project, as the tidy tests look at them."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("zring", "node", "ingest", "analytics")
FOLDERS = (*PACKAGES, "bench", "tests", "data", "deploy", "docs", "requirements", ".ci")
TEXT_ENDINGS = frozenset(
    (
        *(".py", ".md", ".ipynb", ".sh", ".toml", ".txt", ".in"),
        *(".js", ".css", ".html", ".svg", ".csv", ".xml"),
    )
)


@cache
def texts() -> dict[str, str]:
    """Text of every file of the project by its path, `/` between the parts."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found.extend(path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(found)
        if (path.suffix in TEXT_ENDINGS or path.name in ("Makefile", "LICENSE", "run"))
        and "out" not in path.relative_to(ROOT).parts[:-1]
    }


@cache
def trees() -> dict[str, ast.Module]:
    """Syntax tree of every Python file by its path."""
    return {path: ast.parse(text) for path, text in texts().items() if path.endswith(".py")}


def package_trees() -> Iterator[tuple[str, ast.Module]]:
    """Those of the packages that are installed."""
    for path, tree in trees().items():
        if path.split("/")[0] in PACKAGES:
            yield path, tree


def assert_none(found: Iterable[object], way_out: str = "") -> None:
    """Fail with one line for each entry found."""
    lines = [str(entry) for entry in found]
    assert not lines, "\n".join((way_out, *lines))
