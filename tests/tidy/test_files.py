"""Files beside the code: no addresses of package sources, no paths of one machine, real figures."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.tidy.tree import ROOT, assert_none, texts

MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|farm|Users/\w+|home/\w+)/")
SOURCE_OPTIONS = re.compile(r"(?:index|extra-index)-url|find-links|trusted-host|registry *=")


def test_requirement_files_hold_hashes_and_no_addresses() -> None:
    locks = {path: text for path, text in texts().items() if path.startswith("requirements/")}
    assert locks
    for path, text in locks.items():
        assert "://" not in text, path
        assert "@ " not in text, path
        names = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
        if path.endswith(".txt") and "constraints" not in path:
            assert all("==" in line for line in names), path
            assert text.count("--hash=sha256:") >= len(names), path


def test_no_file_names_a_package_source() -> None:
    own = Path(__file__).relative_to(ROOT).as_posix()
    assert_none(p for p, t in texts().items() if p != own and SOURCE_OPTIONS.search(t))


def test_no_file_holds_a_path_of_one_machine() -> None:
    own = Path(__file__).relative_to(ROOT).as_posix()
    assert_none(p for p, t in texts().items() if p != own and MACHINE_PATH.search(t))


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_readme_shows_a_running_cluster_early(name: str) -> None:
    head = "\n".join(texts()[name].splitlines()[:40])
    assert "make demo" in head
    assert "http://127.0.0.1:7070" in head
    assert "make test" in texts()[name]


def test_changelog_knows_this_version() -> None:
    project = tomllib.loads(texts()["pyproject.toml"])["project"]
    headings = re.findall(r"^## (.+)$", texts()["CHANGELOG.md"], re.MULTILINE)
    assert any(heading.startswith(("Unreleased", project["version"])) for heading in headings)


def test_licence_is_the_one_that_is_declared() -> None:
    assert tomllib.loads(texts()["pyproject.toml"])["project"]["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in texts()["LICENSE"]


def test_scripts_stop_at_the_first_error() -> None:
    scripts = [path for path in texts() if path.endswith(".sh") or path == ".ci/run"]
    assert scripts
    for path in scripts:
        lines = texts()[path].splitlines()
        assert lines[0] == "#!/usr/bin/env bash", path
        assert any(re.match(r"set -e?uo pipefail$", line) for line in lines), path
        assert (ROOT / path).stat().st_mode & 0o111, path
        subprocess.run(["bash", "-n", ROOT / path], check=True)


def test_arrows_point_down() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
