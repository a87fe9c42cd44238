"""The scripts that pass in minutes, run as an operator runs them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.recovery.scripts import SCRIPTS
from tests.tidy.tree import ROOT

SHORT = [script for script in SCRIPTS if script.short and script.exists()]
DEADLINE_S = 600.0
pytestmark = pytest.mark.timeout(DEADLINE_S + 60.0)
SECONDS, RECORDS = "10", "10000"


def run(*words: str) -> tuple[int, Sequence[str]]:
    """Exit code and lines of the command."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.recovery", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def verdict_of(lines: Sequence[str]) -> dict[str, Any]:
    """The one JSON object among the lines."""
    (text,) = [line for line in lines if line.startswith("{")]
    return dict(json.loads(text))


@pytest.mark.parametrize("script", SHORT, ids=lambda script: script.name)
def test_everything_finds_its_place(script: Any) -> None:
    code, lines = run(script.name, "--seconds", SECONDS, "--records", RECORDS, "--json")
    verdict = verdict_of(lines)
    assert (code, verdict["problems"]) == (0, [])
    assert lines[-1] == "VERDICT: 1 of 1 scripts passed"
    assert verdict["acknowledged"] == verdict["sent"] > int(RECORDS) // 4
    assert verdict["words"]


def test_where_namespaces_are_not_permitted_the_proxy_cuts_links() -> None:
    code, lines = run("flapping", "--proxy", "--seconds", SECONDS, "--records", RECORDS, "--json")
    verdict = verdict_of(lines)
    assert (code, verdict["problems"]) == (0, [])
    assert "user-space proxy" in verdict["cluster"]


def test_the_list_names_every_script_and_an_unknown_one_is_refused() -> None:
    code, lines = run("--list")
    listed = {line.split()[0].rstrip("*") for line in lines[:-1]}
    assert (code, listed) == (0, {script.name for script in SCRIPTS if script.exists()})
    page = (ROOT / "docs" / "recovery.md").read_text(encoding="utf-8")
    for name in listed:
        assert f"| `{name}` |" in page
    done = subprocess.run(
        [sys.executable, "-m", "tests.recovery", "nonsense"], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 2
    assert b"no script is named nonsense" in done.stderr


def test_scripts_that_an_own_cluster_cannot_do_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    nodes = "".join(f'[[node]]\nname = "{name}"\nurl = "http://127.0.0.1:9"\n' for name in "ab")
    file.write_text(f'{nodes}[commands]\npause = "true"\n')
    done = subprocess.run(
        [sys.executable, "-m", "tests.recovery", "pause", "--cluster", str(file)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "left out pause" in done.stdout
