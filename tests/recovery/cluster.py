"""A cluster that the scripts may break: what can be done to it, and node processes of our own."""

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ingest.demo.nodes import NodePlace, NodeProcess
from node.client import Client
from node.errors import NodeError
from tests.recovery.network import Network
from tests.streams.mosquitto import Mosquitto

ASK_TIMEOUT_S = 30.0
FAKETIME_LIBRARIES = ("/usr/lib", "/usr/local/lib", "/usr/lib64")
ACTIONS = ("start", "stop", "kill", "pause", "wipe", "clock", "cut", "cut_way", "add", "broker")
"""What a script may need. `cut` isolates one node; `cut_way` works between any two; `add` starts a
node that is no founder; `broker` puts an MQTT broker beside a node; every one that breaks something
has its opposite."""
SITE_TOPIC = "site/readings"


class Cluster(Protocol):
    """Nodes that may be stopped and cut off; every action returns when it has taken effect.

    Attributes:
        names: founders in curve order.
        actions: those of ACTIONS that are possible here.
        described: one sentence for the verdict.
    """

    names: tuple[str, ...]
    actions: frozenset[str]
    described: str

    def client(self, name: str, *, timeout_s: float = ASK_TIMEOUT_S) -> Client:
        """A client that asks this node and no other; the caller closes it."""

    def start(self, name: str) -> None:
        """Start a node that is not running and wait until it answers."""

    def stop(self, name: str) -> None:
        """Stop a node in order."""

    def kill(self, name: str) -> None:
        """End it as a power cut would."""

    def pause(self, name: str) -> None:
        """Let it stand still (SIGSTOP)."""

    def resume(self, name: str) -> None:
        """Let it go on."""

    def wipe(self, name: str) -> None:
        """Delete the store of a node that is not running."""

    def set_clock(self, name: str, offset_s: float) -> None:
        """From its next start a node's wall clock is this much ahead."""

    def cut(self, name: str) -> None:
        """Cut a node off all others, in both directions."""

    def heal(self, name: str) -> None:
        """Undo `cut`."""

    def cut_way(self, source: str, target: str) -> None:
        """Lose what one node sends to another."""

    def heal_way(self, source: str, target: str) -> None:
        """Undo `cut_way`."""

    def add(self, name: str) -> None:
        """Start a further node, which is no founder, with the others as seeds."""

    def give_broker(self, name: str, collection: str) -> Mosquitto:
        """Start an MQTT broker at a node's site; the node, started again, carries its messages."""

    def close(self) -> None:
        """Put everything back, or remove it."""


class LocalNodes:
    """Real processes on this machine; see `Cluster`.

    Args:
        started: names to start now; the others wait for `start`.
    """

    def __init__(self, network: Network, folder: Path, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.described = f"{len(names)} nodes on this machine, {network.described}"
        self.actions = local_actions()
        self._network = network
        self._folder = folder
        self._founders = [network.place(name, folder / name) for name in names]
        self._offsets: dict[str, float] = {}
        self._files: dict[str, Path] = {}
        self._brokers: list[Mosquitto] = []
        self._nodes = {place.name: self._node(place) for place in self._founders}

    def process_ids(self) -> dict[str, int]:
        """Of the nodes that run now."""
        return {name: node.process_id for name, node in self._nodes.items() if node.is_running()}

    def logs(self) -> dict[str, Path]:
        """What each node said."""
        return {name: node.log for name, node in self._nodes.items()}

    def client(self, name: str, *, timeout_s: float = ASK_TIMEOUT_S) -> Client:
        return Client(self._nodes[name].place.url, timeout_s=timeout_s, direct=True)

    def start(self, name: str) -> None:
        node = self._nodes[name]
        if not node.is_running():
            node.start()
            node.wait_ready()

    def start_all(self) -> None:
        """Start the founders, all at once."""
        for name in self.names:
            self._nodes[name].start()
        for name in self.names:
            self._nodes[name].wait_ready()

    def stop(self, name: str) -> None:
        self._nodes[name].stop()

    def kill(self, name: str) -> None:
        self._nodes[name].kill()

    def pause(self, name: str) -> None:
        self._nodes[name].send(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self._nodes[name].send(signal.SIGCONT)

    def wipe(self, name: str) -> None:
        node = self._nodes[name]
        assert not node.is_running(), f"{name} is running"
        shutil.rmtree(node.place.folder / "store")

    def set_clock(self, name: str, offset_s: float) -> None:
        node = self._nodes[name]
        assert not node.is_running(), f"{name} is running"
        self._offsets[name] = offset_s
        self._nodes[name] = self._node(node.place)

    def cut(self, name: str) -> None:
        self._network.unplug(name)

    def heal(self, name: str) -> None:
        self._network.plug(name)

    def cut_way(self, source: str, target: str) -> None:
        self._network.cut_way(source, target)

    def heal_way(self, source: str, target: str) -> None:
        self._network.heal_way(source, target)

    def add(self, name: str) -> None:
        if name not in self._nodes:
            self._nodes[name] = self._node(self._network.place(name, self._folder / name))
        self.start(name)

    def give_broker(self, name: str, collection: str) -> Mosquitto:
        place = self._nodes[name].place
        broker = Mosquitto(place.folder / "mosquitto", host=place.host, within=place.within)
        broker.start()
        self._brokers.append(broker)
        self.stop(name)
        (place.folder / "node.toml").write_text(
            f"""
[[source]]
name = "site"
kind = "mqtt"
collection = "{collection}"
dead_letters = "{place.folder}/dead.ndjson"
[source.mqtt]
broker = "{broker.address}"
topics = ["{SITE_TOPIC}"]
"""
        )
        self._files[name] = place.folder / "node.toml"
        self._nodes[name] = self._node(place)
        self.start(name)
        broker.wait_subscribed(SITE_TOPIC)
        return broker

    def close(self) -> None:
        for broker in self._brokers:
            broker.stop()
        for node in self._nodes.values():
            if node.is_running():
                node.send(signal.SIGCONT)
        for node in self._nodes.values():
            node.stop()
        self._network.close()

    def _node(self, place: NodePlace) -> NodeProcess:
        # The networks of these nodes are this machine's own, or end with this process.
        flags = [] if place.host == "127.0.0.1" else ["--insecure"]
        if (file := self._files.get(place.name)) is not None:
            flags += ["--config", str(file)]
        environment = {}
        if offset_s := self._offsets.get(place.name):
            environment = {
                "LD_PRELOAD": str(faketime()),
                "FAKETIME": f"{offset_s:+g}s",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        return NodeProcess(place, self._founders, flags=flags, environment=environment)


def local_actions() -> frozenset[str]:
    """What can be done to nodes on this machine."""
    absent = set()
    if faketime() is None:
        absent.add("clock")
    if not shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin"):
        absent.add("broker")
    return frozenset(ACTIONS) - absent


def faketime() -> Path | None:
    """The library by which a process sees another wall clock; None where it is not installed."""
    for folder in map(Path, FAKETIME_LIBRARIES):
        for found in sorted(folder.glob("**/libfaketime.so.1")):
            return found
    return None


def answers(cluster: Cluster, name: str) -> bool:
    """Whether a node can be asked now."""
    try:
        with cluster.client(name, timeout_s=2.0) as client:
            client.status()
    except NodeError:
        return False
    return True
