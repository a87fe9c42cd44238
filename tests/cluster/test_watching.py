"""What watches a cluster: the health check, and the metrics that the dashboards show."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.cluster.dashboards import names_exported, names_used
from tests.cluster.material import free_ports, make_records
from tests.cluster.protected import wait_until

ROOT = Path(__file__).parents[2]
HEALTH = ROOT / "deploy" / "health.py"
OUR_PROCESSES = ("zring_ingest_", "zring_job_")
SETTINGS = """
url = "{url}"
[[source]]
name = "river"
kind = "files"
collection = "river"
format = "ndjson"
[source.files]
paths = ["arriving/*.ndjson"]
"""


def look(*words: str, environment: dict[str, str] | None = None) -> tuple[int, list[str]]:
    """Exit code and lines of the health check."""
    done = subprocess.run(
        [sys.executable, str(HEALTH), *words],
        env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


@pytest.fixture(scope="module")
def ingest_url(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Metrics of a real ingest process."""
    folder = tmp_path_factory.mktemp("ingest")
    (folder / "arriving").mkdir()
    (folder / "streams.toml").write_text(SETTINGS.format(url=cluster.urls[0]))
    (port,) = free_ports(1)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "node.cli", "ingest", "run", "--config", "streams.toml",
             "--metrics-listen", f"127.0.0.1:{port}", "--stop-on-eof"],
            stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
    yield f"http://127.0.0.1:{port}"
    assert process.stdin is not None
    process.stdin.close()
    process.wait(30.0)


def test_every_metric_of_the_dashboards_is_exported_by_nodes(
    cluster: LocalCluster, client: Client
) -> None:
    client.write("weather", make_records(500, seed=5), w="all")
    used = {name for name in names_used("zring_") if not name.startswith(OUR_PROCESSES)}
    assert len(used) > 20
    assert used <= names_exported(client.metrics())


def test_the_health_check_of_a_whole_cluster(cluster: LocalCluster, ingest_url: str) -> None:
    words = (cluster.urls[0], "--cluster", "--process", ingest_url, "--disk-max", "100")
    last: list[str] = []

    def is_well() -> bool:
        code, last[:] = look(*words)
        return code == 0

    wait_until(is_well, last)
    lines = last
    assert [line.split()[0] for line in lines] == ["ok"] * 5
    assert {line.split()[1] for line in lines[1:4]} == {"nw", "se", "ne"}
    assert "ready  complete  lag 0  store 0 %  disk " in lines[0], lines
    assert 0 < int(lines[0].split()[-2]) < 100
    assert lines[4].startswith(f"ok    {ingest_url}  up  lag ")
    with urllib.request.urlopen(f"{ingest_url}/metrics", timeout=30) as answer:
        exported = names_exported(answer.read().decode())
    used = names_used("zring_ingest_")
    assert len(used) > 8 and used <= exported


def test_the_health_check_tells_what_is_wrong(cluster: LocalCluster) -> None:
    victim = cluster.nodes["ne"]
    victim.kill()
    try:
        code, lines = look(*cluster.urls, "--disk-max", "100")
        assert code == 1
        assert [line.split()[0] for line in lines] == ["ok", "ok", "ok", "FAIL"]
        assert "does not answer" in lines[3]
        code, lines = look(cluster.urls[0], "--store-max", "0", "--lag-max", "1000000")
        assert code == 1 and "store is over 0 %" in lines[0]
        code, lines = look(cluster.urls[0], "--disk-max", "0", "--lag-max", "1000000")
        assert code == 1 and lines[0].endswith("disk is over 0 %")
    finally:
        victim.start()
        victim.wait_ready()
    assert look("http://127.0.0.1:9", "--cluster")[0] == 1
