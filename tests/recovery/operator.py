"""An operator's own test cluster: nodes behind URLs, broken by the operator's own commands.

The file is TOML; docs/recovery.md shows one. A command is run by the shell with the values of the
node's table in place of `{name}`, `{host}` and so on; `cut_way` and `heal_way` have
`{source[host]}` and `{target[host]}`. What has no command is not possible, and scripts that need it
are left out.
"""

import subprocess
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from node.client import Client
from tests.recovery.cluster import ASK_TIMEOUT_S, answers
from tests.streams.mosquitto import Mosquitto

COMMAND_TIMEOUT_S = 120.0
START_TIMEOUT_S = 300.0
OPPOSITES = {"pause": "resume", "cut": "heal", "cut_way": "heal_way"}
"""An action counts as possible only when it can be undone."""


class OperatorNodes:
    """See `Cluster`; `close` heals what this run has broken and stops nothing."""

    def __init__(self, file: Path) -> None:
        """Read the file.

        Raises:
            ValueError: something is missing; says what.
        """
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        self._nodes = {str(node["name"]): node for node in document.get("node", [])}
        for name, node in self._nodes.items():
            if "url" not in node:
                raise ValueError(f"{file}: node {name} has no url")
        if len(self._nodes) < 2:
            raise ValueError(f"{file}: give two nodes or more, each in a table [[node]]")
        self.names = tuple(self._nodes)
        self.described = f"{len(self.names)} nodes of {file.name}"
        self._commands: Mapping[str, str] = document.get("commands", {})
        self._settings: Mapping[str, Any] = document.get("cluster", {})
        known = {name for node in self._nodes.values() for name in node} | set(self._commands)
        self.actions = frozenset(
            action
            for action in ("start", "stop", "kill", "pause", "wipe", "cut", "cut_way")
            if action in known and OPPOSITES.get(action, action) in known
        )
        self._broken: list[tuple[str, tuple[str, ...]]] = []

    def client(self, name: str, *, timeout_s: float = ASK_TIMEOUT_S) -> Client:
        node = self._nodes[name]
        return Client(
            node["url"],
            token=node.get("token", self._settings.get("token")),
            tls_ca=self._settings.get("tls_ca"),
            timeout_s=timeout_s,
            direct=True,
        )

    def start(self, name: str) -> None:
        self._run("start", name)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not answers(self, name):
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{name} did not answer {START_TIMEOUT_S:.0f} s after its start")
            time.sleep(1.0)

    def stop(self, name: str) -> None:
        self._run("stop", name)

    def kill(self, name: str) -> None:
        self._run("kill", name)

    def pause(self, name: str) -> None:
        self._break("pause", name)

    def resume(self, name: str) -> None:
        self._undo("pause", name)

    def wipe(self, name: str) -> None:
        self._run("wipe", name)

    def set_clock(self, name: str, offset_s: float) -> None:
        raise AssertionError("clocks of an operator's machines are left alone")

    def cut(self, name: str) -> None:
        self._break("cut", name)

    def heal(self, name: str) -> None:
        self._undo("cut", name)

    def cut_way(self, source: str, target: str) -> None:
        self._break("cut_way", source, target)

    def heal_way(self, source: str, target: str) -> None:
        self._undo("cut_way", source, target)

    def add(self, name: str) -> None:
        raise AssertionError("nodes are not added to an operator's cluster")

    def give_broker(self, name: str, collection: str) -> Mosquitto:
        raise AssertionError("brokers are not put beside an operator's nodes")

    def close(self) -> None:
        for action, names in list(self._broken):
            self._undo(action, *names)

    def _break(self, action: str, *names: str) -> None:
        self._broken.append((action, names))
        self._run(action, *names)

    def _undo(self, action: str, *names: str) -> None:
        self._run(OPPOSITES[action], *names)
        self._broken.remove((action, names))

    def _run(self, action: str, *names: str) -> None:
        if len(names) == 2:
            source, target = (self._nodes[name] for name in names)
            command = self._commands[action].format(source=source, target=target)
        else:
            node = self._nodes[names[0]]
            command = node.get(action, self._commands.get(action, "")).format(**node)
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S
        )
        if done.returncode:
            raise RuntimeError(
                f"{action} of {', '.join(names)}: {command!r}: {done.stderr.strip()}"
            )
