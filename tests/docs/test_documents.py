"""What the pages say is so: links lead somewhere, commands exist, marked examples run."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ingest.demo.nodes import LocalCluster
from node.cli.main import main
from tests.cluster.material import make_places
from tests.docs.checkout import find_command
from tests.docs.markdown import ROOT, Block, anchors, blocks, commands, links, pages, pattern

ALL_BLOCKS = [block for page in pages() for block in blocks(page)]
CONSOLE = [block for block in ALL_BLOCKS if block.language == "console"]
RUNNABLE = sorted({block.page for block in ALL_BLOCKS if block.run})
PROGRAMS = frozenset(
    (
        "apt-get",
        "cd",
        "curl",
        "git",
        "jupyter",
        "make",
        "pip",
        "pytest",
        "python",
        "python3.11",
        "sudo",
        "uv",
    )
)
PROMISED_URL = "http://127.0.0.1:7070"
BLOCK_DEADLINE_S = 120.0


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert file.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(file), target


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"])
def test_files_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    files = {f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.glob("[!.]*/**/*.py")}
    for named in re.findall(r"`([\w/]+\.py)`", text):
        assert any(file.endswith(f"/{named}") for file in files), named


def test_every_page_is_in_the_index() -> None:
    for index in (ROOT / "docs" / "README.md", ROOT / "docs" / "decisions" / "README.md"):
        listed = set(links(index))
        missing = [page.name for page in index.parent.glob("*.md") if page.name not in listed]
        assert missing in ([], ["README.md"]), index


def test_there_are_commands_to_check() -> None:
    assert any("zring" in block.text for block in CONSOLE)
    assert "README.md" in RUNNABLE


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: f"{block.page}:{block.line}")
def test_commands_exist_with_these_options(block: Block) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in commands(block):
        for part in re.split(r"\s(?:\||&&)\s", command.text.replace("\\\n", " ")):
            words = shlex.split(part, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            program = words[0].rpartition("/")[2]
            if program == "zring":
                check_zring(words[1:])
            else:
                assert program in PROGRAMS or (ROOT / words[0]).is_file(), part
                if program == "make":
                    assert {word for word in words[1:] if "=" not in word} <= targets, part


def check_zring(words: list[str]) -> None:
    """Parse a command line as far as that goes without the files that it names."""
    context = click.Context(main)
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        is_first = command is main
        inner = find_command(words[0]) if is_first else command.get_command(context, words[0])
        assert inner is not None, words
        command, words = inner, words[1:]
    try:
        command.make_context(command.name, list(words), parent=context, resilient_parsing=False)
    except click.exceptions.Exit:
        pass  # --help
    except click.BadParameter as error:
        assert "does not exist" in error.message, words


@pytest.fixture(scope="module")
def node_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The first node of an empty cluster that stops with this module."""
    with LocalCluster(make_places(tmp_path_factory.mktemp("documents"))) as cluster:
        yield cluster.urls[0]


@pytest.mark.parametrize("page", RUNNABLE)
def test_marked_examples_run_and_say_what_is_shown(
    page: str, node_url: str, tmp_path: Path
) -> None:
    tools = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "ZRING_URL": node_url,
        "COLUMNS": "120",
    }
    for block in ALL_BLOCKS:
        if block.page != page or not block.run:
            continue
        text = block.text.replace(PROMISED_URL, node_url)
        if block.language == "python":
            run([sys.executable, "-c", text], tmp_path, environment)
            continue
        for command in commands(block):
            line = command.text.replace(PROMISED_URL, node_url)
            output = run(["bash", "-c", f"set -euo pipefail; {line}"], tmp_path, environment)
            expected = command.expected.replace(PROMISED_URL, node_url)
            assert pattern(expected).fullmatch(output.strip()), f"{page}: {line}\n{output}"


def run(line: list[str], folder: Path, environment: dict[str, str]) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, timeout=BLOCK_DEADLINE_S
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout
