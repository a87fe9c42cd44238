"""A network of namespaces: each node has a network stack of its own, with a cable to a bridge.

Two bridges: one for the nodes among themselves, one for people and programs, so that a node that is
cut off from the others can still be asked. The whole of it lies in a namespace of this process and
ends with it; nothing of the machine's own network is touched, and several runs do not meet.

- A pulled cable is the node's port of the bridge, taken down.
- One direction is cut at its source: the neighbour's hardware address is replaced by one that
  nobody has. Packets leave and arrive nowhere; no packet filter is needed, and the sender is not
  told.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ingest.demo.nodes import NodePlace

INSIDE = "ZRING_RECOVERY_INSIDE"
PEERS, CLIENTS = "198.18.0", "198.18.1"
"""Of the block that is set aside for tests of networks (RFC 2544)."""
NOBODY = "02:00:00:00:00:01"
PORT, PEER_PORT = 7070, 7170
START_TIMEOUT_S = 60.0


def is_inside() -> bool:
    """Whether this process was started in a namespace of its own."""
    return INSIDE in os.environ


def entry() -> list[str] | None:
    """The command that runs another one in a new namespace; None where that is not permitted."""
    if not all(shutil.which(program) for program in ("unshare", "nsenter", "ip")):
        return None
    own = ["unshare", "--net"]
    for command in (own, ["unshare", "--user", "--map-root-user", "--net"]):
        probe = [*command, "ip", "link", "add", "probe", "type", "bridge"]
        if not subprocess.run(probe, capture_output=True).returncode:
            return command
    return None


def run_inside(command: Sequence[str]) -> None:
    """Start this program again within `entry()`; returns only when that is impossible."""
    os.environ[INSIDE] = "1"
    os.execvp(command[0], [*command, sys.executable, "-m", "tests.recovery", *sys.argv[1:]])


class Namespaces:
    """See `Network`."""

    described = "network namespaces: a bridge, and a cable for each node"

    def __init__(self) -> None:
        self._stacks: dict[str, subprocess.Popen[bytes]] = {}
        self._numbers: dict[str, int] = {}
        _ip("link", "set", "lo", "up")
        for bridge in ("peers", "clients"):
            _ip("link", "add", bridge, "type", "bridge")
            _ip("link", "set", bridge, "up")
        _ip("addr", "add", f"{CLIENTS}.254/24", "dev", "clients")

    def place(self, name: str, folder: Path) -> NodePlace:
        number = len(self._numbers) + 1
        self._numbers[name] = number
        # The namespace lives as long as a process in it, and that one as long as this pipe.
        stack = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        self._stacks[name] = stack
        _wait_namespace(stack.pid)
        for device, bridge, network in (("eth0", "peers", PEERS), ("eth1", "clients", CLIENTS)):
            port = f"{bridge}{number}"
            _ip("link", "add", port, "type", "veth", "peer", "name", device, "netns", stack.pid)
            _ip("link", "set", port, "master", bridge, "up")
            self._inside(name, "addr", "add", f"{network}.{number}/24", "dev", device)
            self._inside(name, "link", "set", device, "up")
        self._inside(name, "link", "set", "lo", "up")
        return NodePlace(
            name, PORT, PEER_PORT, folder,
            host=f"{CLIENTS}.{number}", peer_host=f"{PEERS}.{number}", within=self._within(name),
        )  # fmt: skip

    def cut_way(self, source: str, target: str) -> None:
        self._neighbour(source, target, "replace", "lladdr", NOBODY, "nud", "permanent")

    def heal_way(self, source: str, target: str) -> None:
        shown = self._inside(source, "-json", "neigh", "show", "dev", "eth0")
        known = {entry["dst"] for entry in json.loads(shown or "[]")}
        if f"{PEERS}.{self._numbers[target]}" in known:
            self._neighbour(source, target, "del")

    def unplug(self, name: str) -> None:
        _ip("link", "set", f"peers{self._numbers[name]}", "down")

    def plug(self, name: str) -> None:
        _ip("link", "set", f"peers{self._numbers[name]}", "up")

    def close(self) -> None:
        # The cables would go with the namespaces, but only some time later.
        for bridge in ("peers", "clients"):
            for number in self._numbers.values():
                _ip("link", "del", f"{bridge}{number}")
            _ip("link", "del", bridge)
        for stack in self._stacks.values():
            assert stack.stdin is not None
            stack.stdin.close()
            stack.wait()

    def _within(self, name: str) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{self._stacks[name].pid}/ns/net", "--")

    def _inside(self, name: str, *words: str) -> bytes:
        return _run([*self._within(name), "ip", *words])

    def _neighbour(self, source: str, target: str, verb: str, *words: str) -> None:
        address = f"{PEERS}.{self._numbers[target]}"
        self._inside(source, "neigh", verb, address, *words, "dev", "eth0")


def _ip(*words: object) -> None:
    _run(["ip", *map(str, words)])


def _run(command: Sequence[str]) -> bytes:
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode().strip()}")
    return done.stdout


def _wait_namespace(process_id: int) -> None:
    """Wait until a child has left the namespace of this process."""
    own = Path("/proc/self/ns/net").readlink()
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while Path(f"/proc/{process_id}/ns/net").readlink() == own:
        if time.monotonic() > deadline_s:
            raise RuntimeError("no namespace was made; run with --proxy")
        time.sleep(0.01)
