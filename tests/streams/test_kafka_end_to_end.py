"""Kafka to four nodes, with everything failing in between: each record is stored once."""

import random
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from ingest.demo.nodes import LocalCluster
from ingest.files import ingest
from node.client import Client
from node.errors import NotFound
from tests.cluster.material import free_ports, make_places
from tests.streams.broker import Broker
from tests.streams.ingesting import IngestProcess, run_command
from tests.streams.kafka_ingest import Topic, judge, processes, stored_numbers
from tests.streams.mosquitto import Mosquitto
from tests.streams.waiting import pass_time, wait_until

pytestmark = pytest.mark.timeout(1_800)
STORED_DEADLINE_S = 180.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Four nodes; who stops one starts it again."""
    with LocalCluster(make_places(tmp_path_factory.mktemp("nodes"))) as started:
        yield started


def wait_stored(cluster: LocalCluster, topic: Topic) -> None:
    """Wait until as many records are stored as were produced."""
    wait_until(
        lambda: len(stored_numbers(cluster, topic.name)) >= topic.records,
        f"{topic.records} records stored",
        deadline_s=STORED_DEADLINE_S,
    )


def wait_done(topic: Topic) -> None:
    """Wait until everything is acknowledged, poison included."""
    wait_until(topic.is_acknowledged, "everything acknowledged", deadline_s=STORED_DEADLINE_S)


def end_well(running: list[IngestProcess]) -> None:
    """Ask all to end; 4 says that they wrote dead letters, SIGTERM that they had just begun."""
    for process in running:
        assert process.stop() in (0, 4, -signal.SIGTERM), process.log


@pytest.mark.parametrize(
    ("client", "version", "kills"), [("confluent", "4.2", 20), ("pykafka", "3.9", 6)]
)
def test_killed_again_and_again(
    client: str,
    version: str,
    kills: int,
    cluster: LocalCluster,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Two processes of one group, one of them killed at a time; the broker once in between."""
    broker: Broker = request.getfixturevalue(f"kafka_{version.replace('.', '')}")
    rng = random.Random(kills)
    topic = Topic(broker, f"killed-{client}", kafka_partitions=4, seed=kills)
    configs = [topic.write_config(tmp_path / name, cluster.urls[0], client) for name in "ab"]
    running = processes(configs)
    with ExitStack() as stack:
        for process in running:
            stack.enter_context(process)
        for number in range(kills):
            topic.produce(1_500)
            goal = topic.records + topic.poison - rng.randint(0, 1_500)
            wait_until(
                lambda goal=goal: topic.acknowledged() >= goal,
                f"{goal} acknowledged before kill {number}",
                deadline_s=STORED_DEADLINE_S,
            )
            victim = rng.choice(running)
            victim.kill()
            if number == kills // 2:
                broker.kill()
                victim.start()  # without a broker: it waits for it
                broker.start()
            else:
                victim.start()
        topic.produce_large()
        wait_done(topic)
        end_well(running)
    judge(cluster, topic, configs[0])


def test_members_come_and_go_in_mid_batch(
    kafka_42: Broker, cluster: LocalCluster, tmp_path: Path
) -> None:
    """Each one that joins or leaves takes Kafka partitions from the others while they store."""
    topic = Topic(kafka_42, "shared", kafka_partitions=6, seed=3)
    configs = [topic.write_config(tmp_path / name, cluster.urls[1], "confluent") for name in "abc"]
    topic.produce(30_000, poison_share=0.0)
    first, second, third = processes(configs)
    with first:
        wait_until(
            lambda: stored_numbers(cluster, topic.name),
            "the first records",
            deadline_s=STORED_DEADLINE_S,
        )
        with second:
            topic.produce(10_000)
            with third:
                topic.produce(10_000)
                wait_until(
                    lambda: len(stored_numbers(cluster, topic.name)) > 45_000,
                    "most are stored",
                    deadline_s=STORED_DEADLINE_S,
                )
                end_well([first])
                topic.produce(5_000)
                wait_done(topic)
                end_well([second, third])
    judge(cluster, topic, configs[0])


def test_nodes_are_away_and_one_is_alone(
    kafka_42: Broker, cluster: LocalCluster, tmp_path: Path
) -> None:
    """All nodes killed for longer than a session lasts; then all but one stopped for a while."""
    topic = Topic(kafka_42, "away", kafka_partitions=2, seed=4)
    config = topic.write_config(tmp_path / "a", cluster.urls[0], "confluent")
    topic.produce(2_000)
    with IngestProcess(config, "--json") as process:
        wait_stored(cluster, topic)
        for node in cluster.nodes.values():
            node.kill()
        topic.produce(20_000)
        pass_time(3.0)
        cluster.start()
        wait_stored(cluster, topic)
        others = list(cluster.nodes.values())[1:]
        for node in others:
            node.send(signal.SIGSTOP)
        try:
            topic.produce(5_000)
            pass_time(4.0)
        finally:
            for node in others:
                node.send(signal.SIGCONT)
        wait_stored(cluster, topic)
        wait_done(topic)
        end_well([process])
    cluster.wait_alive()
    wait_until(
        lambda: stored_numbers(cluster, topic.name) == list(range(topic.records)),
        "complete answers after the faults",
        deadline_s=60.0,
    )
    judge(cluster, topic, config)


def test_dead_letters_go_to_a_topic_with_what_is_known_of_them(
    kafka_42: Broker, cluster: LocalCluster, tmp_path: Path
) -> None:
    topic = Topic(kafka_42, "poisoned", kafka_partitions=1, seed=5)
    kafka_42.create_topic("poisoned-dead")
    config = topic.write_config(tmp_path / "a", cluster.urls[0], "confluent")
    text = config.read_text()
    (line,) = [line for line in text.splitlines() if "dead_letters" in line]
    config.write_text(text.replace(line, 'dead_letters = "topic:poisoned-dead"'))
    topic.produce(200, poison_share=0.2)
    with IngestProcess(config) as process:
        wait_stored(cluster, topic)
        wait_done(topic)
        end_well([process])
    letters = kafka_42.read("poisoned-dead")
    produced = {message.offset(): message.value() for message in kafka_42.read("poisoned")}
    assert len(letters) == topic.poison > 20
    for letter in letters:
        headers = {name: value.decode() for name, value in letter.headers()}
        assert headers["zring-source"] == "poisoned" and headers["zring-reason"]
        assert headers["zring-stream"] == "poisoned/0"
        assert letter.value() == produced[int(headers["zring-sequence"])]
    judge(cluster, topic, config)  # the audit reads the letters' headers


def test_an_audit_says_what_waits_and_what_the_broker_gave_up(
    kafka_42: Broker, cluster: LocalCluster, tmp_path: Path
) -> None:
    """Messages that are deleted while nobody reads are in no store, and nothing says so but this:
    also the account of the process that goes on behind them."""
    topic = Topic(kafka_42, "given-up", kafka_partitions=1, seed=6)
    config = topic.write_config(tmp_path / "a", cluster.urls[0], "confluent")
    topic.produce(100, poison_share=0.0)
    process = IngestProcess(config, "--json")
    with process:
        wait_done(topic)
        end_well([process])
    topic.produce(50, poison_share=0.0)

    def audit() -> tuple[int, dict[str, int]]:
        done = run_command("ingest", "audit", "--config", str(config), "--json", folder=tmp_path)
        (found,) = orjson.loads(done.stdout)["given-up"]
        return done.returncode, {name: found[name] for name in ("begin", "waiting", "deleted")}

    assert audit() == (0, {"begin": 0, "waiting": 50, "deleted": 0})
    kafka_42.delete_records("given-up", before=130)
    assert audit() == (4, {"begin": 130, "waiting": 20, "deleted": 30})
    said = len(process.log)
    with process:
        wait_done(topic)
        end_well([process])
    last = orjson.loads(process.log[said:].splitlines()[-1])
    assert (last["seen"], last["gaps"], last["missing"]) == (20, 1, 30)
    shown = run_command("ingest", "audit", "--config", str(config), folder=tmp_path)
    assert shown.returncode == 0 and "committed" in shown.stdout


def moment(second: int) -> bytes:
    """A record of a sensor."""
    time = f"2023-07-01T00:00:{second:02}Z"
    return orjson.dumps({"sensor": "s", "time": time, "lon": 135.5, "lat": 33.5, "n": second})


def stored_count(url: str, collection: str) -> int:
    with Client(url) as client:
        try:
            return len(client.query(collection))
        except NotFound:
            return 0


def test_brokers_and_topics_that_come_later_are_waited_for(
    kafka_42: Broker, cluster: LocalCluster, tmp_path: Path
) -> None:
    mosquitto = Mosquitto(tmp_path / "mosquitto")
    (metrics_port,) = free_ports(1)
    config = tmp_path / "ingest.toml"
    url = cluster.urls[0]
    config.write_text(
        f"""
        url = "{url}"
        metrics_listen = "127.0.0.1:{metrics_port}"
        [[source]]
        name = "river"
        kind = "files"
        collection = "river"
        format = "ndjson"
        [source.files]
        paths = ["river.ndjson"]
        [[source]]
        name = "field"
        kind = "mqtt"
        collection = "field"
        [source.mqtt]
        broker = "{mosquitto.address}"
        topics = ["field"]
        [[source]]
        name = "later"
        kind = "kafka"
        collection = "later"
        dead_letters = "topic:later-dead"
        [source.kafka]
        brokers = ["{kafka_42.address}"]
        topics = ["later"]
        """
    )

    def away() -> set[str]:
        place = f"http://127.0.0.1:{metrics_port}/metrics"
        with urllib.request.urlopen(place, timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        found = [line for line in lines if line.startswith("zring_ingest_source_away{")]
        assert len(found) == 3
        return {line.split('"')[1] for line in found if line.endswith(" 1")}

    (tmp_path / "river.ndjson").write_bytes(moment(0) + b"\n")
    with IngestProcess(config) as process:
        process.wait_says(f"field: waiting: mqtt.broker={mosquitto.address} cannot be reached")
        process.wait_says("later: waiting: dead letters in topic later-dead: topic later-dead")
        wait_until(lambda: stored_count(url, "river") == 1, "the river goes on")
        wait_until(lambda: away() == {"field", "later"}, "two are away")
        mosquitto.start()
        try:
            mosquitto.wait_subscribed("field")
            mosquitto.publish("field", [moment(1), moment(2)])
            wait_until(
                lambda: stored_count(url, "field") == 2, "the field", deadline_s=STORED_DEADLINE_S
            )
            for topic in ("later-dead", "later"):
                kafka_42.create_topic(topic)
            kafka_42.produce("later", [moment(3), b"{", moment(4)])
            wait_until(
                lambda: stored_count(url, "later") == 2, "later", deadline_s=STORED_DEADLINE_S
            )
            wait_until(lambda: not away(), "nobody is away")
            wait_until(lambda: len(kafka_42.read("later-dead")) == 1, "the dead letter")
            assert process.stop() == 4, process.log
        finally:
            mosquitto.stop()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--topic", "nowhere"), "topic nowhere does not exist"),
        (("--topic", "x", "--brokers", "127.0.0.1:1"), "127.0.0.1:1"),
        (("--topic", "nowhere", "--client", "pykafka"), "--client confluent"),
        (("--topic", "x", "--option", "enable.auto.commit=true"), "decided by zring"),
        (("--topic", "x", "--brokers", "somewhere"), "HOST:PORT"),
        (("--topic", "x", "--sasl-user", "me"), "sasl_mechanism"),
    ],
)
def test_what_does_not_exist_is_one_line_in_seconds(
    kafka_42: Broker, cluster: LocalCluster, arguments: tuple[str, ...], reason: str
) -> None:
    words = ["kafka", "--brokers", kafka_42.address, "--collection", "c", "--url", cluster.urls[0]]
    done = CliRunner().invoke(ingest, [*words, *arguments])
    assert done.exit_code == 2, done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("Error")]
    assert reason in line
