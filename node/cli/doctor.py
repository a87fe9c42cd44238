"""`zring doctor`: what is wrong with this node, and what to do."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.text import Text

from node.cli.checks import (
    ANSWER_TIMEOUT_S,
    Finding,
    check_damage,
    check_data_folder,
    check_node,
    check_open_files,
    check_port,
    check_protection,
    check_seed,
)
from node.cli.exit_codes import FAILURE
from node.cli.serve_options import client_url, load_settings, settings_options
from node.client import Client
from node.config import Config
from node.errors import ConfigInvalid, NodeError

MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("fail", "red")}


@click.command()
@settings_options
@click.option("--token", envvar="ZRING_TOKEN", help="Token, where the node asks for one.")
@click.option("--tls-ca", envvar="ZRING_TLS_CA", help="File of certificates to trust.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def doctor(
    context: click.Context,
    /,
    token: str | None,
    tls_ca: str | None,
    as_json: bool,
    **given: object,
) -> None:
    """Look at settings, data folder, disk, ports, clock and peers of this node.

    Takes the same settings as `zring serve`, whether the node runs or not. Exits with 1 when
    something fails; warnings alone are 0.

    \b
    Examples:
      zring doctor --config zring.toml
      zring doctor --name sw --data data/sw --listen 127.0.0.1:7070
    """
    try:
        config = load_settings(**given).config
    except ConfigInvalid as error:
        findings = [Finding("fail", "settings", str(error), "correct it, then run this again")]
    else:
        findings = list(examine(config, token=token, tls_ca=tls_ca))
    if as_json:
        click.echo(orjson.dumps([asdict(finding) for finding in findings]))
    else:
        _print(findings)
    if any(finding.state == "fail" for finding in findings):
        context.exit(FAILURE)


def examine(config: Config, *, token: str | None, tls_ca: str | None) -> Iterator[Finding]:
    """All findings, what the rest rests on first."""
    yield Finding("ok", "settings", f"cluster {config.cluster.id}, domain "
                  f"{config.cluster.domain.describe()}")  # fmt: skip
    yield from check_protection(config)
    yield from check_data_folder(config)
    yield from check_damage(config)
    yield from check_open_files()
    security = config.security
    own = security.client_certificates
    client = Client(
        client_url(config),
        token=token,
        tls_ca=tls_ca or _text(security.tls_ca),
        tls_cert=_text(security.tls_cert) if own else None,
        tls_key=_text(security.tls_key) if own else None,
        timeout_s=ANSWER_TIMEOUT_S,
        direct=True,
    )
    with client:
        running, answer = _answers(client)
        yield check_port("node.listen", config.node.listen, running=running)
        yield check_port("node.peer_listen", config.node.peer_listen, running=running)
        for address in config.node.seeds:
            yield check_seed(address)
        if not running:
            yield Finding("warn", "node", f"does not answer: {answer}", "start it: zring serve")
            return
        try:
            yield from check_node(client, config)
        except NodeError as error:
            yield Finding("fail", "node", str(error), "read its log")


def _text(file: Path | None) -> str | None:
    return None if file is None else str(file)


def _answers(client: Client) -> tuple[bool, str]:
    try:
        client.status()
    except NodeError as error:
        return not error.retryable, str(error)
    return True, ""


def _print(findings: list[Finding]) -> None:
    # Whole lines, as they are: others search them, and a path may hold a bracket.
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        mark, style = MARKS[finding.state]
        console.print(Text.assemble((mark, style), f" {finding.subject}: {finding.message}"))
        if finding.advice and finding.state != "ok":
            console.print(Text(f"     {finding.advice}", style="dim"))
