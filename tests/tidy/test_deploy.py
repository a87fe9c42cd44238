"""Compose files and units name what exists here; without containers nothing more can be shown."""

import configparser
import json
import re
import runpy
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from ingest.stream_settings import read_ingest_settings
from node.cli.catalogue import catalogue
from node.cli.main import main
from node.cli.settings import load_config
from tests.tidy.tree import ROOT

COMPOSE = ROOT / "deploy" / "compose"
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
FILES = sorted(COMPOSE.glob("compose.*.yaml"))
CONNECTION = {"ZRING_URL", "ZRING_TOKEN", "ZRING_TLS_CA", "ZRING_CONFIG"}
SERVICE_KEYS = {
    "image", "build", "command", "environment", "ports", "volumes", "healthcheck", "depends_on",
    "restart", "read_only", "cap_drop", "security_opt", "tmpfs", "logging", "stop_grace_period",
    "secrets", "deploy", "ulimits", "profiles",
}  # fmt: skip
HEALTH = ROOT / "deploy" / "health.py"
DASHBOARDS = sorted((ROOT / "deploy" / "dashboards").glob("*.json"))
DURATION = re.compile(r"\d+[smh]")


def document(file: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


SERVICES = [
    pytest.param(file, name, service, id=f"{file.name}-{name}")
    for file in FILES
    for name, service in document(file)["services"].items()
]


def check_zring(words: list[str]) -> None:
    """A command line whose subcommand and options exist."""
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, words
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known, words


@pytest.mark.parametrize(("file", "name", "service"), SERVICES)
def test_a_service_is_whole(file: Path, name: str, service: dict[str, Any]) -> None:
    top = document(file)
    assert set(service) <= SERVICE_KEYS
    assert "image" in service
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (COMPOSE / source).is_file(), volume
            assert volume.endswith(":ro"), volume
        else:
            assert source in top["volumes"], volume
    assert set(service.get("secrets", [])) <= set(top.get("secrets", {}))
    for other, wanted in service.get("depends_on", {}).items():
        assert wanted["condition"] == "service_healthy"
        assert "healthcheck" in top["services"][other], other
    for key in ("interval", "timeout", "start_period"):
        if key in service.get("healthcheck", {}):
            assert DURATION.fullmatch(service["healthcheck"][key])
    for port in service.get("ports", []):
        assert re.fullmatch(r"(127\.0\.0\.1:)?\d+:\d+", port), port


@pytest.mark.parametrize(("file", "name", "service"), SERVICES)
def test_our_own_services_use_what_exists(file: Path, name: str, service: dict[str, Any]) -> None:
    settings = {setting.variable for setting in catalogue().values()}
    given = {key for key in service.get("environment", {}) if key.startswith("ZRING_")}
    assert given <= settings | CONNECTION
    if "build" in service:
        build = service["build"]
        assert (COMPOSE / build["context"]).resolve() == ROOT
        dockerfile = (ROOT / build["dockerfile"]).read_text(encoding="utf-8")
        assert f" AS {build['target']}\n" in dockerfile
        if build["target"] == "streams":
            check_zring(service.get("command", ["serve"]))


@pytest.mark.parametrize(("file", "name", "service"), SERVICES)
def test_our_own_services_are_looked_at_by_the_health_check(
    file: Path, name: str, service: dict[str, Any]
) -> None:
    if service.get("build", {}).get("target") != "streams" or "healthcheck" not in service:
        return
    kind, program, *words = service["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "zring-health"), file.name
    known = runpy.run_path(str(HEALTH))["read_call"](words)
    assert known.urls or known.process, name


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.name)
def test_a_dashboard_is_whole(file: Path) -> None:
    loaded = json.loads(file.read_text(encoding="utf-8"))
    assert loaded["uid"] == file.stem
    shown = [panel for panel in loaded["panels"] if panel["type"] != "row"]
    numbers = [panel["id"] for panel in loaded["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert len({panel["title"] for panel in shown}) >= len(shown) - 1
    variables = {variable["name"] for variable in loaded["templating"]["list"]}
    for panel in shown:
        assert panel["datasource"]["uid"] == "${source}", panel["title"]
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= variables, target["expr"]
            assert target["expr"].count("(") == target["expr"].count(")"), target["expr"]
    mounted = (COMPOSE / "compose.dev.yaml").read_text(encoding="utf-8")
    assert f"/dashboards/{file.name}:ro" in mounted


def test_development_is_open_to_this_machine_only() -> None:
    for name, service in document(COMPOSE / "compose.dev.yaml")["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_production_is_bounded_and_closed() -> None:
    top = document(COMPOSE / "compose.prod.yaml")
    text = (COMPOSE / "compose.prod.yaml").read_text(encoding="utf-8").lower()
    assert "insecure" not in text
    for name, service in top["services"].items():
        assert service["restart"] == "unless-stopped", name
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert "max-size" in service["logging"]["options"], name
        if "build" in service:
            assert "memory" in service["deploy"]["resources"]["limits"], name


def test_what_the_image_is_made_of_exists() -> None:
    dockerfile = (COMPOSE / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source.rstrip('/')}" in ignored, source
    for file in re.findall(r"-r (\S+)", dockerfile):
        assert (ROOT / file).is_file(), file


def test_the_settings_beside_the_compose_files_are_read() -> None:
    site = load_config(
        file=COMPOSE / "site.toml",
        environment={
            "ZRING_NODE_NAME": "n1",
            "ZRING_NODE_ADVERTISE": "n1:7170",
            "ZRING_NODE_URL": "https://n1:7070",
        },
    )
    assert site.sources == ("field",)
    assert site.config.missing_protection() == []
    secrets = set(document(COMPOSE / "compose.prod.yaml")["secrets"])
    for name in ("site.toml", "streams.prod.toml", "mosquitto.prod.conf"):
        text = (COMPOSE / name).read_text(encoding="utf-8")
        assert set(re.findall(r"/run/secrets/(\w+)", text)) <= secrets, name
    for name in ("streams.dev.toml", "streams.prod.toml"):
        assert read_ingest_settings(COMPOSE / name).sources
    assert tomllib.loads((COMPOSE / "site.toml").read_text(encoding="utf-8"))["source"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_run_what_exists(unit: Path) -> None:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text(encoding="utf-8"))
    assert set(parser.sections()) == {"Unit", "Service", "Install"}
    service = parser["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert program.endswith("/zring")
    check_zring(words)
    assert service["User"] == "zring"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"
