"""Windows and sessions over a real stream equal those computed by hand, crash or no crash."""

import urllib.request
from pathlib import Path
from typing import Any

import pytest

from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.analytics.streaming.conftest import JOB_DEADLINE_S, JobProcess, run_job
from tests.analytics.streaming.material import bodies, expected_windows, make_stream, shuffled
from tests.cluster.dashboards import names_exported, names_used
from tests.cluster.material import free_ports
from tests.streams.broker import Broker
from tests.streams.waiting import wait_until

WATERMARK_S = 10
BROKEN: list[bytes | None] = [b"", b"{", None, b'{"sensor": "s1"}', b"[1, 2]", b"\xff\xfe"]


def stored(client: Client, collection: str) -> dict[Any, dict[str, Any]]:
    """(Sensor, time) → values of a collection."""
    rows = client.query(collection).table.to_pylist()
    found = {(row["sensor"], row["time"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def assert_equal(found: dict[Any, dict[str, Any]], expected: dict[Any, dict[str, float]]) -> None:
    assert found.keys() == expected.keys()
    for key, metrics in expected.items():
        got = {name: found[key][name] for name in metrics}
        assert got == pytest.approx(metrics), key


def windows_arguments(broker: Broker, cluster: LocalCluster, topic: str, state: Path) -> list[str]:
    return [
        "windows", "--brokers", broker.address, "--topic", topic, "--checkpoint", str(state),
        "--url", cluster.urls[0], "--level", "2", "--to", "zring",
    ]  # fmt: skip


def test_windows_are_exact_and_go_on_where_they_stopped(
    broker: Broker, cluster: LocalCluster, client: Client, tmp_path: Path
) -> None:
    broker.create_topic("windows", kafka_partitions=2)
    records = make_stream(600)
    half = len(records) // 2
    arguments = [
        *windows_arguments(broker, cluster, "windows", tmp_path / "state"),
        "--window", "1m", "--window", "2m/1m", "--once", "--to", "kafka", "--to-topic", "metrics",
    ]  # fmt: skip
    broker.create_topic("metrics")
    broker.produce("windows", [*bodies(shuffled(records[:half], seconds=8, seed=1)), *BROKEN])
    run_job(*arguments, folder=tmp_path)
    broker.produce("windows", bodies(shuffled(records[half:], seconds=8, seed=2)))
    said = run_job(*arguments, folder=tmp_path)
    complete_s = 595 - WATERMARK_S
    expected = {
        **expected_windows(records, length_s=60, slide_s=60, level=2, complete_s=complete_s),
        **expected_windows(records, length_s=120, slide_s=60, level=2, complete_s=complete_s),
    }
    assert_equal(stored(client, "windows.windows"), expected)
    assert len(broker.read("metrics")) == len(expected)
    assert "left out" in said


def test_a_killed_job_goes_on_without_loss_or_doubles(
    broker: Broker, cluster: LocalCluster, client: Client, tmp_path: Path
) -> None:
    broker.create_topic("killed", kafka_partitions=2)
    (port,) = free_ports(1)
    records = make_stream(1_200)
    arguments = [
        *windows_arguments(broker, cluster, "killed", tmp_path / "state"),
        "--window", "1m", "--trigger", "1s", "--metrics-listen", f"127.0.0.1:{port}",
    ]  # fmt: skip
    half = len(records) // 2
    for part in range(2):
        broker.produce("killed", bodies(records[part * half : (part + 1) * half]))
        before = len(client.query("killed.windows").table) if part else 0
        with JobProcess(*arguments, folder=tmp_path) as job:
            wait_until(
                lambda before=before: _count(client) > before or job.process.poll() is not None,
                "a window is stored",
                deadline_s=JOB_DEADLINE_S,
            )
            assert job.process.poll() is None, job.said[-4_000:]
            wait_until(lambda: _dashboards_are_fed(port), "what the dashboards show is exported")
            job.kill()
    run_job(*arguments, "--once", folder=tmp_path)
    expected = expected_windows(
        records, length_s=60, slide_s=60, level=2, complete_s=1_195 - WATERMARK_S
    )
    assert_equal(stored(client, "killed.windows"), expected)


def _dashboards_are_fed(port: int) -> bool:
    """Whether the job exports what the dashboards show of jobs, with a value of its own.

    It listens some time after it has begun; until then windows of the one before may be stored.
    """
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    except OSError:
        return False
    used = names_used("zring_job_")
    return len(used) > 6 and used <= names_exported(text) and 'job="windows-60s"' in text


def _count(client: Client) -> int:
    names = [entry["id"] for entry in client.collections()]
    return len(client.query("killed.windows").table) if "killed.windows" in names else 0


def test_sessions_end_with_a_pause(
    broker: Broker, cluster: LocalCluster, client: Client, tmp_path: Path
) -> None:
    broker.create_topic("cars")
    records = make_stream(900, sensors=2)
    silent = [
        r for r in records if r["sensor"] != "s0" or not "00:04" <= r["time"][11:16] < "00:08"
    ]
    broker.produce("cars", bodies(silent))
    run_job(
        "sessions", "--brokers", broker.address, "--topic", "cars", "--url", cluster.urls[0],
        "--checkpoint", str(tmp_path / "state"), "--gap", "2m", "--once", "--to", "zring",
        folder=tmp_path,
    )  # fmt: skip
    rows = client.query("cars.sessions").table.to_pylist()
    # The first session of s0 is the only one that has ended: the others may go on.
    assert [(row["station"], row["duration_s"], row["count"]) for row in rows] == [
        ("s0", 235.0, 48)
    ]


def test_no_broker_is_one_clear_line(tmp_path: Path) -> None:
    arguments = ("windows", "--brokers", "127.0.0.1:1", "--topic", "t", "--domain", "world")
    with JobProcess(*arguments, "--checkpoint", str(tmp_path), folder=tmp_path) as job:
        assert job.wait() == 1
        assert "127.0.0.1:1" in job.said
        assert len(job.said.strip().splitlines()) == 1
