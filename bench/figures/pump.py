"""The pump alone: messages out of memory into four nodes with two replicas, one process."""

import gc
import threading
import time
from collections.abc import Sequence

from bench.finding import Finding
from bench.message_bodies import FORMS, MemorySource, make_records
from bench.session import Session
from ingest.deadletters import DeadLetter
from ingest.messages import MessageDecoder
from ingest.pump import Pump
from ingest.sources import POLL_MESSAGES_MAX
from node.client import Client
from node.clock import SystemClock
from zring.domain import DEMO_DOMAIN

RECORDS = 300_000
BARS = {"json": 40_000.0, "msgpack": 150_000.0}
ROUNDS = 3


def run(session: Session) -> list[Finding]:
    """The best of three rounds, each into a collection of its own."""
    records = make_records(RECORDS)
    cluster = session.fresh_cluster(nodes=4, replicas=2)
    findings: list[Finding] = []
    for title, (format_name, encode) in FORMS.items():
        bodies = encode(records)
        gc.freeze()  # the messages are the broker's: the collector of a pump never meets them
        best = 0.0
        details: dict[str, float | str] = {}
        for turn in range(ROUNDS):
            session.say(f"pump: {title}, round {turn + 1} of {ROUNDS}")
            own_s, nodes_s = time.process_time(), cluster.cpu_seconds()
            started_s = time.perf_counter()
            _pump(cluster.url(), format_name, bodies, f"pump{turn}-{len(findings)}")
            rate = RECORDS / (time.perf_counter() - started_s)
            if rate > best:
                best = rate
                own_us = (time.process_time() - own_s) / RECORDS * 1e6
                nodes_us = (cluster.cpu_seconds() - nodes_s) / RECORDS * 1e6
                details = {"pump µs/record": own_us, "all nodes µs/record": nodes_us}
        bar = BARS[format_name]
        findings.append(
            Finding(
                "streams-pump", f"{title}, out of memory into four nodes, three copies", best,
                "records/s", f"≥ {bar:,.0f}/s", best >= bar, better="higher", details=details,
            )
        )  # fmt: skip
    gc.unfreeze()
    return findings


def _pump(url: str, format_name: str, bodies: list[bytes], collection: str) -> None:
    step = POLL_MESSAGES_MAX if format_name == "json" else 100
    source = MemorySource(bodies, poll_messages=step)
    with Client(url) as client:
        pump = Pump(
            source,
            decoder=MessageDecoder(format_name, domain=DEMO_DOMAIN),
            collection=collection,
            write=lambda name, batch: client.write(name, batch, w="one"),
            dead_letters=_NoLetters(),
            clock=SystemClock(),
        )
        pump.run(threading.Event())
    statistics = pump.statistics()
    assert statistics.account.total("stored") == RECORDS, statistics
    assert source.acknowledged == len(bodies)


class _NoLetters:
    """Nothing is wrong with these messages."""

    def open(self) -> None:
        """There is no place to look for."""

    def add(self, letters: Sequence[DeadLetter]) -> None:
        raise AssertionError(letters[0].detail)

    def close(self) -> None:
        pass
