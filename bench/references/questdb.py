"""QuestDB: rows in through ILP over HTTP with synced commits, out through the PostgreSQL wire.

SYMBOL columns for collection and sensor, partitions of a month, 4 GB of heap.
"""

import http.client
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psycopg

from bench.dataset import Dataset
from bench.server_process import ServerFailed, ServerProcess, free_port

POM = Path(__file__).with_name("pom.xml")
MODULE = "io.questdb/io.questdb.ServerMain"
ILP_CHUNK_ROWS = 100_000


class QuestDb:
    """One private server; loaded tables are kept between runs in the cache."""

    name = "QuestDB"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._http_port = free_port()
        self._pg_port = free_port()
        self._process: ServerProcess | None = None

    @property
    def dsn(self) -> str:
        """How clients reach it."""
        return f"host=127.0.0.1 port={self._pg_port} dbname=qdb user=admin password=quest"

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None, "start it first"
        return self._process.pid

    def start(self) -> None:
        """Fetch the jar when it is not there, and start the server."""
        jar = self._jar()
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        command = ["java", "-Xms1g", "-Xmx4g", "-p", str(jar), "-m", MODULE, "-d", str(data), "-n"]
        environment = {
            "QDB_HTTP_NET_BIND_TO": f"127.0.0.1:{self._http_port}",
            "QDB_HTTP_BIND_TO": f"127.0.0.1:{self._http_port}",
            "QDB_PG_NET_BIND_TO": f"127.0.0.1:{self._pg_port}",
            "QDB_HTTP_MIN_ENABLED": "false",
            "QDB_LINE_TCP_ENABLED": "false",
            "QDB_CAIRO_COMMIT_MODE": "sync",
            "QDB_TELEMETRY_ENABLED": "false",
        }
        self._process = ServerProcess(
            command, log=self._folder / "questdb.log", environment=environment, folder=self._folder
        )
        self._process.wait_until(self._answers, timeout_s=90)

    def load(self, dataset: Dataset, *, progress: Callable[[str], None]) -> dict[str, float]:
        """Load a data set unless its table is there already; seconds until all can be read."""
        table = dataset.key().replace("-", "_")
        with psycopg.connect(self.dsn, autocommit=True) as link:
            link.execute(
                "CREATE TABLE IF NOT EXISTS bench_loaded (name STRING, seconds DOUBLE,"
                " ts TIMESTAMP) TIMESTAMP(ts) PARTITION BY YEAR WAL"
            )
            done = link.execute(
                f"SELECT seconds FROM bench_loaded WHERE name = '{table}'"
            ).fetchone()
            if done is not None:
                return {"ilp": float(done[0])}
            progress(f"QuestDB: {len(dataset):,} records")
            link.execute(f"DROP TABLE IF EXISTS {table}")
            create_table(link, table)
            bodies = list(ilp_chunks(dataset, table, ILP_CHUNK_ROWS))
            started = time.perf_counter()
            with self.writer() as write:
                for body in bodies:
                    write(body)
            while link.execute(f"SELECT count() FROM {table}").fetchone() != (len(dataset),):
                time.sleep(0.02)
            seconds = time.perf_counter() - started
            link.execute(f"INSERT INTO bench_loaded VALUES ('{table}', {seconds}, now())")
        return {"ilp": seconds}

    def writer(self) -> "IlpWriter":
        """One connection for rows."""
        return IlpWriter(self._http_port)

    def bytes_of(self, dataset: Dataset) -> int:
        """Bytes on disk of the table's folder."""
        table = dataset.key().replace("-", "_")
        folders = (self._folder / "data" / "db").glob(f"{table}*")
        return sum(
            path.stat().st_blocks * 512
            for top in folders
            for path in top.rglob("*")
            if path.is_file()
        )

    def stop(self) -> None:
        """Stop the server; its files stay in the cache."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _jar(self) -> Path:
        jars = self._folder / "jars"
        if not list(jars.glob("questdb-*.jar")):
            maven = shutil.which("mvn")
            if maven is None:
                raise ServerFailed("no Maven here to fetch QuestDB; run: apt-get install maven")
            fetch = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies",
                     f"-DoutputDirectory={jars}"]  # fmt: skip
            subprocess.run(fetch, check=True, capture_output=True)
        return next(jars.glob("questdb-*.jar"))


class IlpWriter:
    """POSTs line protocol; each call returns when the rows are committed and synced."""

    def __init__(self, port: int) -> None:
        self._link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __call__(self, body: bytes) -> None:
        self._link.request("POST", "/write?precision=u", body)
        reply = self._link.getresponse()
        text = reply.read()
        if reply.status >= 300:
            raise ServerFailed(f"QuestDB refused rows: {reply.status} {text[:300]!r}")

    def __enter__(self) -> "IlpWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()


def create_table(link: psycopg.Connection[tuple[object, ...]], table: str) -> None:
    """A table for records, in order of time."""
    link.execute(
        f"CREATE TABLE {table} (collection SYMBOL, sensor SYMBOL CAPACITY 32768, lon DOUBLE,"
        " lat DOUBLE, value DOUBLE, ts TIMESTAMP) TIMESTAMP(ts) PARTITION BY MONTH WAL"
    )


def ilp_chunks(dataset: Dataset, table: str, rows: int) -> Iterator[bytes]:
    """The data set as line protocol, some rows at a time."""
    for start in range(0, len(dataset), rows):
        part = dataset.table.slice(start, rows)
        names = ("sensor", "lon", "lat", "value")
        columns = [part[name].to_pylist() for name in names]
        times = part["time"].cast("int64").to_numpy().astype(np.int64).tolist()
        head = f"{table},collection={dataset.collection},sensor="
        yield "".join(
            f"{head}{sensor} lon={lon!r},lat={lat!r},value={value!r} {time}\n"
            for sensor, lon, lat, value, time in zip(*columns, times, strict=True)
        ).encode()
