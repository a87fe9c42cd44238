"""Real `zring serve` processes in a temporary folder, one or four, as a user would start them."""

import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import orjson
import pyarrow as pa

import zring
from bench.dataset import Dataset
from bench.server_process import ServerProcess, cpu_seconds, free_port, memory_kb

START_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 180.0
STILL_S = 7.5
"""Longer than the quiet after which a store joins runs, and than joining those of one slice."""


@dataclass(frozen=True, slots=True)
class LoadTimes:
    """Seconds of a bulk load: until the last reply, and until every holder has every record."""

    acknowledged_s: float
    everywhere_s: float


class ZringCluster:
    """Nodes n1…; all of one machine, each with its own ports and data."""

    def __init__(self, *, nodes: int, replicas: int) -> None:
        self.replicas = min(replicas, nodes - 1)
        self.names = tuple(f"n{index + 1}" for index in range(nodes))
        self.folder = Path(tempfile.mkdtemp(prefix="zring-bench-nodes-"))
        self.loaded: dict[str, LoadTimes] = {}
        self._ports = {name: free_port() for name in self.names}
        self._peer_ports = {name: free_port() for name in self.names}
        self._processes: dict[str, ServerProcess] = {}

    def start(self) -> None:
        """Start all nodes and wait until each is ready."""
        for name in self.names:
            self.start_node(name)
        for name in self.names:
            self.wait_ready(name)
        self._wait_all_alive()

    def start_node(self, name: str) -> None:
        """Start one node; `wait_ready` follows."""
        peers = [f"127.0.0.1:{port}" for other, port in self._peer_ports.items() if other != name]
        environment = {
            "ZRING_NODE_NAME": name,
            "ZRING_NODE_DATA": str(self.folder / name),
            "ZRING_NODE_LISTEN": f"127.0.0.1:{self._ports[name]}",
            "ZRING_NODE_PEER_LISTEN": f"127.0.0.1:{self._peer_ports[name]}",
            "ZRING_NODE_SEEDS": ",".join(peers),
            "ZRING_CLUSTER_ID": "bench",
            "ZRING_CLUSTER_FOUNDERS": ",".join(self.names),
            "ZRING_CLUSTER_REPLICAS": str(self.replicas),
            "PYTHONPATH": str(Path(zring.__file__).parents[1]),
        }
        command = [str(Path(sys.executable).with_name("zring")), "serve"]
        log = self.folder / f"{name}.log"
        self._processes[name] = ServerProcess(command, log=log, environment=environment)

    def wait_ready(self, name: str) -> float:
        """Seconds until the node says that it is ready."""
        process = self._processes[name]
        return process.wait_until(lambda: self._is_ready(name), timeout_s=START_TIMEOUT_S)

    def restart_node(self, name: str, *, wiped: bool = False) -> None:
        """Stop a node and start it again, with an empty disk if wiped; `wait_ready` follows."""
        self._processes.pop(name).stop()
        if wiped:
            shutil.rmtree(self.folder / name)
        self.start_node(name)

    def owed(self, name: str, other: str) -> int:
        """How much a node has still to compare with another."""
        status = orjson.loads(self._get(name, "/cluster/status"))
        return next(int(entry["owed"]) for entry in status["nodes"] if entry["id"] == other)

    def process(self, name: str) -> ServerProcess:
        """The process of a node."""
        return self._processes[name]

    def url(self, name: str | None = None) -> str:
        """Address for clients, of the first node unless another is named."""
        return f"http://127.0.0.1:{self._ports[name or self.names[0]]}"

    def load(self, dataset: Dataset) -> LoadTimes:
        """Store a data set through the client and wait until every holder has all of it."""
        before = self.records()
        started = time.perf_counter()
        with zring.connect(self.url(), timeout_s=300.0) as client:
            written = client.write(dataset.collection, dataset.table)
        acknowledged_s = time.perf_counter() - started
        assert written.stored == len(dataset) and not written.rejected, repr(written)[:500]
        expected = before + len(dataset) * (1 + self.replicas)
        deadline = started + SETTLE_TIMEOUT_S
        while self.records() < expected:
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{self.records():,} of {expected:,} copies after a long time")
            time.sleep(0.02)
        self.loaded[dataset.name] = LoadTimes(acknowledged_s, time.perf_counter() - started)
        return self.loaded[dataset.name]

    def spoil(self) -> None:
        """Other records were added: figures that want the data set alone take a new cluster."""
        self.loaded.clear()

    def records(self) -> int:
        """Copies on all nodes together."""
        return sum(self.node_records().values())

    def node_records(self) -> dict[str, int]:
        """Records on each node, as each says of itself."""
        return {name: self._own_entry(name)["records"] or 0 for name in self.names}

    def log_records(self) -> int:
        """Records that wait in the logs of all nodes."""
        return int(sum(self.metric(name, "zring_log_records") for name in self.names))

    def wait_merged(self) -> float:
        """Seconds until the logs are empty and the stores have stood still: they are at rest."""
        started = since = time.perf_counter()
        state = (self.log_records(), self.live_bytes())
        while state[0] or time.perf_counter() - since < STILL_S:
            if time.perf_counter() - started > SETTLE_TIMEOUT_S:
                raise TimeoutError(f"{state[0]:,} records are being merged after a long time")
            time.sleep(0.1)
            now = (self.log_records(), self.live_bytes())
            if now != state:
                state, since = now, time.perf_counter()
        return time.perf_counter() - started

    def metric(self, name: str, metric: str) -> float:
        """A figure of /metrics, summed over its labels."""
        text = self._get(name, "/metrics").decode()
        values = [
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith((metric + " ", metric + "{"))
        ]
        if not values:
            raise KeyError(f"{metric} is not in /metrics of {name}")
        return sum(values)

    def memory_bytes(self) -> dict[str, int]:
        """Anonymous resident memory of each node."""
        return {name: memory_kb(run.pid) * 1024 for name, run in self._processes.items()}

    def cpu_seconds(self) -> float:
        """Processor time that all nodes have used so far."""
        return sum(cpu_seconds(run.pid) for run in self._processes.values())

    def live_bytes(self) -> dict[str, int]:
        """Pages of each node's LMDB that are in use, in bytes."""
        return {name: _live_bytes(self.folder / name) for name in self.names}

    def stop(self) -> None:
        """Stop all nodes and delete their data."""
        for process in self._processes.values():
            process.stop()
        self._processes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _own_entry(self, name: str) -> dict[str, Any]:
        status = orjson.loads(self._get(name, "/cluster/status"))
        return next(entry for entry in status["nodes"] if entry["id"] == name)

    def _is_ready(self, name: str) -> bool:
        try:
            self._get(name, "/ready")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def _wait_all_alive(self) -> None:
        deadline = time.perf_counter() + START_TIMEOUT_S
        while True:
            seen = [orjson.loads(self._get(name, "/cluster/status")) for name in self.names]
            states = [entry["state"] for status in seen for entry in status["nodes"]]
            if states.count("alive") == len(self.names) ** 2:
                return
            if time.perf_counter() > deadline:
                raise TimeoutError(f"the nodes do not see each other: {states}")
            time.sleep(0.05)

    def _get(self, name: str, target: str) -> bytes:
        with urllib.request.urlopen(self.url(name) + target, timeout=30) as reply:
            return bytes(reply.read())


def _live_bytes(folder: Path) -> int:
    """Branch, leaf and overflow pages of all trees in the environments below a folder."""
    total = 0
    for file in folder.rglob("data.mdb"):
        with lmdb.open(str(file.parent), readonly=True, max_dbs=64) as environment:
            with environment.begin() as transaction:
                trees = [bytes(key) for key, _ in transaction.cursor()]
            statistics = [environment.stat()]
            for tree in trees:
                try:
                    handle = environment.open_db(tree, create=False)
                except lmdb.Error:
                    continue
                with environment.begin(db=handle) as transaction:
                    statistics.append(transaction.stat(handle))
            total += sum(
                tree["psize"] * (tree["branch_pages"] + tree["leaf_pages"] + tree["overflow_pages"])
                for tree in statistics
            )
    return total


def arrow_body(table: pa.Table) -> bytes:
    """A request body of these rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
