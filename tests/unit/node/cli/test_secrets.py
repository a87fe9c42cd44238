"""`zring certs`, `zring token`, `zring audit`, and what `zring serve` asks for."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node.cli.main import main
from node.cli.settings import load_config
from node.tokens import digest_of, read_tokens


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_certificates_are_of_one_authority_and_name_their_node(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    assert run("certs", str(folder), "--node", "sw=10.0.0.1,sw.example.org").exit_code == 0
    before = (folder / "ca.pem").read_bytes(), (folder / "sw.pem").read_bytes()
    again = run("certs", str(folder), "--node", "sw", "--client", "alice")
    assert again.exit_code == 0 and "left as it is" in again.stderr
    assert before == ((folder / "ca.pem").read_bytes(), (folder / "sw.pem").read_bytes())
    for name in ("ca", "sw", "alice"):
        assert (folder / f"{name}-key.pem").stat().st_mode & 0o777 == 0o600
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            folder / f"{name}.pem", folder / f"{name}-key.pem"
        )
    for name in ("sw", "alice"):
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-CAfile", folder / "ca.pem",
             folder / f"{name}.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    text = subprocess.run(
        ["openssl", "x509", "-in", folder / "sw.pem", "-noout", "-text"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for word in ("DNS:sw,", "IP Address:10.0.0.1", "DNS:sw.example.org", "IP Address:127.0.0.1"):
        assert word in text


@pytest.mark.parametrize(
    "words",
    [("--node", "a/b"), ("--node", "ca"), ("--node", "a=x,y z"), ("--node", "a", "--client", "a")],
)
def test_names_that_would_be_no_files_are_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert run("certs", str(tmp_path / "certs"), *words).exit_code == 2
    assert not (tmp_path / "certs").exists()


def test_without_openssl_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    result = run("certs", str(tmp_path), "--node", "a")
    assert result.exit_code == 1 and "openssl is not installed" in result.stderr


def test_tokens_are_made_listed_and_removed(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    options = ("--file", str(file))
    made = run("token", "make", "dashboard", "--role", "read", *options)
    token = made.stdout.strip()
    assert [entry.digest for entry in read_tokens(file)] == [digest_of(token)]
    assert run("token", "make", "dashboard", "--role", "admin", *options).exit_code == 2
    assert run("token", "make", "ops", "--role", "admin", *options).exit_code == 0
    assert run("token", "list", *options).stdout.split() == ["read", "dashboard", "admin", "ops"]
    assert run("token", "remove", "dashboard", *options).exit_code == 0
    assert run("token", "remove", "dashboard", *options).exit_code == 2
    assert [entry.name for entry in read_tokens(file)] == ["ops"]


def test_an_empty_audit_log(tmp_path: Path) -> None:
    assert run("audit", "--data", str(tmp_path), "--json").stdout == ""
    assert run("audit", "--data", str(tmp_path)).exit_code == 0


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, ["TLS", "a cluster key", "client tokens"]),
        ({"ZRING_CLUSTER_KEY": "0123456789abcdef"}, ["TLS", "client tokens"]),
        ({"ZRING_SECURITY_TOKEN_FILE": "t.toml"}, ["TLS", "a cluster key"]),
        (
            {
                "ZRING_SECURITY_TLS_CERT": "c", "ZRING_SECURITY_TLS_KEY": "k",
                "ZRING_SECURITY_TLS_CA": "a", "ZRING_SECURITY_PEER_CERTIFICATES": "true",
            },
            ["client tokens"],
        ),
        ({"ZRING_SECURITY_INSECURE": "true"}, []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("opened", ["ZRING_NODE_LISTEN", "ZRING_NODE_PEER_LISTEN"])
def test_each_missing_thing_is_named(
    given: dict[str, str], missing: list[str], opened: str
) -> None:
    config = load_config(environment={**given, opened: "0.0.0.0:7999"}).config
    assert [text.split(":")[0] for text in config.missing_protection()] == missing
