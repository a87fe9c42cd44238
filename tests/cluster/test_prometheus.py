"""A real Prometheus over real nodes, with the alerts and the questions of the dashboards."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.cluster.dashboards import FOLDER
from tests.cluster.material import free_ports, make_records
from tests.cluster.protected import wait_until

STOP_S = 30.0
ANSWER_S = 30.0
VARIABLES = {"$__rate_interval": "30s", "$node": ".*", "$stream": ".*", "$job": ".*"}
"""What Grafana puts into a question."""
SELDOM = {"Records that others still lack"}
"""Panels that are empty while all is well."""


class Prometheus:
    """One process and what it answers."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **question: str) -> Any:
        """The data of an answer."""
        target = f"{self._url}/{path}?{urllib.parse.urlencode(question)}"
        with urllib.request.urlopen(target, timeout=ANSWER_S) as answer:
            document = json.load(answer)
        assert document["status"] == "success", document
        return document["data"]

    def health(self) -> dict[str, str]:
        """Node → up or down."""
        found = self.get("targets")["activeTargets"]
        return {target["labels"]["instance"]: target["health"] for target in found}


@pytest.fixture(scope="module")
def prometheus(
    cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """With the settings of `deploy/`, but other addresses, and a look every second."""
    folder = tmp_path_factory.mktemp("prometheus")
    settings = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(FOLDER / "alerts.yml")]
    nodes, processes = settings["scrape_configs"]
    nodes["static_configs"] = [{"targets": [url.split("//")[1] for url in cluster.urls]}]
    settings["scrape_configs"].remove(processes)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (port,) = free_ports(1)
    program = shutil.which("prometheus")
    assert program is not None
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, f"--config.file={folder / 'prometheus.yml'}", "--log.level=warn",
             f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        made = Prometheus(port)

        def sees_all() -> bool:
            try:
                return list(made.health().values()) == ["up"] * len(cluster.urls)
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                return False

        wait_until(sees_all, "Prometheus sees the nodes")
        yield made
    finally:
        process.terminate()
        process.wait(STOP_S)


def questions(dashboard: str) -> list[tuple[str, str]]:
    """(Panel, question) of a dashboard."""
    document = json.loads((FOLDER / dashboard).read_text(encoding="utf-8"))
    found = []
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            found.append((panel["title"], text))
    return found


def test_every_question_of_the_dashboards_is_answered(
    prometheus: Prometheus, client: Client
) -> None:
    client.write("watched", make_records(500, seed=5), w="all")
    client.query("watched")
    asked = questions("zring-nodes.json")
    assert len(asked) > 20
    for panel, text in asked:
        if panel in SELDOM:
            prometheus.get("query", query=text)
        else:
            # A rate needs two looks of Prometheus.
            wait_until(
                lambda text=text: bool(prometheus.get("query", query=text)["result"]),
                f"{panel}: {text}",
            )
    for _, text in questions("zring-streams.json"):
        prometheus.get("query", query=text)


def test_the_alerts_are_understood_and_one_begins_when_a_node_dies(
    prometheus: Prometheus, cluster: LocalCluster
) -> None:
    def rules() -> dict[str, Any]:
        (group,) = prometheus.get("rules")["groups"]
        return {rule["name"]: rule for rule in group["rules"]}

    wait_until(lambda: {rule["health"] for rule in rules().values()} == {"ok"}, rules)
    written = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))
    assert list(rules()) == [rule["alert"] for rule in written["groups"][0]["rules"]]
    assert rules()["ZringNodeAway"]["alerts"] == []
    victim = cluster.nodes["se"]
    victim.kill()
    try:
        wait_until(lambda: rules()["ZringNodeAway"]["alerts"], "the alert has begun")
        (alert,) = rules()["ZringNodeAway"]["alerts"]
        assert victim.place.url.endswith(alert["labels"]["instance"])
        assert alert["labels"]["instance"] in alert["annotations"]["summary"]
        assert alert["state"] == "pending"
    finally:
        victim.start()
        victim.wait_ready()
    wait_until(lambda: not rules()["ZringNodeAway"]["alerts"], "the alert has ended")
