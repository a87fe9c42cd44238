"""The pages about files name every format, reason, option and collection; their commands run."""

import re
import shlex
from pathlib import Path

import click
import pytest

from ingest.amedas import flag_rules
from ingest.files import files
from ingest.formats import DECODERS
from ingest.formats.column_mapping import NULL_TEXTS, USUAL_NAMES, ColumnMapping
from ingest.generate import MODES
from tests.docs.checkout import find_command

ROOT = Path(__file__).parents[2]
PAGES = ("ingest-files.md", "amedas.md")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_format_is_described() -> None:
    text = page("ingest-files.md")
    for name in DECODERS:
        assert f"`{name}`" in text, name
    for mode in MODES[1:]:
        assert f"`--mode {mode}`" in text, mode


def test_usual_names_and_missing_texts_are_those_of_the_code() -> None:
    text = page("ingest-files.md")
    for name, usual in USUAL_NAMES.items():
        assert f"| `{name}` | {', '.join(usual)} |" in text
    listed = text.split("**Missing**: ", 1)[1].split("are no value", 1)[0]
    for null in NULL_TEXTS - {"", "nan", "NULL"}:
        assert null in listed


def test_every_reason_of_the_decoders_is_explained() -> None:
    text = page("ingest-files.md").split("## Why rows are rejected", 1)[1]
    sources = [*(ROOT / "ingest" / "formats").glob("*.py"), ROOT / "ingest" / "loading.py"]
    found = set()
    for source in sources:
        code = source.read_text(encoding="utf-8")
        found |= set(
            re.findall(r'(?:Refused\([^"]*?|refuse\(\w+, |return \()"([a-z]+-[a-z-]+)"', code)
        )
    assert {"bad-width", "unknown-station", "bad-value", "out-of-order"} <= found
    for reason in found:
        assert f"`{reason}`" in text, reason


def test_flags_are_those_of_the_table() -> None:
    text = page("amedas.md").split("## Flags", 1)[1]
    for system in ("aqc", "quality"):
        stored = {code for code, (is_stored, _) in flag_rules(system).items() if is_stored}
        assert stored == ({0, 1, 4} if system == "aqc" else {8, 5, 4})
    assert "`<element>_flag`" in text


def test_the_mapping_example_is_one() -> None:
    example = page("ingest-files.md").split("```toml\n", 1)[1].split("```", 1)[0]
    mapping = ColumnMapping.from_toml(example)
    assert mapping.names["sensor"] == "Messstelle"
    assert mapping.only_mapped


def _commands() -> list[str]:
    found = []
    for name in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page(name), re.DOTALL):
            text = block.replace("\\\n", " ")
            found += [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    return found


@pytest.mark.parametrize("command", _commands())
def test_commands_parse(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments are read by the real parser, with files of these names in place."""
    monkeypatch.chdir(tmp_path)
    for name in ("m.csv", "logger.csv", "data.csv", "amedastable.json"):
        (tmp_path / name).write_bytes(b"x")
    program, subcommand, *arguments = shlex.split(command)
    assert program == "zring"
    found = find_command(subcommand)
    if isinstance(found, click.Group):
        subcommand, *arguments = arguments
        found = found.commands[subcommand]
    assert found is not None, command
    context = found.make_context(subcommand, arguments)
    assert isinstance(context, click.Context)


def test_every_option_of_files_has_help() -> None:
    for parameter in files.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
