"""Everything that figures of one run share: data sets, references, clusters; started once, when
first wanted, and all stopped at the end."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console

from bench.asked import Asked, asked_of
from bench.dataset import Dataset
from bench.moving_records import moving_records
from bench.place import cache_folder
from bench.question import Oracle
from bench.references.duckdb_file import DuckDbFile
from bench.references.postgis import PostGis
from bench.references.postgis_reader import PostGisReader
from bench.references.questdb import QuestDb
from bench.references.questdb_reader import QuestDbReader
from bench.station_records import station_records
from bench.zring_cluster import ZringCluster


class Session:
    """Lives for one run of `python -m bench`; use as a context."""

    def __init__(self, *, records: int, seconds: float, console: Console) -> None:
        self.records = records
        self.seconds = seconds
        self.console = console
        self._stack = ExitStack()
        self._datasets: dict[str, tuple[Dataset, Oracle, Asked]] = {}
        self._servers: dict[str, PostGis | QuestDb] = {}
        self._duckdb: dict[str, DuckDbFile] = {}
        self._cluster: tuple[tuple[int, int], ZringCluster] | None = None

    def say(self, what: str) -> None:
        """Progress: what is being done now."""
        self.console.print(f"[dim]… {what}")

    # Data

    def stations(self) -> Dataset:
        """Records of 40 stations."""
        return self._dataset("stations", station_records)

    def vehicles(self) -> Dataset:
        """Records of 20,000 moving sensors."""
        return self._dataset("vehicles", moving_records)

    def oracle(self, dataset: Dataset) -> Oracle:
        """numpy over the same rows."""
        return self._datasets[dataset.collection][1]

    def asked(self, dataset: Dataset) -> Asked:
        """The questions for the data set."""
        return self._datasets[dataset.collection][2]

    def origins(self) -> list[str]:
        """Where the rows of this run came from."""
        return [dataset.origin for dataset, _, _ in self._datasets.values()]

    def _dataset(self, name: str, build: Callable[[int], Dataset]) -> Dataset:
        for dataset, _, _ in self._datasets.values():
            if name == ("vehicles" if dataset.name == "vehicles" else "stations"):
                return dataset
        self.say(f"{self.records:,} records: {name}")
        dataset = build(self.records)
        self._datasets[dataset.collection] = (dataset, Oracle(dataset), asked_of(dataset))
        return dataset

    # Systems

    def postgis(self, dataset: Dataset) -> PostGis:
        """PostGIS with the data set loaded."""
        server = self._servers.get("postgis")
        if server is None:
            self.say("PostGIS: start")
            server = self._servers["postgis"] = PostGis(cache_folder() / "postgis")
            self._stack.callback(server.stop)
            server.start()
        assert isinstance(server, PostGis)
        server.load(dataset, progress=self.say)
        return server

    def postgis_reader(self, dataset: Dataset) -> PostGisReader:
        """A client of PostGIS."""
        reader = PostGisReader(self.postgis(dataset).dsn, dataset.name)
        self._stack.callback(reader.close)
        return reader

    def questdb(self, dataset: Dataset) -> QuestDb:
        """QuestDB with the data set loaded."""
        server = self._servers.get("questdb")
        if server is None:
            self.say("QuestDB: start")
            server = self._servers["questdb"] = QuestDb(cache_folder() / "questdb")
            self._stack.callback(server.stop)
            server.start()
        assert isinstance(server, QuestDb)
        server.load(dataset, progress=self.say)
        return server

    def questdb_reader(self, dataset: Dataset) -> QuestDbReader:
        """A client of QuestDB."""
        reader = QuestDbReader(self.questdb(dataset).dsn, dataset.key().replace("-", "_"))
        self._stack.callback(reader.close)
        return reader

    def duckdb(self, dataset: Dataset) -> DuckDbFile:
        """DuckDB over a file of the data set."""
        if dataset.name not in self._duckdb:
            opened = DuckDbFile(cache_folder() / "duckdb", dataset, progress=self.say)
            self._stack.callback(opened.close)
            self._duckdb[dataset.name] = opened
        return self._duckdb[dataset.name]

    def cluster(self, *, nodes: int, replicas: int, holding: Dataset) -> ZringCluster:
        """A cluster that holds this data set and nothing else, merged; one at a time."""
        key = (nodes, replicas)
        if self._cluster is not None:
            known, cluster = self._cluster
            if known == key and set(cluster.loaded) == {holding.name}:
                return cluster
        cluster = self.fresh_cluster(nodes=nodes, replicas=replicas)
        self.say(f"zring: load {len(holding):,} records ({holding.name})")
        cluster.load(holding)
        cluster.wait_merged()
        return cluster

    def fresh_cluster(self, *, nodes: int, replicas: int) -> ZringCluster:
        """An empty cluster; the one before is stopped."""
        self.stop_cluster()
        self.say(f"zring: start {nodes} node(s), replicas {replicas}")
        cluster = ZringCluster(nodes=nodes, replicas=replicas)
        self._cluster = ((nodes, replicas), cluster)
        cluster.start()
        return cluster

    @contextmanager
    def second_cluster(self, *, nodes: int, replicas: int) -> Iterator[ZringCluster]:
        """One more empty cluster beside the other, for as long as the context lasts."""
        cluster = ZringCluster(nodes=nodes, replicas=replicas)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()

    def stop_cluster(self) -> None:
        """Stop the nodes of the last cluster."""
        if self._cluster is not None:
            _, cluster = self._cluster
            self._cluster = None
            cluster.stop()

    def __enter__(self) -> Self:
        self._stack.callback(self.stop_cluster)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
