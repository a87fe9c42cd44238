"""Experiment I: 28 × 28 images through Kafka, by Kafka partitions and consumers.

Three measurements, in images a second: while consumers run, producing alone, reading what was
stored before. The published findings are about shapes, not numbers (its machines were others);
which of them hold here is said for each client.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.charts import FOLDER, save, svg_pyplot
from bench.finding import Finding
from bench.image_runs import Task, rate, run_tasks, shares
from bench.kafka_broker import KafkaBroker
from bench.session import Session

KAFKA_PARTITIONS = (1, 2, 4, 8, 16)
CONSUMERS = (1, 2, 4)
IMAGES = {"confluent": 500_000, "pykafka": 50_000}
"""pykafka moves ten thousand a second; 500,000 of them would take half an hour."""
CHART = FOLDER / "experiment-i.svg"
SAME = 0.85
"""Rates within 15 % count as equal: the machine is shared."""


@dataclass(slots=True)
class Measured:
    """Images a second of one client.

    Attributes:
        alone: Kafka partitions → producing with nobody reading.
        stored: (Kafka partitions, consumers) → reading what was there before.
        sent, received: the same → while both run.
    """

    alone: dict[int, float] = field(default_factory=dict)
    stored: dict[tuple[int, int], float] = field(default_factory=dict)
    sent: dict[tuple[int, int], float] = field(default_factory=dict)
    received: dict[tuple[int, int], float] = field(default_factory=dict)


def run(session: Session) -> list[Finding]:
    """Both clients; draws the chart."""
    measured = {}
    with KafkaBroker("3.9") as broker:
        for client in IMAGES:
            measured[client] = _measure(client, broker, session.say)
    draw(measured, CHART)
    return [finding for client, found in measured.items() for finding in _findings(client, found)]


def _measure(client: str, broker: KafkaBroker, say: Callable[[str], None]) -> Measured:
    found, images = Measured(), IMAGES[client]
    for count in KAFKA_PARTITIONS:
        say(f"{client}: {count} Kafka partitions")
        topic = f"images-{client}-{count}"
        send = Task(client, broker.address, topic, images)
        broker.create(topic, kafka_partitions=count)
        found.alone[count] = rate(images, run_tasks([send]))
        for consumers in CONSUMERS:
            readers = _readers(send, count, consumers)
            found.stored[count, consumers] = rate(images, run_tasks(readers))
        broker.delete(topic)
        for consumers in CONSUMERS:
            live = f"{topic}-{consumers}"
            broker.create(live, kafka_partitions=count)
            sender = Task(client, broker.address, live, images)
            took = run_tasks([sender, *_readers(sender, count, consumers)])
            found.sent[count, consumers] = rate(images, took[:1])
            found.received[count, consumers] = rate(images, took[1:])
            broker.delete(live)
    return found


def _readers(send: Task, kafka_partitions: int, consumers: int) -> list[Task]:
    return [
        Task(send.client, send.address, send.topic, messages, mine)
        for mine, messages in shares(kafka_partitions, consumers, send.messages)
    ]


def _findings(client: str, found: Measured) -> list[Finding]:
    spread = max(found.alone.values()) / min(found.alone.values())
    behind = min(found.received[key] / found.sent[key] for key in found.sent)
    scaled = found.stored[16, 4] / found.stored[16, 1]
    return [
        Finding(
            "streams-images",
            f"experiment I, {client}, {IMAGES[client]:,} images: {text}",
            value,
            unit,
            f"published: {published}",
            holds,
            better="higher",
            details=details,
        )
        for text, value, unit, published, holds, details in (
            ("producing alone, most over least by Kafka partitions", spread, "×",
             "the rate depends on their number", spread > 1 / SAME, _named(found.alone)),
            ("reading while producing, least share of the producer's rate", behind, "×",
             "consumers keep up", behind >= SAME, _named(found.received)),
            ("reading what is stored, 4 consumers over 1 (16 Kafka partitions)", scaled, "×",
             "it grows with the consumers", scaled > 1 / SAME, _named(found.stored)),
        )
    ]  # fmt: skip


def _named(rates: Mapping[int, float] | Mapping[tuple[int, int], float]) -> dict[str, float | str]:
    """All numbers as one line of thousands a second."""
    parts = []
    for key, value in rates.items():
        place = f"{key}" if isinstance(key, int) else f"{key[0]}×{key[1]}"
        parts.append(f"{place}: {value / 1e3:.0f} k")
    return {"images/s by Kafka partitions (× consumers)": ", ".join(parts)}


def draw(measured: Mapping[str, Measured], path: Path) -> None:
    """Three plots for each client."""
    size = (12, 3.4 * len(measured))
    figure, axes = svg_pyplot().subplots(len(measured), 3, figsize=size, sharex=True)
    titles = ("while consumers run", "producing alone", "reading what is stored")
    for row, (client, found) in zip(axes, measured.items(), strict=True):
        for consumers in CONSUMERS:
            line = [found.received[count, consumers] / 1e3 for count in KAFKA_PARTITIONS]
            row[0].plot(KAFKA_PARTITIONS, line, "o-", label=f"{consumers} consumers")
            sent = [found.sent[count, consumers] / 1e3 for count in KAFKA_PARTITIONS]
            row[0].plot(KAFKA_PARTITIONS, sent, "x:", color=row[0].lines[-1].get_color())
            stored = [found.stored[count, consumers] / 1e3 for count in KAFKA_PARTITIONS]
            row[2].plot(KAFKA_PARTITIONS, stored, "o-", label=f"{consumers} consumers")
        row[1].plot(KAFKA_PARTITIONS, [found.alone[n] / 1e3 for n in KAFKA_PARTITIONS], "o-")
        for axis, title in zip(row, titles, strict=True):
            axis.set_title(f"{client}: {title}", fontsize=10)
            axis.set_xscale("log", base=2)
            axis.set_xticks(KAFKA_PARTITIONS, [str(count) for count in KAFKA_PARTITIONS])
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
        row[0].set_ylabel("1,000 images/s")
        row[0].legend(fontsize=8, title="dotted: producer", title_fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("Kafka partitions")
    figure.tight_layout()
    save(figure, path)
