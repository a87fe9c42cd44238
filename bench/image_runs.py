"""Experiment I: processes that send 28 × 28 images to Kafka and processes that read them.

Producers and consumers do nothing else. Consumers take their Kafka partitions by assignment, so
that joining a group is no part of any figure.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

from bench.real_digits import real_digits

IMAGE_BYTES = 28 * 28
TIMEOUT_S = 600.0
READY_TIMEOUT_S = 120.0
FETCH_S = 1.0


@dataclass(frozen=True, slots=True)
class Task:
    """What one process does.

    Attributes:
        client: `confluent` or `pykafka`.
        kafka_partitions: of a consumer, those it reads; None for a producer.
        messages: to send or to read.
    """

    client: str
    address: str
    topic: str
    messages: int
    kafka_partitions: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Took:
    """Monotonic seconds of this machine: when a process sent or got its first and last message."""

    first_s: float
    last_s: float


def run_tasks(tasks: list[Task]) -> list[Took]:
    """Run all at once, each in a process of its own; they begin when all are ready."""
    spawn = multiprocessing.get_context("spawn")
    running = []
    for task in tasks:
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_work, args=(task, theirs), daemon=True)
        process.start()
        running.append((process, ours))
    for _, pipe in running:
        assert pipe.poll(READY_TIMEOUT_S), "a process did not begin"
        pipe.recv()
    for _, pipe in running:
        pipe.send("begin")
    took = []
    for process, pipe in running:
        assert pipe.poll(TIMEOUT_S), "a process did not end"
        took.append(pipe.recv())
        process.join()
    return took


def rate(messages: int, took: list[Took]) -> float:
    """Messages a second of all together, from the first of any to the last of any."""
    return messages / (max(one.last_s for one in took) - min(one.first_s for one in took))


def shares(
    kafka_partitions: int, consumers: int, messages: int
) -> list[tuple[tuple[int, ...], int]]:
    """For each consumer its Kafka partitions and messages; the producer deals them in turn."""
    each = [len(range(number, messages, kafka_partitions)) for number in range(kafka_partitions)]
    dealt = [tuple(range(number, kafka_partitions, consumers)) for number in range(consumers)]
    return [(mine, sum(each[number] for number in mine)) for mine in dealt if mine]


def _work(task: Task, pipe: Connection) -> None:
    sends = task.kafka_partitions is None
    run = _RUNS[task.client, sends]
    begin = run(task)
    next(begin)
    pipe.send("ready")
    pipe.recv()
    pipe.send(next(begin))


def _images() -> list[bytes]:
    return [row.tobytes() for row in real_digits()[0]]


def _send_confluent(task: Task) -> Iterator[Took | None]:
    from confluent_kafka import Producer

    images = _images()
    producer = Producer(
        {"bootstrap.servers": task.address, "linger.ms": 20, "batch.size": 1 << 20,
         "queue.buffering.max.messages": 100_000}
    )  # fmt: skip
    count = len(producer.list_topics(task.topic, 30).topics[task.topic].partitions)
    yield None
    first_s = time.monotonic()
    for number in range(task.messages):
        while True:
            try:
                producer.produce(task.topic, images[number % len(images)], partition=number % count)
            except BufferError:
                producer.poll(0.05)
            else:
                break
    assert producer.flush(TIMEOUT_S) == 0
    yield Took(first_s, time.monotonic())


def _read_confluent(task: Task) -> Iterator[Took | None]:
    from confluent_kafka import Consumer, TopicPartition

    assert task.kafka_partitions is not None
    consumer = Consumer(
        {"bootstrap.servers": task.address, "group.id": "experiment-i",
         "enable.auto.commit": False, "fetch.wait.max.ms": 50}
    )  # fmt: skip
    consumer.assign([TopicPartition(task.topic, number, 0) for number in task.kafka_partitions])
    yield None
    seen, first_s = 0, 0.0
    while seen < task.messages:
        batch = consumer.consume(10_000, FETCH_S)
        seen += sum(message.error() is None for message in batch)
        first_s = first_s or (time.monotonic() if seen else 0.0)
    last_s = time.monotonic()
    consumer.close()
    yield Took(first_s, last_s)


def _send_pykafka(task: Task) -> Iterator[Took | None]:
    from pykafka import KafkaClient

    images = _images()
    client = KafkaClient(hosts=task.address, broker_version="2.0.0")  # topics keep no hold of it
    topic = client.topics[task.topic]
    turn = iter(range(1 << 62))

    def deal(kafka_partitions: list[int], _key: object) -> int:
        return sorted(kafka_partitions)[next(turn) % len(kafka_partitions)]

    producer = topic.get_producer(partitioner=deal, linger_ms=20, max_queued_messages=50_000)
    yield None
    first_s = time.monotonic()
    for number in range(task.messages):
        producer.produce(images[number % len(images)])
    producer.stop()
    yield Took(first_s, time.monotonic())


def _read_pykafka(task: Task) -> Iterator[Took | None]:
    from pykafka import KafkaClient
    from pykafka.common import OffsetType

    assert task.kafka_partitions is not None
    client = KafkaClient(hosts=task.address, broker_version="2.0.0")  # topics keep no hold of it
    topic = client.topics[task.topic]
    mine = [topic.partitions[number] for number in task.kafka_partitions]
    consumer = topic.get_simple_consumer(
        partitions=mine, auto_offset_reset=OffsetType.EARLIEST, fetch_wait_max_ms=50
    )
    yield None
    first_s = 0.0
    for _ in range(task.messages):
        assert consumer.consume() is not None
        first_s = first_s or time.monotonic()
    last_s = time.monotonic()
    consumer.stop()
    yield Took(first_s, last_s)


_RUNS: dict[tuple[str, bool], Callable[[Task], Iterator[Took | None]]] = {
    ("confluent", True): _send_confluent,
    ("confluent", False): _read_confluent,
    ("pykafka", True): _send_pykafka,
    ("pykafka", False): _read_pykafka,
}
"""(Client, does it send) → a generator that yields when it is ready, and then what it took."""
