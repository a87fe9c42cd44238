"""Missing system packages: root gets them, others the one command; nothing is installed here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tidy.tree import ROOT

SCRIPT = ROOT / "deploy" / "local" / "system_packages.sh"
NEEDED = ("bash", "env")


def run(folder: Path, *names: str, user_id: int, present: tuple[str, ...]) -> tuple[int, str, str]:
    """Exit code, errors and what apt-get was told, on a system with only the programs `present`."""
    programs = folder / "bin"
    programs.mkdir()
    for program in NEEDED:
        found = shutil.which(program)
        assert found is not None
        (programs / program).symlink_to(found)
    told = folder / "told"
    told.touch()
    stubs = {"id": f"echo {user_id}", "apt-get": f'echo "$*" >>"{told}"'}
    for program, line in (stubs | dict.fromkeys(present, "true")).items():
        stub = programs / program
        stub.write_text(f"#!{shutil.which('bash')}\n{line}\n")
        stub.chmod(0o755)
    done = subprocess.run(
        [SCRIPT, *names],
        env={**os.environ, "PATH": str(programs)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr, told.read_text()


@pytest.mark.parametrize("user_id", [0, 1_000])
def test_nothing_is_done_when_everything_is_there(tmp_path: Path, user_id: int) -> None:
    there = ("chromium", "ogrinfo", "curl")
    assert run(tmp_path, "gdal", "browser", "curl", user_id=user_id, present=there) == (0, "", "")


def test_others_are_told_the_one_command(tmp_path: Path) -> None:
    code, errors, told = run(tmp_path, "gdal", "browser", user_id=1_000, present=("curl",))
    assert code == 1
    assert "sudo apt-get install --yes --no-install-recommends gdal-bin chromium\n" in errors
    assert told == ""


def test_root_gets_what_is_missing_and_no_more(tmp_path: Path) -> None:
    code, _, told = run(tmp_path, "gdal", "browser", user_id=0, present=("ogrinfo",))
    assert code == 0
    assert told.splitlines() == [
        "update --quiet=2",
        "install --yes --no-install-recommends chromium --quiet=2",
    ]


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    code, errors, _ = run(tmp_path, "nonsense", user_id=0, present=())
    assert code != 0
    assert "nonsense" in errors
