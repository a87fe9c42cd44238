"""What the pumps of a process do, as Prometheus metrics."""

from collections.abc import Mapping, Sequence

from ingest.account import LATENESS_S, OTHER
from ingest.pump import PumpStatistics
from node.api.metrics import metric

STREAMS_SHOWN_MAX = 256
"""Streams of a source with metrics of their own: a label for each of 10,000 topics would hurt
whoever collects them. The sums are over all."""
_TOTALS = (
    ("seen", "messages_total", "Messages handed out by the source."),
    ("again", "messages_again_total", "Messages that had been handed out before."),
    ("done", "messages_done_total", "Messages acknowledged to the source."),
    ("dead", "dead_letters_total", "Messages kept as dead letters."),
    ("stored", "records_stored_total", "Records stored."),
    ("gaps", "sequence_gaps_total", "Jumps of a stream's sequence."),
    ("missing", "sequence_missing_total", "Sequence numbers that were never handed out."),
)
_STREAM_COUNTS = ("first", "last", "done", "dead", "missing")

Samples = list[tuple[Mapping[str, str], float]]


def ingest_metrics(pumps: Sequence[PumpStatistics]) -> str:
    """Metrics of all pumps as text."""
    families = [
        metric(
            f"zring_ingest_{name}",
            "counter",
            text,
            [({"source": pump.source}, pump.account.total(count)) for pump in pumps],
        )
        for count, name, text in _TOTALS
    ]
    rejected: Samples = [
        ({"source": pump.source, "reason": reason}, count)
        for pump in pumps
        for reason, count in sorted(pump.account.rejected.items())
    ]
    families.append(
        metric("zring_ingest_records_rejected_total", "counter", "Records refused.", rejected)
    )
    lag: Samples = [
        ({"source": pump.source}, pump.lag.messages)
        for pump in pumps
        if pump.lag.messages is not None
    ]
    families.append(metric("zring_ingest_lag_messages", "gauge", "Messages that wait.", lag))
    for name, text, value in (
        ("batches", "Batches in flight.", lambda pump: pump.batches),
        ("batch_bytes", "Payload bytes in flight.", lambda pump: pump.batch_bytes),
        ("stands_still", "1 while it waits for something.", lambda pump: pump.trouble is not None),
        ("source_away", "1 while its broker is away or refuses it.", lambda pump: pump.is_away),
    ):
        samples: Samples = [({"source": pump.source}, float(value(pump))) for pump in pumps]
        families.append(metric(f"zring_ingest_{name}", "gauge", text, samples))
    retries: Samples = [({"source": pump.source}, pump.retries) for pump in pumps]
    families.append(
        metric("zring_ingest_retries_total", "counter", "Repeated tries to store.", retries)
    )
    return "".join([*families, _lateness(pumps), _streams(pumps)])


def _lateness(pumps: Sequence[PumpStatistics]) -> str:
    name = "zring_ingest_lateness_seconds"
    samples: Samples = []
    sums: list[str] = []
    for pump in pumps:
        total = 0
        for bound, count in zip((*LATENESS_S, "+Inf"), pump.account.late, strict=True):
            total += count
            samples.append(({"source": pump.source, "le": str(bound)}, total))
        label = metric("", "", "", [({"source": pump.source}, 0)]).splitlines()[-1].split(" ")[0]
        sums.append(f"{name}_sum{label} {pump.account.late_s:.9g}")
        sums.append(f"{name}_count{label} {total}")
    text = "From a record's own time until it was stored."
    buckets = metric(f"{name}_bucket", "histogram", text, samples)
    return buckets.replace(f"{name}_bucket ", f"{name} ") + "".join(f"{line}\n" for line in sums)


def _streams(pumps: Sequence[PumpStatistics]) -> str:
    samples: Samples = [
        ({"source": pump.source, "stream": stream, "count": count}, getattr(account, count))
        for pump in pumps
        for stream, account in list(pump.account.streams.items())[:STREAMS_SHOWN_MAX]
        if stream != OTHER
        for count in _STREAM_COUNTS
    ]
    return metric("zring_ingest_stream", "gauge", "The account of one stream.", samples)
