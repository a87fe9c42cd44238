"""The settings of a node as options: what `zring serve` and `zring doctor` take alike."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from node.cli.settings import DEFAULT_FILE, Loaded, load_config
from node.config import Config, parse_address

Command = TypeVar("Command", bound=Callable[..., Any])

FLAGS: tuple[tuple[str, str, str], ...] = (
    ("--name", "node.name", "Name of this node."),
    ("--data", "node.data", "Folder of this node's store."),
    ("--listen", "node.listen", "Address for people and programs, HOST:PORT."),
    ("--peer-listen", "node.peer_listen", "Address for other nodes, HOST:PORT."),
    ("--advertise", "node.advertise", "Address that other nodes use for this one."),
    ("--node-url", "node.url", "URL that clients use for this node."),
    ("--location", "node.location", "Where this node stands: lon,lat."),
    ("--cluster", "cluster.id", "Name of the cluster."),
    ("--domain", "cluster.domain", 'west,south,east,north in degrees, or "world".'),
    ("--grain-level", "cluster.grain_level", "Level of the finest cells, 1-16."),
    ("--founders", "cluster.founders", "Names of the first nodes in curve order: sw,nw,se,ne."),
    ("--placement", "cluster.placement", "halo, edge, corner or moore."),
    ("--replicas", "cluster.replicas", "Copies besides the owner's."),
    ("--tls-cert", "security.tls_cert", "Certificate chain (PEM)."),
    ("--tls-key", "security.tls_key", "Private key (PEM)."),
    ("--cors", "http.cors", "Origins whose web pages may call: https://a,https://b."),
    ("--log-level", "log.level", "debug, info, warning or error."),
)
"""Flag, setting, help; all other settings come from the file or the environment."""
SWITCHES: tuple[tuple[str, str, str], ...] = (
    ("--insecure", "security.insecure", "Listen beyond loopback without protection."),
    ("--log-json", "log.json", "Log one JSON object a line."),
)


def settings_options(command: Command) -> Command:
    """All flags that stand for settings, and `--config`."""
    for flag, setting, text in reversed(SWITCHES):
        command = click.option(flag, _parameter(setting), is_flag=True, help=text)(command)
    command = click.option(
        "--seed", "node_seeds", multiple=True, help="Peer address of another node; repeatable."
    )(command)
    for flag, setting, text in reversed(FLAGS):
        command = click.option(flag, _parameter(setting), help=text)(command)
    return click.option(
        "--config", "file", type=click.Path(path_type=Path, dir_okay=False),
        envvar="ZRING_CONFIG", help="Settings file (TOML); default: zring.toml where it exists.",
    )(command)  # fmt: skip


def load_settings(**given: Any) -> Loaded:
    """The settings of file, environment and the options above.

    Raises:
        ConfigInvalid: names the setting, its value and its origin.
    """
    file: Path | None = given.pop("file")
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    settings = [setting for _, setting, _ in (*FLAGS, *SWITCHES)] + ["node.seeds"]
    flags = {setting: given[_parameter(setting)] for setting in settings}
    return load_config(file=file, environment=os.environ, flags=flags)


def client_url(config: Config) -> str:
    """The URL under which this machine reaches the node."""
    scheme = "http" if config.security.tls_cert is None else "https"
    host, port = parse_address(config.node.listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _parameter(setting: str) -> str:
    return setting.replace(".", "_")
