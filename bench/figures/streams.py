"""Kafka into four nodes with two replicas: broker, nodes and one ingest process on one machine."""

import multiprocessing
import time
from collections.abc import Callable, Iterator

from bench.finding import Finding
from bench.ingest_process import IngestProcess, Pace, pace_finding, source_settings
from bench.kafka_broker import KafkaBroker
from bench.session import Session
from bench.stream_bodies import batch_bodies, json_bodies
from bench.zring_cluster import ZringCluster

TOPIC = "amedas"
RECORDS = 1_000_000
PYKAFKA_RECORDS = 150_000
BATCH = 500
KAFKA_PARTITIONS = 4
BARE_TIMEOUT_S = 120.0


def run_kafka(session: Session) -> list[Finding]:
    """Through confluent-kafka: single JSON records, and batches."""
    dataset = session.stations()
    cluster = session.fresh_cluster(nodes=4, replicas=2)
    with KafkaBroker("4.2") as broker:
        session.say("single JSON records")
        single = _stored(
            cluster, broker, json_bodies(dataset, RECORDS), RECORDS, format_name="json"
        )
        session.say(f"batches of {BATCH}")
        batches = batch_bodies(dataset, len(dataset), records=BATCH)
        batched = _stored(cluster, broker, batches, len(dataset), format_name="msgpack")
    return [
        pace_finding("streams-kafka", "one JSON record a message, confluent-kafka", single, 40_000),
        pace_finding(
            "streams-kafka", f"msgpack batches of {BATCH}, confluent-kafka", batched, 150_000
        ),
    ]


def run_pykafka(session: Session) -> list[Finding]:
    """Through pykafka, beside a loop that only reads."""
    dataset = session.stations()
    cluster = session.fresh_cluster(nodes=4, replicas=2)
    with KafkaBroker("3.9") as broker:
        bodies = json_bodies(dataset, PYKAFKA_RECORDS)
        single = _stored(
            cluster, broker, bodies, PYKAFKA_RECORDS, format_name="json", client="pykafka",
            keep=True,
        )  # fmt: skip
        bare = _bare_pykafka(broker.address, PYKAFKA_RECORDS)
        broker.delete(TOPIC)
        batches = batch_bodies(dataset, len(dataset), records=BATCH)
        batched = _stored(
            cluster, broker, batches, len(dataset), format_name="msgpack", client="pykafka"
        )
    alone = Finding(
        "streams-pykafka", "one JSON record a message, pykafka, two replicas", single.rate,
        "records/s", "≥ 90 % of a bare pykafka loop", single.rate >= 0.9 * bare, better="higher",
        references={"bare pykafka loop": bare}, compared="bare pykafka loop",
        details=single.details(),
    )  # fmt: skip
    batch = pace_finding(
        "streams-pykafka", f"msgpack batches of {BATCH}, pykafka", batched, 100_000
    )
    return [alone, batch]


def _stored(
    cluster: ZringCluster,
    broker: KafkaBroker,
    bodies: Iterator[bytes],
    records: int,
    *,
    format_name: str,
    client: str = "confluent",
    keep: bool = False,
) -> Pace:
    """Fill a topic, then store it with one process."""
    cluster.spoil()
    broker.create(TOPIC, kafka_partitions=KAFKA_PARTITIONS)
    broker.fill(TOPIC, bodies)
    name = f"{client}-{format_name}"
    settings = source_settings(
        "kafka",
        format_name,
        f'brokers = ["{broker.address}"]\ntopics = ["{TOPIC}"]\n'
        f'group = "{name}"\nclient = "{client}"',
        name=name,
        mapping='time_format = "epoch-us"' if format_name == "msgpack" else "",
    )
    with IngestProcess(settings, url=cluster.url()) as ingest:
        pace = ingest.wait_stored(records)
    if not keep:
        broker.delete(TOPIC)
    return pace


def _bare_pykafka(address: str, messages: int) -> float:
    """Messages a second of a consumer that looks at nothing, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_read_bare, args=(address, messages, theirs.send), daemon=True)
    process.start()
    assert ours.poll(BARE_TIMEOUT_S), "a bare loop did not end in time"
    rate = float(ours.recv())
    process.join()
    return rate


def _read_bare(address: str, messages: int, tell: Callable[[float], None]) -> None:
    from pykafka import KafkaClient

    client = KafkaClient(hosts=address, broker_version="2.0.0")  # topics keep no hold of it
    topic = client.topics[TOPIC]
    consumer = topic.get_simple_consumer(consumer_timeout_ms=10_000)
    warm = messages // 10
    started = 0.0
    for count in range(messages):
        assert consumer.consume() is not None, f"{count} of {messages} messages came"
        if count == warm:
            started = time.perf_counter()
    tell((messages - warm - 1) / (time.perf_counter() - started))
    consumer.stop()
