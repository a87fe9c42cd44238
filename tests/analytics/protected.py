"""Two protected nodes and an archive, and the commands as a user runs them against these."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from analytics.source.options import connection_to_options
from ingest.demo.nodes import NodePlace, NodeProcess
from node.client import Client
from tests.cluster.material import counter_in, make_places
from tests.cluster.protected import Keyring, make_keyring, make_node, start_all, wait_until

ROOT = Path(__file__).parents[2]
ARCHIVE = "hub"
COMMAND_S = 300.0
"""A job starts Java and workers, and the machine may be busy."""
SPARK_SETTINGS = """
spark.driver.host            127.0.0.1
spark.driver.bindAddress     127.0.0.1
spark.driver.memory          512m
spark.executor.memory        512m
spark.cores.max              1
spark.sql.shuffle.partitions 2
"""
"""What an administrator writes into spark-defaults.conf of small machines."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """Nodes that ask for certificates and tokens.

    Attributes:
        nodes: two owners, then the archive.
    """

    keyring: Keyring
    nodes: tuple[NodeProcess, ...]
    folder: Path

    @property
    def places(self) -> list[NodePlace]:
        return [node.place for node in self.nodes]

    def client(self, token: str, *, node: int = 0) -> Client:
        """A client of one node."""
        return self.keyring.client(self.places[node], token)

    def connection(self, token: str) -> dict[str, str]:
        """What a client is given."""
        return {
            "url": self.places[0].url,
            "token": self.keyring.tokens[token],
            "tls_ca": self.keyring.pem("ca"),
            "tls_cert": self.keyring.pem("alice"),
            "tls_key": self.keyring.pem("alice-key"),
        }

    def environment(self, token: str) -> dict[str, str]:
        """The same in a command's environment."""
        return {f"ZRING_{name.upper()}": text for name, text in self.connection(token).items()}

    def options(self, token: str) -> dict[str, str]:
        """The same as options of the data source."""
        return connection_to_options(self.connection(token))

    def run(
        self, *words: str, token: str = "writer", exit_code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """`zring …` as a process of its own, on this machine's Spark where it needs one."""
        settings = self.folder / "spark-settings"
        settings.mkdir(exist_ok=True)
        (settings / "spark-defaults.conf").write_text(SPARK_SETTINGS)
        environment: Mapping[str, str] = {
            **os.environ,
            **self.environment(token),
            "PYTHONPATH": str(ROOT),
            "SPARK_CONF_DIR": str(settings),
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        done = subprocess.run(
            [sys.executable, "-m", "node.cli", *words],
            env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False,
        )  # fmt: skip
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done

    def rows_read(self, node: int) -> float:
        """Records that a node has read in its store, for whomever."""
        with self.client("reader", node=node) as client:
            return counter_in(client.metrics(), "zring_rows_read_total")


@contextmanager
def guarded_nodes(folder: Path) -> Iterator[Guarded]:
    """Started, the archive joined, everyone in contact with everyone."""
    keyring = make_keyring(folder / "keyring", nodes=("sw", "nw", ARCHIVE))
    places = [replace(place, scheme="https") for place in make_places(folder)[:3]]
    founders, archive = places[:2], replace(places[2], name=ARCHIVE, folder=folder / ARCHIVE)
    with ExitStack() as stack:
        nodes = tuple(make_node(place, founders, keyring) for place in (*founders, archive))
        start_all(stack, nodes)
        made = Guarded(keyring, nodes, folder)
        for node in range(3):
            with made.client("reader", node=node) as client:
                wait_until(
                    lambda client=client: (
                        [entry["state"] for entry in client.status()["nodes"]] == ["alive"] * 3
                    ),
                    "all see each other",
                )
        made.run("join", ARCHIVE, "--archive", token="operator")
        yield made
        for node in nodes:
            assert "Traceback" not in node.log.read_text()
