"""Planted faults in a stream are found, stored, told as alerts and cached for an hour.

Batches are small, so that messages wait: that is an alert as well, which ends with the last one.
"""

from pathlib import Path

import orjson
import redis

from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.analytics.streaming.conftest import run_job
from tests.analytics.streaming.material import bodies, make_stream
from tests.streams.broker import Broker


def test_planted_spikes_are_found_and_told(
    broker: Broker, cluster: LocalCluster, client: Client, cache: str, tmp_path: Path
) -> None:
    broker.create_topic("faults")
    broker.create_topic("alerts")
    records = make_stream(900)
    planted = {("s1", "2024-05-01T00:09:00Z"), ("s4", "2024-05-01T00:13:20Z")}
    for record in records:
        if (record["sensor"], record["time"]) in planted:
            record["values"]["temp"] += 25.0
    broker.produce("faults", bodies(records))
    run_job(
        "anomalies", "--brokers", broker.address, "--topic", "faults", "--url", cluster.urls[0],
        "--checkpoint", str(tmp_path / "state"), "--alerts-topic", "alerts", "--limit", "8",
        "--to", "zring", "--to", "redis", "--redis", cache, "--once",
        "--batch-max", str(len(records) // 4 + 1), "--lag-max", "0", folder=tmp_path,
    )  # fmt: skip
    rows = client.query("faults.anomalies").table.to_pylist()
    assert {(row["station"], f"{row['time']:%Y-%m-%dT%H:%M:%SZ}") for row in rows} == planted
    assert all(abs(row["score"]) > 8 for row in rows)
    alerts = [orjson.loads(message.value()) for message in broker.read("alerts")]
    assert {alert["sensor"] for alert in alerts if "sensor" in alert} == {"s1/temp", "s4/temp"}
    told = [(alert["job"], alert["state"]) for alert in alerts if alert.get("rule") == "lag"]
    assert told == [("anomalies", "raised"), ("anomalies", "ended")]
    with redis.Redis.from_url(cache) as cached:
        value = orjson.loads(cached.get("faults.anomalies:s4/temp"))
        assert value["time"].startswith("2024-05-01T00:13:20")
        assert 3_000 < cached.ttl("faults.anomalies:s4/temp") <= 3_600
