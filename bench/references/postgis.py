"""PostgreSQL with PostGIS: gist(geometry, time), clustered on it, in a private cluster.

Settings as measured to be good for this work: shared_buffers 2 GB, work_mem 128 MB, no jit, and on
the client `plan_cache_mode=force_custom_plan` with binary cursors (`postgis_reader`).
"""

import io
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.csv

from bench.dataset import Dataset
from bench.server_process import ServerFailed, ServerProcess, free_port, unprivileged_user

SETTINGS = {
    "shared_buffers": "2GB",
    "work_mem": "128MB",
    "maintenance_work_mem": "1GB",
    "max_wal_size": "8GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "listen_addresses": "127.0.0.1",
}
COPY_CHUNK_ROWS = 100_000


class PostGis:
    """One private server; tables are named after data sets and kept between runs in the cache."""

    name = "PostGIS"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = unprivileged_user()
        self._port = free_port()
        self._process: ServerProcess | None = None
        self.version = ""

    @property
    def dsn(self) -> str:
        """How clients reach it."""
        return f"host=127.0.0.1 port={self._port} dbname=postgres user={self._owner()}"

    @property
    def pid(self) -> int:
        """The server's first process."""
        assert self._process is not None, "start it first"
        return self._process.pid

    def start(self) -> None:
        """Create the cluster when it is not there, and start the server."""
        programs = _program_folder()
        data = self._folder / "postgresql"
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        if not (data / "PG_VERSION").exists():
            make = [str(programs / "initdb"), "-D", str(data), "-A", "trust", "-E", "UTF8",
                    "--locale", "C", "-U", self._owner()]  # fmt: skip
            subprocess.run(make, check=True, user=self._user, cwd=self._folder, capture_output=True)
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(self._port),
                   "-k", str(self._folder)]  # fmt: skip
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        self._process = ServerProcess(
            command,
            log=self._log(),
            user=self._user,
            folder=self._folder,
            stop_signal=signal.SIGINT,  # "fast": end the sessions and write everything out
        )
        self._process.wait_until(self._answers, timeout_s=60)

    def load(self, dataset: Dataset, *, progress: Callable[[str], None]) -> dict[str, float]:
        """Load, index and cluster a data set unless its table is there already.

        Returns:
            Seconds of each stage as they were when it was loaded (also in a later run).
        """
        table = dataset.key().replace("-", "_")
        with psycopg.connect(self.dsn, autocommit=True) as link:
            link.execute("CREATE EXTENSION IF NOT EXISTS postgis")
            link.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
            link.execute(
                "CREATE TABLE IF NOT EXISTS bench_loaded (name text, stage text, seconds float8)"
            )
            done: dict[str, float] = dict(
                link.execute(
                    "SELECT stage, seconds FROM bench_loaded WHERE name = %s", [table]
                ).fetchall()
            )
            if not done:
                done = self._load(link, dataset, table, progress)
            link.execute(f"CREATE OR REPLACE VIEW {dataset.name} AS SELECT * FROM {table}")
            self.version = str(link.execute("SELECT postgis_full_version()").fetchone())
        return done

    def _load(
        self,
        link: psycopg.Connection[tuple[object, ...]],
        dataset: Dataset,
        table: str,
        progress: Callable[[str], None],
    ) -> dict[str, float]:
        link.execute(f"DROP TABLE IF EXISTS {table} CASCADE")
        create_table(link, table)
        progress(f"PostGIS: copy {len(dataset):,} records")
        started = time.perf_counter()
        copy_rows(link, table, dataset)
        stages = {"copy": time.perf_counter() - started}
        for stage, statement in (
            ("index", f"CREATE INDEX {table}_at ON {table} USING gist (geom, ts)"),
            ("cluster", f"CLUSTER {table} USING {table}_at"),
            ("analyze", f"VACUUM ANALYZE {table}"),
        ):
            progress(f"PostGIS: {stage}")
            started = time.perf_counter()
            link.execute(statement)
            stages[stage] = time.perf_counter() - started
        for stage, seconds in stages.items():
            link.execute("INSERT INTO bench_loaded VALUES (%s, %s, %s)", [table, stage, seconds])
        return stages

    def bytes_of(self, dataset: Dataset) -> int:
        """Bytes on disk of table and index."""
        table = dataset.key().replace("-", "_")
        with psycopg.connect(self.dsn) as link:
            row = link.execute("SELECT pg_total_relation_size(%s::regclass)", [table]).fetchone()
        assert row is not None
        return int(row[0])

    def stop(self) -> None:
        """Stop the server; its files stay in the cache."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _owner(self) -> str:
        return self._user or pwd.getpwuid(os.getuid()).pw_name

    def _log(self) -> Path:
        return self._folder.parent / "postgresql.log"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def create_table(link: psycopg.Connection[tuple[object, ...]], table: str) -> None:
    """A table for records; the point follows from lon and lat."""
    link.execute(
        f"CREATE TABLE {table} (collection text, sensor text, ts timestamptz, lon float8,"
        " lat float8, value float8, geom geometry(Point, 4326)"
        " GENERATED ALWAYS AS (ST_SetSRID(ST_MakePoint(lon, lat), 4326)) STORED)"
    )


def copy_rows(link: psycopg.Connection[tuple[object, ...]], table: str, dataset: Dataset) -> None:
    """COPY the rows in one transaction, the fastest door there is."""
    statement = f"COPY {table} (collection, sensor, ts, lon, lat, value) FROM STDIN (FORMAT csv)"
    with link.cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in csv_chunks(dataset, COPY_CHUNK_ROWS):
            copy.write(chunk)


def csv_chunks(dataset: Dataset, rows: int) -> Iterator[bytes]:
    """The data set as CSV without header, some rows at a time."""
    for start in range(0, len(dataset), rows):
        part = dataset.table.slice(start, rows)
        collection = pa.array([dataset.collection] * part.num_rows)
        part = part.add_column(0, "collection", collection)
        text = io.BytesIO()
        pyarrow.csv.write_csv(part, text, pyarrow.csv.WriteOptions(include_header=False))
        yield text.getvalue()


def _program_folder() -> Path:
    """Where initdb and postgres are: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not installed:
        raise ServerFailed("no PostgreSQL here; run: apt-get install postgresql-15-postgis-3")
    return installed[-1].parent
