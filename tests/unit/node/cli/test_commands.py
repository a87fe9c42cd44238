"""Commands without a cluster: help, settings, refusals, exit codes."""

import os
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from node.cli.exit_codes import FAILURE, UNREACHABLE, USAGE, exit_code_of
from node.cli.main import main
from node.errors import BadRequest, CoverageTooLow, NodeError, PeerUnreachable, StoreFull
from zring import __version__
from zring.errors import InvalidPlan

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ZRING_")]:
        monkeypatch.delenv(name)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments), prog_name="zring")

    return invoke


@pytest.mark.parametrize(
    "command", ["doctor", "init", "latest", "query", "ring", "serve", "status", "version"]
)
def test_every_command_has_help_with_examples(run, command: str) -> None:  # type: ignore[no-untyped-def]
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage: zring" in result.output
    assert command == "version" or "Examples:" in result.output


def test_the_group_lists_commands_and_exit_codes(run) -> None:  # type: ignore[no-untyped-def]
    result = run("--help")
    assert result.exit_code == 0
    for word in ("serve", "query", "doctor", "Exit codes:", "130"):
        assert word in result.output


def test_version(run) -> None:  # type: ignore[no-untyped-def]
    assert run("version").output == f"zring {__version__}\n"


def test_init_writes_what_serve_reads_and_overwrites_nothing(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    arguments = ("init", "--domain", "122,24,146,46", "--founders", "a,b", "--name", "a")
    assert run(*arguments, "-o", "zring.toml").exit_code == 0
    text = (tmp_path / "zring.toml").read_text()
    assert 'domain = "122,24,146,46"' in text
    assert 'founders = ["a", "b"]' in text
    again = run(*arguments, "-o", "zring.toml")
    assert again.exit_code == USAGE
    assert "exists" in again.stderr
    assert (tmp_path / "zring.toml").read_text() == text
    assert run(*arguments).stdout == text


def test_init_checks_what_it_is_given(run) -> None:  # type: ignore[no-untyped-def]
    result = run("init", "--domain", "5,5,4,4")
    assert result.exit_code == USAGE
    assert "cluster.domain" in result.stderr


@pytest.mark.parametrize("command", [("status",), ("ring",), ("query", "c"), ("latest", "c")])
def test_no_node_there_is_one_line_and_its_own_exit_code(run, command: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    result = run(*command, "--url", NOWHERE)
    assert result.exit_code == UNREACHABLE
    assert result.stderr.startswith("zring: http://127.0.0.1:1 cannot be reached")
    assert result.stderr.count("\n") == 1


def test_a_box_that_is_none(run) -> None:  # type: ignore[no-untyped-def]
    result = run("query", "c", "--bbox", "1,2,x", "--url", NOWHERE)
    assert result.exit_code == USAGE
    assert "west,south,east,north" in result.stderr


def test_serve_beyond_loopback_says_exactly_what_is_missing(run) -> None:  # type: ignore[no-untyped-def]
    result = run("serve", "--listen", "0.0.0.0:7070")
    assert result.exit_code == USAGE
    for word in ("node.listen=0.0.0.0:7070", "security.tls_cert", "cluster.key", "security.tokens"):
        assert word in result.stderr
    assert "--insecure" in result.stderr


def test_serve_names_the_file_of_a_wrong_setting(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "zring.toml").write_text('[node]\nlissten = "127.0.0.1:0"\n')
    result = run("serve")
    assert result.exit_code == USAGE
    assert "zring.toml: unknown setting node.lissten; did you mean node.listen?" in result.stderr


def test_doctor_finds_what_is_wrong_with_a_node_that_does_not_run(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    arguments = ("doctor", "--json", "--listen", "127.0.0.1:1", "--seed", "127.0.0.1:1")
    (tmp_path / "file").write_text("")
    result = run(*arguments, "--data", "file/store")
    findings = {finding["subject"]: finding for finding in orjson.loads(result.stdout)}
    assert result.exit_code == FAILURE
    assert findings["settings"]["state"] == "ok"
    assert findings["data folder"]["state"] == "fail"
    assert findings["seed"]["state"] == "warn"
    assert "zring serve" in findings["node"]["advice"]


def test_doctor_shows_a_wrong_setting(run) -> None:  # type: ignore[no-untyped-def]
    result = run("doctor", "--listen", "7070")
    assert result.exit_code == FAILURE
    assert "fail settings: node.listen=7070" in result.output


@pytest.mark.parametrize(
    ("error", "code"),
    [(NodeError("x"), 1), (StoreFull("x"), 1), (InvalidPlan("x"), 1), (BadRequest("x"), 2),
     (PeerUnreachable("x"), 3), (CoverageTooLow("x"), 4)],
)  # fmt: skip
def test_exit_codes(error: NodeError, code: int) -> None:
    assert exit_code_of(error) == code
