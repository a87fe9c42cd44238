"""One file for each promised figure; `FIGURES` names them in the order in which a full run goes.

The order keeps clusters alive between figures that ask the same one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.figures import (
    aggregate,
    analytics,
    batches,
    bulk,
    core,
    durable,
    following,
    growth,
    handover,
    images,
    messages,
    models,
    moving,
    n2,
    posts,
    pump,
    reads_while_writing,
    scoring,
    site_streams,
    size,
    small,
    start,
    streams,
)
from bench.finding import Finding
from bench.session import Session

GROUPS: Mapping[str, str] = {
    "store": "records stored and asked for",
    "streams": "Kafka, MQTT and Fluentd into the nodes, and out to subscribers",
    "analytics": "collections in Spark, and models over them",
}
"""Each has a section of its own in docs/benchmarks.md and may be named instead of its figures."""


def group_of(name: str) -> str:
    """The group of a figure: what stands before its first `-` where that is one, else `store`."""
    first = name.partition("-")[0]
    return first if first in GROUPS else "store"


@dataclass(frozen=True, slots=True)
class Figure:
    """One command of the benchmark."""

    name: str
    title: str
    run: Callable[[Session], list[Finding]]


_ALL = (
    Figure("core", "encode, decode and cover, one core", core.run),
    Figure("bulk-one", "bulk load through HTTP, one copy", bulk.run_one),
    Figure("start", "start of a node that holds everything", start.run),
    Figure("small-one", "small queries, 8 connections, one node process", small.run_one),
    Figure("batches", "batches of 1,000, durable, one client", batches.run),
    Figure("posts", "single POSTs, 8 clients", posts.run),
    Figure("growth", "the same query on 10 × the data", growth.run),
    Figure("reads-while-writing", "reads while 50,000 records/s arrive", reads_while_writing.run),
    Figure("durable", "fdatasync returns before the reply is sent", durable.run),
    Figure("bulk-replicas", "bulk load through HTTP, two replicas", bulk.run_replicas),
    Figure("handover", "filling a node, and agreeing, two nodes", handover.run),
    Figure("n2", "experiment N2: 20 k of 2 M records as Arrow", n2.run_arrow),
    Figure("n2-geojson", "the same as GeoJSON", n2.run_geojson),
    Figure("small-four", "small queries, 8 connections, four nodes", small.run_four),
    Figure("aggregate", "count and mean per cell over a month", aggregate.run),
    Figure("size", "memory of a node, disk per record and copy", size.run),
    Figure("moving", "the queries on 20,000 moving sensors", moving.run),
    Figure("streams-messages", "messages of streams to records, one core", messages.run),
    Figure("streams-pump", "messages out of memory into four nodes, two replicas", pump.run),
    Figure("streams-kafka", "Kafka into four nodes, confluent-kafka", streams.run_kafka),
    Figure("streams-pykafka", "the same through pykafka, beside a bare loop", streams.run_pykafka),
    Figure("streams-follow", "from produce to visible at a subscriber", following.run),
    Figure("streams-mqtt", "MQTT with QoS 1 into four nodes", site_streams.run_mqtt),
    Figure("streams-fluentd", "Fluentd with acknowledgements", site_streams.run_fluentd),
    Figure("streams-images", "experiment I: images through Kafka", images.run),
    Figure("analytics-read", "everything into Spark, beside JDBC", analytics.run_full),
    Figure("analytics-pushdown", "20 k of 2 M records into Spark", analytics.run_pushed),
    Figure("analytics-nowcast", "temperature in three hours, real data", models.run_nowcast),
    Figure("analytics-anomaly", "planted faults in real station-days", models.run_anomaly),
    Figure("analytics-accuracy", "digits in real images", models.run_digits),
    Figure("analytics-digits", "500,000 stored images through a network", scoring.run_stored),
    Figure("analytics-stream", "Kafka, Spark, Chainer, stored: steady", scoring.run_stream),
)
FIGURES: Mapping[str, Figure] = {figure.name: figure for figure in _ALL}
